"""Fuzzing of everything that reads pickles: a tree or CheckpointError, never anything else, and nothing is executed."""

from __future__ import annotations

import argparse
import codecs
import io
import os
import pickle
import sys
import zipfile
import zlib
from collections import OrderedDict
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from stylerig_fast.errors import CheckpointError
from stylerig_fast.untrusted import check_finite, ipc, pickles
from tests.untrusted.craft import call, dumps_torch, inner, named, number, text, whole
from tests.untrusted.hostile import EXCESSIVE, EXECUTING, TENSORS
from tests.untrusted.mutations import damaged, opcodes, rearranged

pytestmark = pytest.mark.slow
BUDGET = 64 << 20
# FUZZ multiplies the number of examples: CI takes about a minute for 1.
SCALE = float(os.environ.get("FUZZ", "1"))


def fuzz(examples: int) -> settings:
    return settings(
        max_examples=max(1, int(examples * SCALE)),
        deadline=None,
        database=None,
        suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
    )


def seeds() -> dict[str, bytes]:
    """Small sound files of every kind."""
    rng = np.random.default_rng(0)
    weights = {"w": torch.ones(2, 3), "b": torch.zeros(2, dtype=torch.bfloat16), "k": torch.ones(3, 3).t()[1:]}
    meta = {"type": "class", "version": 6, "module_src": "", "class_name": "Generator"}
    meta["state"] = {"_init_args": (), "_init_kwargs": {"z_dim": 4}, "_buffers": {"x": torch.ones(2)}, "_modules": {}}
    persistent = call(named("torch_utils.persistence._reconstruct_persistent_obj"), inner(meta))
    network = {"version": 4, "name": "Gs", "variables": [("w", rng.normal(size=3).astype(np.float32))]}
    arrays = {"f": np.ones((2, 2), ">f4", order="F"), "s": np.array(["a"]), "n": np.float64(1), "b": b"\x00\xff"}
    return {
        "persistent": whole(b"}", text("G_ema"), persistent, b"s"),
        "tensorflow": whole(named("dnnlib.tflib.network.Network"), b")\x81", inner(network), b"b"),
        "arrays 0": pickle.dumps(arrays, 0),
        "arrays 5": pickle.dumps(arrays, 5),
        "training": pickle.dumps({"g_ema": weights, "args": argparse.Namespace(size=8), "o": OrderedDict(a={1})}, 4),
        "flame": whole(b"}", text("v"), named("chumpy.ch.Ch"), b")\x81", inner({"x": np.ones(3)}), b"bs"),
    }


SEEDS = seeds()
PIECES = sorted(
    {
        *(part for pickled in SEEDS.values() for part in opcodes(pickled) if len(part) < 60),
        *(bytes([code]) for code in b"()]}t0123NRbeausdlio\x81\x85\x86\x87\x88\x89\x8f\x90\x91\x92\x93\x94\x97\x98Q"),
        *(named(name) for name in ("os.system", "builtins.eval", "torch.load", "torch.Size", "numpy.ndarray")),
        *(number(value) for value in (0, 1, 4, -1, 1 << 31, 1 << 62, 1 << 63)),
        *(
            b"\x82\x01",
            b"Vx\n",
            b"I01\n",
            b"F1e400\n",
            b"\x8a\x00",
            b"\x95" + bytes(8),
            b"\x80\x05",
            b"\x96" + bytes(8),
        ),
    }
)
HOSTILE = [make(Path("SENTINEL")) for make in EXECUTING.values()]
HOSTILE += [make() for name, make in EXCESSIVE.items() if not name.startswith(("billion", "deep", "huge", "many"))]

_watched: list[str] | None = None
_EVENTS = ("exec", "compile", "os.", "subprocess.", "pickle.", "marshal.", "socket.", "shutil.", "ctypes.", "import")
_HARMLESS = ("os.listdir", "os.scandir", "os.putenv")


def _watch(event: str, arguments: tuple) -> None:
    if _watched is None or not event.startswith(_EVENTS) or event in _HARMLESS:
        return
    _watched.append(f"{event} {str(arguments)[:200]}")


sys.addaudithook(_watch)  # for the life of the process; it does nothing outside of `nothing_happens`


@contextmanager
def nothing_happens() -> Iterator[None]:
    """That no code is compiled, executed or imported, no process started, no pickle loaded."""
    global _watched
    _watched = []
    try:
        yield
        events, _watched = _watched, None
        assert not events, events
    finally:
        _watched = None


def check(path: Path, content: bytes) -> bool:
    """Whether the file is read; anything but a tree or CheckpointError is a failure."""
    path.write_bytes(content)
    message = tree = None
    with nothing_happens():
        try:
            tree = pickles.read(path, BUDGET)
        except CheckpointError as error:
            message = str(error)
    if message is not None:
        assert message.startswith(str(path))
        return False
    with suppress(CheckpointError):
        check_finite(tree, "x")
    try:
        ipc.write(tree, path.parent)
    except CheckpointError:
        return False
    ipc.read(path.parent, BUDGET)
    return True


@pytest.fixture(scope="module")
def path(tmp_path_factory, monkeypatch_module) -> Iterator[Path]:
    folder = tmp_path_factory.mktemp("fuzz")
    monkeypatch_module.chdir(folder)  # where SENTINEL would be
    codecs.lookup("cp437")  # zipfile's, imported when it is first needed
    for content in (*SEEDS.values(), dumps_torch({"w": torch.ones(2)}, True), dumps_torch({"w": torch.ones(2)}, False)):
        assert _warm(folder / "file", content)
    yield folder / "file"
    assert not list(folder.glob("SENTINEL*"))


def _warm(path: Path, content: bytes) -> bool:
    """Reads a sound file unwatched, so that what is imported late has been imported."""
    path.write_bytes(content)
    pickles.read(path)
    return check(path, content)


@pytest.fixture(scope="module")
def monkeypatch_module() -> Iterator[pytest.MonkeyPatch]:
    with pytest.MonkeyPatch.context() as patch:
        yield patch


@fuzz(3500)
@given(content=rearranged([opcodes(pickled) for pickled in SEEDS.values()], PIECES))
def test_rearranged_pickles(path, content):
    check(path, content)


@fuzz(1500)
@given(content=damaged([*SEEDS.values(), *HOSTILE]))
def test_damaged_pickles(path, content):
    check(path, content)


@fuzz(700)
@given(content=damaged([dumps_torch({"w": torch.ones(2, 3), "b": torch.ones(2).half()}, zipped=False)]))
def test_damaged_legacy_files(path, content):
    check(path, content)


ZIPPED = dumps_torch({"w": torch.ones(2, 3), "b": torch.ones(2).half()}, zipped=True)
with zipfile.ZipFile(io.BytesIO(ZIPPED)) as _sound:
    ENTRIES = {info.filename: _sound.read(info) for info in _sound.infolist()}
BODIES = [ENTRIES["archive/data.pkl"], *TENSORS.values()]


@fuzz(700)
@given(content=damaged([ZIPPED]))
def test_damaged_zip_files(path, content):
    check(path, content)


@fuzz(1200)
@given(content=st.one_of(rearranged([opcodes(body) for body in BODIES], PIECES), damaged(BODIES)))
def test_zip_files_around_damaged_pickles(path, content):
    # The checksums are right, so that what is inside is looked at.
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w") as archive:
        for entry, body in {**ENTRIES, "archive/data.pkl": content}.items():
            archive.writestr(entry, body)
    check(path, made.getvalue())


@fuzz(800)
@given(
    content=st.binary(max_size=200), start=st.sampled_from([b"", b"\x80\x02", b"PK\x03\x04", b"\x80\x04}", b"(dp0\n"])
)
def test_any_bytes(path, content, start):
    check(path, start + content)


def test_the_fuzzer_reaches_both_ends(path):
    """That damaged files are not all refused at their first byte, nor all read."""
    outcomes: list[bool] = []

    @settings(max_examples=300, deadline=None, database=None, derandomize=True)
    @given(content=rearranged([opcodes(pickled) for pickled in SEEDS.values()], PIECES))
    def run(content: bytes) -> None:
        outcomes.append(check(path, content))

    run()
    assert 0.05 < np.mean(outcomes) < 0.9


def test_zlib_errors_are_ours(path):
    # A deflated entry whose stream is damaged, with a right checksum over what it should be.
    packed = zlib.compress(b"x" * 1000)[2:-4]
    with zipfile.ZipFile(path.parent / "zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("a/data.pkl", b"x" * 1000)
    content = (path.parent / "zip").read_bytes()
    assert packed in content
    assert not check(path, content.replace(packed, bytes(len(packed))))
