"""Fuzzing of the readers of face models (.mat, .h5, .bin, .npz, .pkl): a model, or this package's own error.

The parsers run in a child process as they do for users, here one that lives on. A parser in C may crash on a damaged
file, which the sandbox makes an error of; the tests count how often.
"""

from __future__ import annotations

import dataclasses
import io
import os
import struct
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from stylerig_fast.errors import FaceModelError, StyleRigError
from stylerig_fast.face.formats import detect, raw_model
from stylerig_fast.face.model import FaceModel
from stylerig_fast.face.model_io import open_face_model
from stylerig_fast.untrusted import pickles
from tests.face.formats import writers
from tests.untrusted.mutations import damaged, opcodes, rearranged
from tests.untrusted.persistent import PersistentChild

pytest.importorskip("scipy")
pytest.importorskip("h5py")
pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore::RuntimeWarning")]
SCALE = float(os.environ.get("FUZZ", "1"))
FORMATS = ("deep3d.mat", "basel2009.mat", "basel.h5", "surrey.bin", "ict.npz", "flame.pkl")


def fuzz(examples: int) -> settings:
    return settings(
        max_examples=max(1, int(examples * SCALE)),
        deadline=None,
        database=None,
        suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
    )


def face_of_landmarks() -> FaceModel:
    """The open face model's 68 landmarks as a mesh: the smallest thing that passes for a face."""
    from scipy.spatial import Delaunay

    model = open_face_model()
    mean = model.mean[model.landmarks]
    flat = torch.from_numpy(Delaunay(mean[:, :2].numpy()).simplices)
    a, b, c = mean[flat[:, 0]], mean[flat[:, 1]], mean[flat[:, 2]]
    away = torch.linalg.cross(b - a, c - a)[:, 2] < 0
    flat[away] = flat[away][:, [0, 2, 1]]

    def basis(size: int) -> torch.Tensor:
        return torch.randn(size, 68, 3, generator=torch.Generator().manual_seed(size)) * 0.03

    return dataclasses.replace(
        model,
        mean=mean,
        identity=basis(1),
        expression=basis(1),
        expression_names=("residual_00",),
        albedo_mean=model.albedo_mean[model.landmarks],
        albedo=basis(1),
        triangles=flat.int(),
        landmarks=torch.arange(68),
        mirror=torch.arange(68),
    )


@pytest.fixture(scope="module")
def sound(tmp_path_factory) -> dict[str, bytes]:
    """A small file of every format."""
    folder = tmp_path_factory.mktemp("sound")
    model = face_of_landmarks()
    writers.write_deep3d(model, folder / "deep3d.mat")
    writers.write_basel2009(model, folder / "basel2009.mat")
    writers.write_hdf5(model, folder / "basel.h5", writers.numbered_places(model))
    writers.write_eos(model, folder / "surrey.bin")
    writers.write_ict(model, folder / "ict.npz")
    writers.write_flame(writers.flame_fields(model), folder / "flame.pkl")
    return {name: (folder / name).read_bytes() for name in FORMATS}


@pytest.fixture(scope="module")
def attempt(tmp_path_factory, sound) -> Iterator[Any]:
    """Reads content as a face model: whether that was possible. Anything but FaceModelError is a failure."""
    folder = tmp_path_factory.mktemp("fuzz")
    child = PersistentChild(folder)
    writers.write_guo(face_of_landmarks().expression, folder)

    def in_child(reader: str, path: Path, limits: Any, arguments: Any, error: type[StyleRigError]) -> Any:
        kind, found = child.read(reader, path, dict(arguments or {}))
        assert kind != "time", f"{reader}: {found}"
        if kind == "tree":
            return found
        raise error(f"{path}: {kind}: {found}")

    def attempt(name: str, content: bytes) -> bool:
        path = folder / name
        path.write_bytes(content)
        try:
            model = detect.read_face_model(path, **extras(name, folder), identity=2, expressions=2, albedo=2)
        except FaceModelError:
            return False
        assert isinstance(model, FaceModel)
        assert all(bool(torch.isfinite(field).all()) for field in (model.mean, model.identity, model.expression))
        assert 0 <= int(model.triangles.min()) <= int(model.triangles.max()) < model.num_vertices
        return True

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(raw_model, "run_in_child", in_child)
        patch.setattr(detect, "read_pickle", lambda path, limits: pickles.read(path, 64 << 20))
        yield attempt
    child.close()
    if child.deaths:
        print(f"the child died {len(child.deaths)} times: {child.deaths}")


def extras(name: str, folder: Path) -> dict[str, Any]:
    """What some formats lack: expressions, and landmarks of a mesh that nobody published."""
    extra: dict[str, Any] = {"expression": folder / "Exp_Pca.bin"} if name.startswith("basel2009") else {}
    if name.startswith(("basel2009", "flame")):
        extra["landmarks"] = {k: k for k in range(68)}
    return extra


@pytest.mark.parametrize("name", FORMATS)
def test_sound_files(sound, attempt, name):
    assert attempt(name, sound[name])


@pytest.mark.parametrize("name", FORMATS)
def test_damaged_files(sound, attempt, name):
    @fuzz(800)
    @given(content=damaged([sound[name]]))
    def run(content: bytes) -> None:
        attempt(name, content)

    run()


@pytest.mark.parametrize("name", FORMATS)
def test_files_without_their_beginning_or_end(sound, attempt, name):
    content = sound[name]
    for length in range(0, len(content), max(1, len(content) // 25)):
        attempt(name, content[:length])  # what is cut off may be a field that nobody needs
        attempt(name, content[length:])


def test_damaged_heads(sound, attempt):
    # Where sizes and types are, which a random position seldom hits.
    heads = [(name, sound[name]) for name in FORMATS]

    @fuzz(2000)
    @given(which=st.sampled_from(heads), data=st.data())
    def run(which: tuple[str, bytes], data: st.DataObject) -> None:
        name, content = which
        length = data.draw(st.sampled_from((64, 256, 1024)))
        attempt(name, data.draw(damaged([content[:length]])) + content[length:])

    run()


def test_rearranged_flame(sound, attempt):
    cut = opcodes(sound["flame.pkl"])
    pieces = sorted({part for part in cut if len(part) < 60})

    @fuzz(800)
    @given(content=rearranged([cut], pieces))
    def run(content: bytes) -> None:
        attempt("flame.pkl", content)

    run()


def test_npz_headers(sound, attempt):
    # With right checksums, so that what is inside is looked at.
    with zipfile.ZipFile(io.BytesIO(sound["ict.npz"])) as archive:
        arrays = {info.filename: archive.read(info) for info in archive.infolist()}

    @fuzz(800)
    @given(name=st.sampled_from(sorted(arrays)), data=st.data())
    def run(name: str, data: st.DataObject) -> None:
        head = data.draw(damaged([arrays[name][:128]]))
        made = io.BytesIO()
        with zipfile.ZipFile(made, "w", zipfile.ZIP_DEFLATED) as archive:
            for entry, content in {**arrays, name: head + arrays[name][128:]}.items():
                archive.writestr(entry, content)
        attempt("ict.npz", made.getvalue())

    run()


@pytest.mark.parametrize(
    "shape", ["(1000000000000,)", "(-4,)", "(4611686018427387904, 4)", "(" * 90 + ")" * 90, "(True,)"]
)
@pytest.mark.parametrize("descr", ["'<f4'", "'|O'", "[('a', '<f4')]", "'<U1000000000'"])
def test_npz_bombs(tmp_path, attempt, shape, descr):
    header = f"{{'descr': {descr}, 'fortran_order': False, 'shape': {shape}, }}".encode() + b"\n"
    path = tmp_path / "bomb.npz"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name in ("mean", "identity", "expression", "faces", "landmarks68", "expression_names"):
            head = b"\x93NUMPY\x01\x00" + struct.pack("<H", len(header)) + header
            archive.writestr(f"{name}.npy", head + bytes(1 << 16))
    assert not attempt("ict.npz", path.read_bytes())


def test_a_matrix_of_terabytes(attempt):
    # A tag in a .mat file that announces more than there is.
    from scipy.io import savemat

    target = io.BytesIO()
    savemat(target, {"meanshape": np.ones((1, 300))})
    content = target.getvalue()
    for value in (0x7FFFFFFF, 0xFFFFFFFF):
        for old in (struct.pack("<ii", 1, 300), struct.pack("<I", 2400)):
            position = content.index(old)
            changed = content[:position] + struct.pack("<I", value) * (len(old) // 4) + content[position + len(old) :]
            assert not attempt("deep3d.mat", changed)
