from __future__ import annotations

import dataclasses

import pytest
import torch
from safetensors.torch import load_file, save_file

from stylerig_fast.errors import FaceModelError
from stylerig_fast.face import model_io
from stylerig_fast.face.model import FaceModel
from stylerig_fast.face.model_io import load_face_model, open_face_model, save_face_model

FLOATS = ("identity", "expression", "albedo_mean", "albedo")


@pytest.fixture
def model() -> FaceModel:
    draw = torch.Generator().manual_seed(0)
    return FaceModel(
        name="tetrahedron",
        mean=torch.randn(4, 3, generator=draw),
        identity=torch.randn(3, 4, 3, generator=draw),
        expression=torch.randn(2, 4, 3, generator=draw),
        albedo_mean=torch.rand(4, 3, generator=draw),
        albedo=torch.randn(5, 4, 3, generator=draw),
        triangles=torch.tensor([[0, 1, 2], [0, 2, 3], [0, 3, 1], [1, 3, 2]], dtype=torch.int32),
        landmarks=torch.arange(68) % 4,
        mirror=torch.tensor([0, 2, 1, 3]),
        expression_names=("jawOpen", "residual_00"),
    )


def test_round_trip(model, tmp_path):
    save_face_model(model, tmp_path / "m.safetensors", licence="nobody's")
    again = load_face_model(tmp_path / "m.safetensors")
    assert again.name == "tetrahedron"
    assert again.expression_names == ("jawOpen", "residual_00")
    assert torch.equal(again.mean, model.mean)
    for field in FLOATS:
        value = getattr(again, field)
        assert value.dtype == torch.float32
        # Half precision: eleven bits.
        assert torch.allclose(value, getattr(model, field), rtol=2**-11, atol=1e-7)
    for field in ("triangles", "landmarks", "mirror"):
        assert torch.equal(getattr(again, field), getattr(model, field))
        assert getattr(again, field).dtype == getattr(model, field).dtype


def test_saving_replaces_whole_files_only(model, tmp_path, monkeypatch):
    path = tmp_path / "m.safetensors"
    save_face_model(model, path)
    before = path.read_bytes()

    def fail(*_):
        raise OSError("disk full")

    monkeypatch.setattr("os.fsync", fail)
    with pytest.raises(OSError, match="disk full"):
        save_face_model(dataclasses.replace(model, name="other"), path)
    assert path.read_bytes() == before
    assert [p.name for p in tmp_path.iterdir()] == ["m.safetensors"]


def test_values_beyond_half_precision_are_refused(model, tmp_path):
    with pytest.raises(FaceModelError, match="identity does not fit float16"):
        save_face_model(dataclasses.replace(model, identity=model.identity * 1e6), tmp_path / "m.safetensors")
    assert not (tmp_path / "m.safetensors").exists()


def test_a_missing_file(tmp_path):
    with pytest.raises(FaceModelError, match=r"nowhere\.safetensors: no such file"):
        load_face_model(tmp_path / "nowhere.safetensors")


@pytest.mark.parametrize("keep", [0, 5, 100, 0.5, 0.999])
def test_truncated_files(model, tmp_path, keep):
    path = tmp_path / "m.safetensors"
    save_face_model(model, path)
    content = path.read_bytes()
    path.write_bytes(content[: keep if isinstance(keep, int) else int(keep * len(content))])
    with pytest.raises(FaceModelError, match=r"m\.safetensors: .*(whole|truncated)"):
        load_face_model(path)


def test_something_else_entirely(tmp_path):
    path = tmp_path / "m.safetensors"
    path.write_bytes(b"PK\x03\x04" + bytes(1000))
    with pytest.raises(FaceModelError, match=r"m\.safetensors"):
        load_face_model(path)


def rewrite(path, change):
    """Stores a saved model again with other tensors or metadata."""
    from safetensors import safe_open

    with safe_open(path, "pt") as file:
        metadata = dict(file.metadata())
    tensors = load_file(path)
    change(tensors, metadata)
    save_file(tensors, path, metadata)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda t, m: m.update(format="stylerig-fast face model 9"), "format 'stylerig-fast face model 9', expected"),
        (lambda t, m: m.clear(), "format None, expected"),
        (lambda t, m: m.pop("expression_names"), "damaged"),
        (lambda t, m: m.update(expression_names="{}"), "not a list of names"),
        (lambda t, m: m.update(expression_names='["jawOpen"]'), "expression has shape"),
        (lambda t, m: t.pop("mirror"), "lacks the tensors mirror"),
        (lambda t, m: t.update(mirror=t["mirror"].float()), "mirror is stored as torch.float32"),
        (lambda t, m: t.update(mean=t["mean"].int()), "mean is stored as torch.int32"),
        (lambda t, m: t.update(triangles=t["triangles"] + 9), "triangles points outside its 4 vertices"),
        (lambda t, m: t.update(landmarks=t["landmarks"][:66].clone()), "landmarks has shape"),
        (lambda t, m: t["albedo"].fill_(float("nan")), "albedo holds values that are not finite"),
        (lambda t, m: t.update(identity=torch.zeros(()).half()), "damaged"),
    ],
)
def test_files_that_do_not_add_up(model, tmp_path, change, message):
    path = tmp_path / "m.safetensors"
    save_face_model(model, path)
    rewrite(path, change)
    with pytest.raises(FaceModelError, match=message) as caught:
        load_face_model(path)
    assert str(path) in str(caught.value)


def test_a_missing_asset_says_how_to_build_it(monkeypatch):
    monkeypatch.setattr(model_io, "OPEN_FACE", "gone.safetensors")
    with pytest.raises(FaceModelError, match="open_face.build"):
        open_face_model()
