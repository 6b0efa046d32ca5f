from __future__ import annotations

import os
import re
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import pytest

from stylerig_fast.errors import CheckpointError, DataError, FaceModelError
from stylerig_fast.untrusted import Limits, Record, read_pickle, run_in_child, sandbox
from tests.untrusted import readers
from tests.untrusted.craft import REDUCE, named, text, whole
from tests.untrusted.readers import LIES

ROOT = Path(__file__).resolve().parents[2]
LINUX = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="limits are Linux's")


@pytest.fixture
def run(tmp_path, monkeypatch):
    """Runs a reader of readers.py, which only the tests may, and leaves no folder behind."""
    monkeypatch.setattr(sandbox, "_READER", re.compile(r"tests\.untrusted\.readers:\w+"))
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    (tmp_path / "file").write_bytes(b"content")

    def run(name: str, limits: Limits | None = None, **options):
        return run_in_child(f"tests.untrusted.readers:{name}", tmp_path / "file", limits, **options)

    yield run
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def same(a, b) -> None:
    assert type(a) is type(b)
    if isinstance(a, dict):
        assert list(a) == list(b)
        for key in a:
            same(a[key], b[key])
    elif isinstance(a, Record):
        assert (a.kind, a.name) == (b.kind, b.name)
        same(a.fields, b.fields)
    elif isinstance(a, np.ndarray):
        np.testing.assert_array_equal(a, b.astype(b.dtype.newbyteorder("=")), strict=True)
        a[...] = a  # the caller may write to it
    else:
        assert a == b


def test_everything_comes_back(run, tmp_path):
    tree = run("everything")
    expected = readers.everything(str(tmp_path / "file"))
    expected.update({"tuple": [1, [2]], "numpy scalar": 1.5})
    same(tree, expected)
    assert tree["again"] is tree["record"].fields["x"]


@LINUX
def test_surroundings(run, tmp_path, monkeypatch):
    monkeypatch.setenv("SECRET_TOKEN", "x")
    monkeypatch.setenv("PYTHONSTARTUP", "/x")
    found = run("surroundings", Limits(seconds=9, memory=1 << 30))
    limits = found["limits"]
    assert (1 << 30) < limits["AS"] < (1 << 30) + (512 << 20)
    assert limits["CPU"] == 10
    assert limits["FSIZE"] == 1 << 30
    assert limits["NOFILE"] == 64
    assert limits["NPROC"] == limits["CORE"] == 0
    assert set(found["environment"]) <= {
        *("HOME", "TMPDIR", "TEMP", "TMP", "LC_ALL", "LC_CTYPE", "OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"),
        *("MKL_NUM_THREADS", "HDF5_PLUGIN_PRELOAD", "LD_LIBRARY_PATH"),
    }
    assert found["stdin"] == ""
    assert Path(found["folder"]).parent == tmp_path
    assert found["flags"] == [1, 1]
    assert found["session"]
    assert not {"torch", "scipy", "safetensors"} & set(found["modules"])


def test_arguments(run):
    assert run("argument", arguments={"number": 41}) == 42


@pytest.mark.parametrize("name", ["sleep", "compute"])
def test_time_is_limited(run, name):
    start = time.monotonic()
    with pytest.raises(CheckpointError, match=r"file: reading took more than the 1\.5 s .* Limits\(seconds=\.\.\.\)"):
        run(name, Limits(seconds=1.5))
    assert time.monotonic() - start < 20


@LINUX
@pytest.mark.parametrize("name", ["take_memory", "take_memory_in_numpy", "fill_the_disk"])
def test_memory_is_limited(run, name):
    with pytest.raises(CheckpointError, match=r"file: reading takes more than the 256 MiB .* Limits\(memory=\.\.\.\)"):
        run(name, Limits(memory=256 << 20))


@LINUX
def test_the_child_stays_under_the_limit(tmp_path):
    # Ten gibibytes from a file of a mebibyte: bytes made of one text, ten thousand times.
    path = tmp_path / "bomb.pkl"
    one = b"h\x01h\x00h\x02\x86" + REDUCE
    parts = (text("x" * (1 << 20)), b"q\x000", named("_codecs.encode"), b"q\x010", text("latin1"), b"q\x020")
    path.write_bytes(whole(*parts, b"](", one * 10_000, b"e"))
    script = (
        "import resource, sys\n"
        "from stylerig_fast.untrusted import Limits, read_pickle\n"
        "try: read_pickle(sys.argv[1], Limits(memory=512 << 20))\n"
        "except Exception as error: print(type(error).__name__, error)\n"
        "own = next(line for line in open('/proc/self/status') if line.startswith('VmHWM'))\n"
        "print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss, own.split()[1])"
    )
    told = subprocess.run(
        [sys.executable, "-c", script, str(path)], cwd=ROOT, capture_output=True, text=True, check=True
    )
    message, figures = told.stdout.splitlines()
    assert message.startswith("CheckpointError")
    assert "more than the 512 MiB of memory" in message
    child, parent = (int(figure) >> 10 for figure in figures.split())
    assert 300 < child < 600
    assert parent < 200


@LINUX
def test_a_crash_is_an_error(run):
    with pytest.raises(FaceModelError, match="file: the process that read it was ended by SIGSEGV"):
        run("crash", error=FaceModelError)


def test_silence_is_an_error(run):
    with pytest.raises(CheckpointError, match="gave no answer .exit status 7"):
        run("leave")


def test_errors_of_libraries(run):
    with pytest.raises(FaceModelError, match=r"file: damaged, or not a file of this kind \(KeyError: .*readers\.py"):
        run("library_error", error=FaceModelError)
    with pytest.raises(CheckpointError) as refusal:
        run("library_error")
    assert "\x1b" not in str(refusal.value)


def test_own_errors_come_as_they_are(run, tmp_path):
    with pytest.raises(DataError, match=r"file: not this one$"):
        run("own_error")


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("bad_type", "a value of type object"),
        ("bad_dtype", "complex128"),
        ("nested", "more than 100 deep"),
        ("talkative", "80 MiB of values beside its arrays"),
    ],
)
def test_what_is_no_tree(run, name, message):
    with pytest.raises(CheckpointError, match=message):
        run(name)


def test_a_full_disk_is_not_the_files_fault(run):
    with pytest.raises(CheckpointError, match="no room in .*; set TMPDIR"):
        run("full_disk")


@pytest.mark.parametrize("name", LIES)
def test_the_parent_believes_nothing(run, name):
    with pytest.raises(CheckpointError, match="file: the process that read it gave no answer"):
        run("lie", Limits(memory=1 << 30), arguments={"name": name})


@pytest.mark.skipif(not hasattr(os, "symlink"), reason="needs links")
def test_a_link_is_not_followed(run):
    with pytest.raises(CheckpointError, match="gave no answer"):
        run("link")


@pytest.mark.parametrize("reader", ["os:system", "stylerig_fast:x", "stylerig_fast.x:y.z", "stylerig_fast.a:b\n", ""])
def test_readers_are_of_this_package(tmp_path, reader):
    with pytest.raises(ValueError, match="reader"):
        run_in_child(reader, tmp_path)


@pytest.mark.parametrize("limits", [Limits(seconds=0), Limits(memory=-1)])
def test_limits_are_positive(tmp_path, limits):
    with pytest.raises(ValueError, match="positive"):
        read_pickle(tmp_path, limits)


def test_odd_file_names(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in ("with space.pkl", "-I", "é日.pkl", 'quote".pkl', "new\nline.pkl"):
        Path(name).write_bytes(whole(b"K\x07"))
        assert read_pickle(name) == 7


def test_without_torch():
    script = "import sys, stylerig_fast.untrusted; print('torch' in sys.modules)"
    told = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=True)
    assert told.stdout.strip() == "False"


def test_notice_where_memory_is_not_limited(run, monkeypatch):
    with pytest.warns(UserWarning, match="does not limit a process's memory"):
        sandbox._notice(["memory"])
