"""What ordinary pickles of every protocol become, held against Python's own unpickler."""

from __future__ import annotations

import argparse
import io
import pathlib
import pickle
from collections import OrderedDict
from pathlib import Path

import numpy as np
import pytest

from stylerig_fast.untrusted import Record, pickles
from tests.untrusted.craft import call, data, named, number, sequence, text, whole

PROTOCOLS = range(6)
NUMBERS = [0, 1, 255, 256, 65536, -1, -(1 << 31), 1 << 40, 1 << 200, -(1 << 200), 0.5, -1e300, True, False, None]
TEXTS = ["", "a", "é ü", "日本", "x" * 300, 'quote\'s "both" \\ \n line']


def read_back(tmp_path: Path, content: bytes):
    path = tmp_path / "value.pkl"
    path.write_bytes(content)
    return pickles.read(path)


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_plain_values(tmp_path, protocol):
    value = {"numbers": NUMBERS, "texts": TEXTS, "nested": {"a": [[], {}, [1, [2, [3]]]]}, "many": list(range(2000))}
    read = read_back(tmp_path, pickle.dumps(value, protocol))
    assert read == value
    assert [type(number) for number in read["numbers"]] == [type(number) for number in NUMBERS]


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_containers_become_lists_and_dictionaries(tmp_path, protocol):
    shared = [1, 2]
    value: dict = {
        "tuple": (1, (2, 3), ()),
        "set": {4},
        "frozen": frozenset({5}),
        "ordered": OrderedDict(b=1, a=2),
        7: shared,
    }
    value.update({(1, "x"): shared, None: 0, b"bytes": 1})
    assert read_back(tmp_path, pickle.dumps(value, protocol)) == {
        "tuple": [1, [2, 3], []],
        "set": [4],
        "frozen": [5],
        "ordered": {"b": 1, "a": 2},
        "7": [1, 2],
        "(1, 'x')": [1, 2],
        "None": 0,
        "bytes": 1,
    }


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_bytes_become_arrays_of_bytes(tmp_path, protocol):
    content = bytes(range(256))
    value = {"bytes": content, "array": bytearray(content), "empty": b"", "long": content * 300}
    read = read_back(tmp_path, pickle.dumps(value, protocol))
    assert all(array.dtype == np.uint8 and array.ndim == 1 for array in read.values())
    assert {name: array.tobytes() for name, array in read.items()} == {
        name: bytes(part) for name, part in value.items()
    }


@pytest.mark.parametrize("protocol", PROTOCOLS)
@pytest.mark.parametrize("dtype", ["f2", "<f4", ">f4", "f8", "i1", "u1", ">i2", "u2", "i4", "u4", "i8", ">u8", "?"])
def test_numpy_arrays(tmp_path, protocol, dtype):
    rng = np.random.default_rng(0)
    values = (rng.normal(size=(3, 4)) * 40).astype(np.int64).astype(dtype)
    value = {
        "array": values,
        "fortran": np.asfortranarray(values),
        "strided": values[::2, ::-1],
        "empty": values[:0],
        "scalar array": np.array(values[0, 0]),
        "scalar": values[0, 0],
    }
    read = read_back(tmp_path, pickle.dumps(value, protocol))
    assert read.pop("scalar") == value.pop("scalar").item()
    for name, array in value.items():
        native = array.astype(array.dtype.newbyteorder("="))
        np.testing.assert_array_equal(read[name], native, err_msg=name, strict=True)


def test_booleans_are_booleans(tmp_path):
    dtype = call(named("numpy.dtype"), text("b1"))
    make = call(named("numpy.core.multiarray._reconstruct"), named("numpy.ndarray"), sequence(number(0)), data(b"b"))
    state = sequence(number(1), sequence(number(3)), dtype, b"\x89", data(b"\x00\x01\x07"))
    read = read_back(tmp_path, whole(make, state, b"b"))
    assert read.view(np.uint8).tolist() == [0, 1, 1]


def test_text_arrays_become_lists(tmp_path):
    value = {"unicode": np.array([["a", "日本"], ["", "é"]]), "bytes": np.array([b"one", b"two\xff"])}
    read = read_back(tmp_path, pickle.dumps(value, 2))
    assert read == {"unicode": [["a", "日本"], ["", "é"]], "bytes": ["one", "twoÿ"]}


def test_arrays_of_python_2(tmp_path):
    # Python 2 wrote an array's bytes as a string, in protocol 0 with escapes.
    values = np.arange(-3, 3, dtype="<f4")
    raw = repr(values.tobytes())[1:].encode()
    content = (
        b"(dp0\nS'v'\np1\ncnumpy.core.multiarray\n_reconstruct\np2\n(cnumpy\nndarray\np3\n(I0\ntS'b'\ntRp4\n"
        b"(I1\n(L6L\ntcnumpy\ndtype\np5\n(S'f4'\nI0\nI1\ntR(I3\nS'<'\nNNNI-1\nI-1\nI0\ntbI00\n" + b"S" + raw + b"\ntbs."
    )
    old = pickle.loads(content, encoding="latin1")  # the fixture is what it says
    np.testing.assert_array_equal(old["v"], values)
    np.testing.assert_array_equal(read_back(tmp_path, content)["v"], values, strict=True)


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_known_objects_become_records(tmp_path, protocol):
    sparse = pytest.importorskip("scipy.sparse")
    matrix = sparse.csc_matrix(np.eye(3))
    value = {
        "args": argparse.Namespace(size=64, path=None),
        "path": pathlib.PurePosixPath("a/b"),
        "matrix": matrix,
    }
    read = read_back(tmp_path, pickle.dumps(value, protocol))
    assert read["args"] == Record("argparse.Namespace", "", {"size": 64, "path": None})
    assert read["path"].fields == {"args": ["a", "b"]} or read["path"].fields == {"args": ["a/b"]}
    fields = read["matrix"].fields
    assert fields["_shape"] == [3, 3]
    np.testing.assert_array_equal(fields["indptr"], matrix.indptr)
    np.testing.assert_array_equal(fields["data"], matrix.data)


def test_chumpy_arrays_become_records(tmp_path):
    # As FLAME's files have them: an object of protocol 2 with its array under `x`.
    array = pickle.dumps(np.arange(3.0), 2)[2:-1]
    content = whole(named("chumpy.ch.Ch"), b")\x81", b"}", text("x"), array, b"s", b"b")
    record = read_back(tmp_path, content)
    assert record.kind == "chumpy.ch.Ch"
    np.testing.assert_array_equal(record.fields["x"], np.arange(3.0))


def test_state_in_slots(tmp_path):
    state = sequence(b"}" + text("a") + number(1) + b"s", b"}" + text("b") + number(2) + b"s")
    assert read_back(tmp_path, whole(named("argparse.Namespace"), b")\x81", state, b"b")).fields == {"a": 1, "b": 2}


@pytest.mark.parametrize("name", ["dnnlib.EasyDict", "dnnlib.util.EasyDict"])
def test_easy_dictionaries(tmp_path, name):
    assert read_back(tmp_path, whole(named(name), b")\x81", text("k"), number(1), b"s")) == {"k": 1}


def test_shared_arrays_are_read_once(tmp_path):
    values = np.ones(8, np.float32)
    read = read_back(tmp_path, pickle.dumps([values, values]))
    assert read[0] is read[1]


def test_a_file_may_be_a_stream_of_one_pickle_only(tmp_path):
    stream = io.BytesIO()
    pickle.dump(1, stream)
    assert read_back(tmp_path, stream.getvalue()) == 1
