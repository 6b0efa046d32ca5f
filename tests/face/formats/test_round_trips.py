"""The open face model's geometry, written in each published layout and read back, is the open face model again."""

from __future__ import annotations

import pytest
import torch

from stylerig_fast.face.formats import read_face_model
from stylerig_fast.face.formats.flame import JAW_UNITS
from stylerig_fast.face.formats.to_face_model import nearest_mirror
from stylerig_fast.face.model_io import save_face_model
from tests.face.formats import writers


@pytest.fixture(scope="module")
def model():
    return writers.small_model()


def same(found, expected, *fields, atol=2e-6):
    for field in fields or ("mean", "identity", "expression", "albedo_mean", "albedo"):
        assert getattr(found, field).dtype == torch.float32
        assert torch.allclose(getattr(found, field), getattr(expected, field), atol=atol, rtol=1e-5), field
    for field in ("triangles", "landmarks"):
        assert torch.equal(getattr(found, field).sort(-1).values, getattr(expected, field).sort(-1).values), field
    a, b, c = found.mean[found.triangles.long()].unbind(1)
    d, e, f = expected.mean[expected.triangles.long()].unbind(1)
    # The triangles face the same way, whichever corner comes first.
    normals = torch.linalg.cross(b - a, c - a), torch.linalg.cross(e - d, f - d)
    assert bool(((normals[0] * normals[1]).sum(-1) >= 0).all())
    assert torch.equal(found.mirror, nearest_mirror(expected.mean))


def test_front(model, tmp_path):
    writers.write_deep3d(model, tmp_path / "BFM_model_front.mat")
    found = read_face_model(tmp_path / "BFM_model_front.mat")
    same(found, model)
    assert torch.equal(found.landmarks, model.landmarks)
    assert found.expression_names == tuple(f"residual_{k:02d}" for k in range(7))


def test_basel_2009_with_its_expressions_beside_it(model, tmp_path):
    writers.write_basel2009(model, tmp_path / "01_MorphableModel.mat")
    writers.write_guo(model.expression, tmp_path)
    listed = writers.write_landmarks(model, tmp_path / "landmarks.txt")
    same(read_face_model(tmp_path / "01_MorphableModel.mat", landmarks=listed), model, atol=5e-6)


@pytest.mark.parametrize("scaled", [False, True])
def test_basel_2017(model, tmp_path, scaled):
    writers.write_hdf5(model, tmp_path / "model2017.h5", writers.numbered_places(model), scaled)
    found = read_face_model(tmp_path / "model2017.h5")
    same(found, model)
    assert torch.equal(found.landmarks, model.landmarks)


@pytest.mark.parametrize("chumpy", [False, True])
def test_flame(model, tmp_path, chumpy):
    writers.write_flame(writers.flame_fields(model), tmp_path / "generic_model.pkl", chumpy)
    listed = writers.write_landmarks(model, tmp_path / "landmarks.txt")
    found = read_face_model(tmp_path / "generic_model.pkl", landmarks=listed, identity=6, expressions=10, albedo=4)
    assert found.expression_names == (*JAW_UNITS, *(f"residual_{k:02d}" for k in range(7)))
    same(found, model, "mean", "identity")
    assert torch.allclose(found.expression[3:], model.expression, atol=1e-6)
    assert found.sizes["albedo"] == 4


@pytest.mark.parametrize("version", [2, 3, 4])
def test_eos(model, tmp_path, version):
    writers.write_eos(model, tmp_path / "model.bin", version)
    listed = writers.write_landmarks(model, tmp_path / "landmarks.txt")
    # From version 3 the file has its own landmarks.
    same(read_face_model(tmp_path / "model.bin", landmarks=listed if version < 3 else None), model)


def test_eos_without_colours_and_with_blendshapes(model, tmp_path):
    writers.write_eos(model, tmp_path / "sfm.bin", version=1, colours=False)
    units = {name: model.expression[k].numpy() * 100 for k, name in enumerate(("anger", "happiness"))}
    (tmp_path / "blendshapes.bin").write_bytes(writers.eos_blendshapes(units))
    listed = writers.write_landmarks(model, tmp_path / "landmarks.txt")
    found = read_face_model(tmp_path / "sfm.bin", expression=tmp_path / "blendshapes.bin", landmarks=listed)
    assert found.expression_names == ("anger", "happiness")
    assert torch.allclose(found.expression, model.expression[:2], atol=1e-6)
    same(found, model, "mean", "identity")
    assert found.sizes["albedo"] == 80


def test_ict(model, tmp_path):
    writers.write_ict(model, tmp_path / "ict.npz")
    same(read_face_model(tmp_path / "ict.npz"), model, "mean", "identity", "expression")


def test_own(model, tmp_path):
    save_face_model(model, tmp_path / "model.safetensors")
    same(read_face_model(tmp_path / "model.safetensors"), model, atol=1e-3)


def test_counts(model, tmp_path):
    writers.write_deep3d(model, tmp_path / "m.mat")
    found = read_face_model(tmp_path / "m.mat", identity=2, expressions=3, albedo=4)
    assert (found.sizes["identity"], found.sizes["expression"], found.sizes["albedo"]) == (2, 3, 4)
    assert len(found.expression_names) == 3
    with pytest.raises(ValueError, match="identity is 0"):
        read_face_model(tmp_path / "m.mat", identity=0)


def test_named_units_are_all_kept(model, tmp_path):
    fields = writers.flame_fields(model)
    writers.write_flame(fields, tmp_path / "f.pkl")
    listed = writers.write_landmarks(model, tmp_path / "landmarks.txt")
    assert read_face_model(tmp_path / "f.pkl", landmarks=listed, expressions=1).expression_names == tuple(JAW_UNITS)
