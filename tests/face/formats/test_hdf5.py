"""HDF5: what leads out of the file or is no array of numbers is refused; datasets that are missing or do not fit."""

from __future__ import annotations

import json

import numpy as np
import pytest

from stylerig_fast.errors import FaceModelError
from stylerig_fast.face.formats import basel_hdf5, hdf5, read_face_model
from stylerig_fast.face.formats.raw_model import Counts
from tests.face.formats import writers

COUNTS = Counts()


@pytest.fixture(scope="module")
def model():
    return writers.small_model(2, 2, 2)


def with_mean(path, make):
    """A file whose shape/model/mean is what ``make`` puts there."""
    import h5py

    with h5py.File(path, "w") as file:
        make(file.create_group("shape/model"))
    return str(path)


def read_mean(path):
    return hdf5.read_hdf5(path, {"shape/model/mean": None})


def test_hdf5_links_are_not_followed(tmp_path):
    import h5py

    other = with_mean(tmp_path / "other.h5", lambda group: group.create_dataset("mean", data=np.ones(3)))
    kinds = {
        "ExternalLink": h5py.ExternalLink(other, "/shape/model/mean"),
        "SoftLink": h5py.SoftLink("/shape/model/real"),
    }
    for kind, link in kinds.items():

        def make(group, link=link):
            group["real"] = np.ones(3)
            group["mean"] = link

        path = with_mean(tmp_path / "links.h5", make)
        with pytest.raises(FaceModelError, match=rf"reached through a link \({kind}\)"):
            read_mean(path)
        # And through the front door.
        with pytest.raises(FaceModelError, match=kind):
            read_face_model(path)


def test_hdf5_numbers_in_other_files_are_not_read(tmp_path):
    import h5py

    (tmp_path / "raw").write_bytes(np.ones(3).tobytes())
    external = [(str(tmp_path / "raw"), 0, 24)]
    path = with_mean(
        tmp_path / "a.h5", lambda group: group.create_dataset("mean", shape=(3,), dtype="f8", external=external)
    )
    with pytest.raises(FaceModelError, match="keeps its numbers in another file"):
        read_mean(path)
    layout = h5py.VirtualLayout(shape=(3,), dtype="f8")
    layout[:] = h5py.VirtualSource(path, "shape/model/mean", shape=(3,))
    path = with_mean(tmp_path / "b.h5", lambda group: group.create_virtual_dataset("mean", layout))
    with pytest.raises(FaceModelError, match="keeps its numbers in another file"):
        read_mean(path)


def test_hdf5_datasets_that_are_no_arrays_of_numbers(tmp_path):
    import h5py

    numbers = "expected numbers or text of fixed length"
    cases: dict[str, tuple[dict, str]] = {
        "variable": ({"data": ["text"], "dtype": h5py.string_dtype()}, numbers),
        "ragged": ({"shape": (3,), "dtype": h5py.vlen_dtype(np.int32)}, numbers),
        "records": ({"shape": (3,), "dtype": [("a", "f4")]}, numbers),
        "huge": ({"shape": (1 << 40,), "dtype": "f8", "chunks": (1 << 10,)}, "that is no face model's"),
        "chunk": ({"shape": (1, 9), "dtype": "f8", "chunks": (1 << 14, 1 << 14), "maxshape": (None, None)}, "chunks"),
        "nothing": ({"data": h5py.Empty("f4")}, "that is no face model's"),
        "plug-in": ({"data": np.ones(300), "chunks": (30,), "compression": "lzf"}, r"filters \[32000\]"),
    }
    for name, (arguments, message) in cases.items():

        def make(group, arguments=arguments):
            group.create_dataset("mean", **arguments)

        with pytest.raises(FaceModelError, match=message):
            read_mean(with_mean(tmp_path / f"{name}.h5", make))
    path = with_mean(tmp_path / "group.h5", lambda group: group.create_group("mean"))
    with pytest.raises(FaceModelError, match="is a group"):
        read_mean(path)


def test_hdf5_landmarks_that_are_no_json(model, tmp_path):
    import h5py

    for number, text in enumerate((b"[", b"{}", b'[{"id": "1"}]', b'[{"id": "1", "coordinates": [1, NaN, 2]}]')):
        path = tmp_path / f"{number}.h5"
        writers.write_hdf5(model, path)
        with h5py.File(path, "a") as file:
            file["metadata/landmarks/json"] = np.frombuffer(text, np.int8)
        tree = basel_hdf5.read_basel_hdf5(str(path), 80, 64, 80)
        if text == b"{}":
            assert basel_hdf5.basel_hdf5_parts(tree, "b", COUNTS).landmarks == {}
            continue
        with pytest.raises(FaceModelError, match="metadata/landmarks/json"):
            basel_hdf5.basel_hdf5_parts(tree, "b", COUNTS)


def test_hdf5_datasets_that_are_missing_or_do_not_fit(model, tmp_path):
    import h5py

    writers.write_hdf5(model, tmp_path / "b.h5", writers.numbered_places(model))
    tree = basel_hdf5.read_basel_hdf5(str(tmp_path / "b.h5"), 80, 64, 80)
    for name in ("shape/model/mean", "shape/model/pcaBasis", "color/model/pcaVariance", "shape/representer/cells"):
        with pytest.raises(FaceModelError, match=f"has no field '{name}'"):
            basel_hdf5.basel_hdf5_parts({key: value for key, value in tree.items() if key != name}, "b", COUNTS)
    with pytest.raises(FaceModelError, match="is negative"):
        basel_hdf5.basel_hdf5_parts(tree | {"shape/model/pcaVariance": np.array([-1.0, 1.0])}, "b", COUNTS)
    with pytest.raises(FaceModelError, match="color 1; the file is damaged"):
        basel_hdf5.basel_hdf5_parts(tree | {"color/model/mean": np.zeros(3)}, "b", COUNTS)
    assert h5py.is_hdf5(tmp_path / "b.h5")
    assert json.loads(tree["metadata/landmarks/json"])[0]["id"] == "1"
