"""Files that are truncated, altered, of absurd sizes, hostile, or of no known format: each is a FaceModelError."""

from __future__ import annotations

import random
import struct
import zipfile

import numpy as np
import pytest

from stylerig_fast.errors import FaceModelError
from stylerig_fast.face.formats import (
    basel2009,
    deep3d,
    guo_expression,
    hdf5,
    matlab,
    npz,
    read_face_model,
    surrey,
)
from stylerig_fast.face.formats.raw_model import Counts
from stylerig_fast.untrusted import Limits
from tests.face.formats import writers

COUNTS = Counts()
ICT_FIELDS = ("mean", "identity", "expression", "expression_names", "faces", "landmarks68")


@pytest.fixture(scope="module")
def model():
    return writers.small_model(2, 2, 2)


@pytest.fixture(scope="module")
def files(model, tmp_path_factory):
    folder = tmp_path_factory.mktemp("sound")
    writers.write_deep3d(model, folder / "front.mat")
    writers.write_basel2009(model, folder / "basel.mat")
    writers.write_guo(model.expression, folder)
    writers.write_eos(model, folder / "eos.bin")
    writers.write_ict(model, folder / "ict.npz")
    writers.write_hdf5(model, folder / "basel.h5", writers.numbered_places(model))
    return folder


READERS = {
    "front.mat": lambda path: deep3d.deep3d_parts(deep3d.read_deep3d(path, 80, 64, 80), path, COUNTS),
    "basel.mat": lambda path: basel2009.basel2009_parts(basel2009.read_basel2009(path, 80, 80), path, COUNTS),
    "eos.bin": lambda path: surrey.surrey_parts(surrey.read_eos(path), path, COUNTS),
    "ict.npz": lambda path: npz.read_packed(path, ICT_FIELDS),
    "Exp_Pca.bin": lambda path: guo_expression.read_guo_expression(path, 64),
}


@pytest.mark.parametrize("name", READERS)
def test_truncated_and_altered_files_give_an_error_or_numbers(files, tmp_path, name):
    """HDF5 files are not here: their library is C, and only ever meets damaged files in a child process."""
    content, path = (files / name).read_bytes(), tmp_path / name
    refused = 0
    for seed in range(60):
        rng = random.Random(seed)
        damaged = bytearray(content)
        if seed % 3 == 0:
            del damaged[rng.randrange(len(content)) :]
        for _ in range(seed % 3 * 4):
            # Half of the changes are in the first bytes, where sizes and names are.
            at = rng.randrange(len(damaged) if rng.random() < 0.5 else min(len(damaged), 300))
            damaged[at] = rng.choice([damaged[at] ^ (1 << rng.randrange(8)), 0, 255])
        path.write_bytes(damaged)
        try:
            READERS[name](str(path))
        except FaceModelError:
            refused += 1
    assert refused >= 15  # most that are truncated


@pytest.mark.parametrize("name", ["front.mat", "basel.h5", "eos.bin", "ict.npz"])
def test_half_a_file(files, tmp_path, name):
    content = (files / name).read_bytes()
    (tmp_path / name).write_bytes(content[: len(content) // 2])
    with pytest.raises(FaceModelError, match=name.replace(".", r"\.")):
        read_face_model(tmp_path / name)


def test_unknown_formats(tmp_path):
    for content in (b"", b"hello", b"\x00" * 300, b"MATLAB 5.0", b"{}", b"P" * 200):
        (tmp_path / "x.bin").write_bytes(content)
        with pytest.raises(FaceModelError, match="of no known format; expected Basel 2009"):
            read_face_model(tmp_path / "x.bin")
    with pytest.raises(FaceModelError, match="no such file"):
        read_face_model(tmp_path / "nowhere.mat")
    (tmp_path / "folder").mkdir()
    with pytest.raises(FaceModelError, match="FaceXModel"):
        read_face_model(tmp_path / "folder")


def test_a_format_is_told_by_content_not_by_name(model, tmp_path):
    writers.write_deep3d(model, tmp_path / "model.mat")
    (tmp_path / "model.mat").rename(tmp_path / "model.h5")
    assert read_face_model(tmp_path / "model.h5").name == "basel-2009-front"


@pytest.mark.parametrize("name", ["meanshape", "idBase", "exBase", "meantex", "texBase", "tri", "keypoints"])
def test_missing_matrices_are_named(model, tmp_path, name):
    writers.write_deep3d(model, tmp_path / "m.mat", **{name: None})
    reader = READERS["front.mat"]
    with pytest.raises(FaceModelError, match=f"has no field '{name}'"):
        reader(str(tmp_path / "m.mat"))


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("meanshape", np.zeros((1, 10)), "expected x y z"),
        ("meantex", np.zeros((1, 9)), "meanshape has 5675 vertices, meantex 3"),
        ("idBase", np.zeros((30, 80)), r"idBase has shape \(30, 80\)"),
        ("tri", np.array([[0, 1, 2]]), "tri has the vertices 0 to 2, expected 1 to 5675"),
        ("tri", np.array([[1, 2]]), r"expected \(T, 3\)"),
        ("keypoints", np.arange(1, 60)[None], "expected 68 vertex numbers"),
        ("keypoints", np.full((1, 68), 9999), "expected 68 vertex numbers"),
        ("exBase", np.full((17025, 3), np.inf), "not finite"),
    ],
)
def test_matrices_that_do_not_fit(model, tmp_path, name, value, message):
    writers.write_deep3d(model, tmp_path / "m.mat", **{name: value})
    with pytest.raises(FaceModelError, match=message):
        READERS["front.mat"](str(tmp_path / "m.mat"))


def test_matlab_files_of_other_kinds(tmp_path):
    from scipy.io import savemat

    savemat(tmp_path / "cells.mat", {"meanshape": np.array([[1, "a"]], object)})
    with pytest.raises(FaceModelError, match="meanshape is cell"):
        matlab.read_matlab(str(tmp_path / "cells.mat"), {"meanshape": None})
    savemat(tmp_path / "other.mat", {"other": np.zeros(3)})
    with pytest.raises(FaceModelError, match="a MATLAB file with other; expected"):
        read_face_model(tmp_path / "other.mat")
    (tmp_path / "new.mat").write_bytes(b"MATLAB 7.3 MAT-file, Platform: GLNXA64".ljust(512) + hdf5.MAGIC)
    with pytest.raises(FaceModelError, match="MATLAB 7.3 file; save it from MATLAB with `-v7`"):
        read_face_model(tmp_path / "new.mat")


def test_a_matrix_that_claims_to_be_huge(tmp_path):
    header = b"MATLAB 5.0 MAT-file".ljust(124) + b"\x00\x01IM"
    dimensions = struct.pack("<IIiI", 5, 8, 60000, 60000)
    flags, name = struct.pack("<IIII", 6, 8, 6, 0), struct.pack("<II", 1, 9) + b"meanshape".ljust(16, b"\0")
    body = flags + dimensions + name + struct.pack("<II", 9, 0xFFFFFF00)
    (tmp_path / "huge.mat").write_bytes(header + struct.pack("<II", 14, len(body)) + body)
    with pytest.raises(FaceModelError, match=r"shape \(60000, 60000\)|damaged"):
        matlab.read_matlab(str(tmp_path / "huge.mat"), {"meanshape": None})


def test_expressions_beside_basel_2009_are_asked_for(model, tmp_path):
    writers.write_basel2009(model, tmp_path / "01_MorphableModel.mat")
    with pytest.raises(FaceModelError, match=r"Exp_Pca\.bin with --expression"):
        read_face_model(tmp_path / "01_MorphableModel.mat")
    writers.write_guo(model.expression, tmp_path)
    (tmp_path / "std_exp.txt").write_text("1.0")
    with pytest.raises(FaceModelError, match="expected 2 numbers"):
        read_face_model(tmp_path / "01_MorphableModel.mat")
    (tmp_path / "std_exp.txt").unlink()
    with pytest.raises(FaceModelError, match=r"needs std_exp\.txt beside it"):
        read_face_model(tmp_path / "01_MorphableModel.mat")


def test_expressions_where_the_format_has_its_own(files):
    with pytest.raises(FaceModelError, match="leave --expression out"):
        read_face_model(files / "front.mat", expression=files / "Exp_Pca.bin")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (struct.pack("<Iii", 9, 30, 1), "version 9"),
        (struct.pack("<Iii", 4, 30, 1), "truncated"),
        (struct.pack("<Iii", 4, -3, 1), "a matrix of -3 x 1"),
        (struct.pack("<Iii", 4, 1 << 30, 1 << 30), "truncated"),
        (struct.pack("<Iii", 1, 0, 0) + struct.pack("<ii", 0, 0) * 2 + struct.pack("<Q", 1 << 60), "does not fit"),
    ],
)
def test_eos_archives_of_absurd_sizes(tmp_path, content, message):
    (tmp_path / "e.bin").write_bytes(content)
    with pytest.raises(FaceModelError, match=message):
        surrey.read_eos(str(tmp_path / "e.bin"))


def test_eos_archives_with_something_behind(files, tmp_path):
    (tmp_path / "e.bin").write_bytes((files / "eos.bin").read_bytes() + b"more")
    with pytest.raises(FaceModelError, match="4 bytes follow where the model ends"):
        surrey.read_eos(str(tmp_path / "e.bin"))


def test_blendshapes_of_another_resolution(files, tmp_path):
    (tmp_path / "b.bin").write_bytes(writers.eos_blendshapes({"anger": np.zeros(30)}))
    with pytest.raises(FaceModelError, match="the blendshape 'anger' has 10"):
        read_face_model(files / "eos.bin", expression=tmp_path / "b.bin")


def test_packed_archives_that_lie(tmp_path):
    def archive(header: bytes, body: bytes = b"") -> str:
        with zipfile.ZipFile(tmp_path / "a.npz", "w", zipfile.ZIP_DEFLATED) as file:
            file.writestr("mean.npy", b"\x93NUMPY\x01\x00" + struct.pack("<H", len(header)) + header + body)
        return str(tmp_path / "a.npz")

    for header, message in (
        (b"{'descr': '<f4', 'fortran_order': False, 'shape': (1099511627776, 3), }\n", "bytes cannot be"),
        (b"{'descr': '|O', 'fortran_order': False, 'shape': (3,), }\n", "bytes cannot be"),
        (b"{'descr': '<f4', 'fortran_order': False, 'shape': (-3,), }\n", "mean|damaged"),
        (b"__import__('os').system('true')\n", "damaged"),
    ):
        with pytest.raises(FaceModelError, match=message):
            npz.read_packed(archive(header, bytes(64)), ("mean",))


def test_a_zip_bomb_is_refused_unread(tmp_path, monkeypatch):
    monkeypatch.setattr(npz, "MAX_BYTES", 1 << 20)
    with zipfile.ZipFile(tmp_path / "bomb.npz", "w", zipfile.ZIP_DEFLATED) as file:
        file.writestr("mean.npy", bytes(1 << 21))
    with pytest.raises(FaceModelError, match="that is no face model's"):
        npz.read_packed(str(tmp_path / "bomb.npz"), ("mean",))


def test_limits_hold(files):
    with pytest.raises(FaceModelError, match="memory"):
        read_face_model(files / "front.mat", limits=Limits(memory=1 << 20))
