"""Damaged files, bombs, and things that are no files at all."""

from __future__ import annotations

import os
import pickle
import time
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch

from stylerig_fast.errors import CheckpointError
from stylerig_fast.untrusted import Limits, Record, pickles, read_pickle
from tests.untrusted.craft import dumps_torch, torch_zip, whole

EMPTY = whole(b"}")


@pytest.fixture
def files(tmp_path) -> dict[str, Path]:
    """A sound small file of every container."""
    state = {"w": torch.arange(6.0).reshape(2, 3), "b": torch.ones(2)}
    contents = {
        "zip": dumps_torch(state, True),
        "legacy": dumps_torch(state, False),
        "plain": pickle.dumps({**state, "n": np.arange(3.0), "args": {"z_dim": 512, "names": ["a", "b"]}}, 4),
    }
    paths = {}
    for name, content in contents.items():
        paths[name] = tmp_path / f"{name}.pt"
        paths[name].write_bytes(content)
    return paths


def test_sound_files_are_read(files):
    for path in files.values():
        assert pickles.read(path)["w"].tolist() == [[0, 1, 2], [3, 4, 5]]


@pytest.mark.parametrize("kind", ["zip", "legacy", "plain"])
def test_truncated_files(files, tmp_path, kind):
    content = files[kind].read_bytes()
    path = tmp_path / "cut.pt"
    cuts = sorted({*range(0, len(content), max(1, len(content) // 150)), len(content) - 1})
    for length in cuts:
        path.write_bytes(content[:length])
        with pytest.raises(CheckpointError, match=r"cut\.pt: "):
            pickles.read(path)


@pytest.mark.parametrize("kind", ["zip", "legacy", "plain"])
def test_flipped_bits(files, tmp_path, kind):
    # A flip in a plain file's weights cannot be seen: such a file has no checksum. Whatever is read is a tree.
    content = bytearray(files[kind].read_bytes())
    path = tmp_path / "flipped.pt"
    refused = read = 0
    rng = np.random.default_rng(0)
    for position in rng.permutation(8 * len(content))[:1200].tolist():
        content[position // 8] ^= 1 << position % 8
        path.write_bytes(content)
        try:
            assert isinstance(pickles.read(path), (dict, list, Record, np.ndarray, str, int, float, type(None)))
            read += 1
        except CheckpointError:
            refused += 1
        content[position // 8] ^= 1 << position % 8
    assert refused > 50, f"{refused} refused, {read} read"


def test_flipped_weights_in_a_zip_file_are_found(files, tmp_path):
    content = bytearray(files["zip"].read_bytes())
    with zipfile.ZipFile(files["zip"]) as archive:
        info = next(entry for entry in archive.infolist() if entry.filename.endswith("/data/0"))
    start = bytes(content).index(np.arange(6, dtype="<f4").tobytes())
    path = tmp_path / "flipped.pt"
    for byte in range(info.file_size):
        content[start + byte] ^= 0x10
        path.write_bytes(content)
        with pytest.raises(CheckpointError, match="CRC"):
            pickles.read(path)
        content[start + byte] ^= 0x10


def _zip(path: Path, *entries: tuple[str, bytes], packed: int = zipfile.ZIP_DEFLATED) -> Path:
    with zipfile.ZipFile(path, "w", packed) as archive:
        for name, content in entries:
            archive.writestr(name, content)
    return path


def test_packed_zip_files_are_read(tmp_path):
    path = _zip(tmp_path / "x.pt", ("a/data.pkl", EMPTY))
    assert pickles.read(path) == {}


def test_zip_bomb_by_ratio(tmp_path):
    path = _zip(tmp_path / "bomb.pt", ("a/data.pkl", EMPTY), ("a/data/0", bytes(1 << 24)))
    with pytest.raises(CheckpointError, match="zip bomb"):
        pickles.read(path)


def test_zip_bomb_by_total(tmp_path):
    noise = np.random.default_rng(0).bytes(1 << 20)
    path = _zip(tmp_path / "bomb.pt", ("a/data.pkl", EMPTY), *((f"a/data/{k}", noise) for k in range(4)))
    with pytest.raises(CheckpointError, match=r"Limits\(memory"):
        pickles.read(path, budget=3 << 20)


def test_zip_bomb_in_the_pickle(tmp_path):
    lines = b"".join(b"I%d\n0" % k for k in range(400_000))
    path = _zip(tmp_path / "bomb.pt", ("a/data.pkl", b"\x80\x02" + lines + b"N."))
    assert pickles.read(path) is None
    with pytest.raises(CheckpointError, match="more than the"):
        pickles.read(path, budget=1 << 20)


def test_lying_sizes_in_a_zip_file(tmp_path):
    content = bytearray(_zip(tmp_path / "x.pt", ("a/data.pkl", whole(b"}" * 5, b"0" * 4))).read_bytes())
    for announced in (1, 9, 1 << 20, 0xFFFFFFFE):
        for signature, offset in ((b"PK\x01\x02", 24), (b"PK\x03\x04", 22)):
            start = content.index(signature) + offset
            content[start : start + 4] = announced.to_bytes(4, "little")
        path = tmp_path / "lying.pt"
        path.write_bytes(content)
        with pytest.raises(CheckpointError, match=r"lying\.pt: "):
            pickles.read(path)


def test_two_entries_of_one_name(tmp_path):
    with pytest.warns(UserWarning, match="Duplicate"):
        path = _zip(tmp_path / "x.pt", ("a/data.pkl", EMPTY), ("a/data.pkl", EMPTY))
    with pytest.raises(CheckpointError, match="two entries of one name"):
        pickles.read(path)


@pytest.mark.parametrize("packed", [zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_other_packing_is_refused(tmp_path, packed):
    with pytest.raises(CheckpointError, match="packed by method"):
        pickles.read(_zip(tmp_path / "x.pt", ("a/data.pkl", EMPTY), packed=packed))


def test_zip_files_that_are_something_else(tmp_path):
    for entries, message in [
        ((("x/constants.pkl", EMPTY), ("x/data.pkl", EMPTY)), "TorchScript"),
        ((("x/code/m.py", b""), ("x/data.pkl", EMPTY)), "TorchScript"),
        ((("mean.npy", b""),), "0 data.pkl"),
        ((("a/data.pkl", EMPTY), ("b/data.pkl", EMPTY)), "2 data.pkl"),
    ]:
        with pytest.raises(CheckpointError, match=message):
            pickles.read(_zip(tmp_path / "x.zip", *entries))


def test_names_that_lead_out_of_the_archive_lead_nowhere(tmp_path):
    path = torch_zip(tmp_path / "x.pt", EMPTY, {"../../../escaped": b"x"})
    assert pickles.read(path) == {}
    assert sorted(entry.name for entry in tmp_path.rglob("*")) == ["x.pt"]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "is empty"),
        (b"<!DOCTYPE html><html>", "a web page"),
        (b"  <html>", "a web page"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:", "Git LFS pointer"),
        (b"\x1f\x8b\x08\x00", "gzip"),
        (b"\x89HDF\r\n\x1a\n", "HDF5"),
        (bytes(257) + b"ustar" + bytes(300), "tar file"),
        (b"PK\x03\x04", "starts like a zip file"),
        (b"PK\x03\x04" + bytes(1000), "starts like a zip file"),
        (bytes(1000), "no pickle opcode"),
        (b"\x93NUMPY\x01\x00", "empty stack"),
        (b"\x80\x02\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19.", "before its STOP"),
        (b"\x80\x02\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19.\x80\x02M\xe8\x03.", "unknown version"),
    ],
)
def test_fake_beginnings(tmp_path, content, message):
    path = tmp_path / "fake.pkl"
    path.write_bytes(content)
    with pytest.raises(CheckpointError, match=message):
        pickles.read(path)


def test_no_such_file(tmp_path):
    with pytest.raises(CheckpointError, match=r"none\.pkl: cannot be opened \(No such file"):
        read_pickle(tmp_path / "none.pkl")


def test_folder(tmp_path):
    with pytest.raises(CheckpointError, match="is a folder"):
        read_pickle(tmp_path)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs named pipes")
def test_pipes_and_devices_are_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    start = time.monotonic()
    for path in (tmp_path / "pipe", Path("/dev/zero")):
        for read in (pickles.read, read_pickle):
            with pytest.raises(CheckpointError, match="a pipe or a device"):
                read(path)
    assert time.monotonic() - start < 5


def test_a_sparse_file_of_a_tebibyte(tmp_path):
    path = tmp_path / "sparse.pkl"
    path.write_bytes(b"\x80\x04")
    try:
        os.truncate(path, 1 << 40)
    except OSError as error:
        pytest.skip(f"this file system has no files that large ({error})")
    with pytest.raises(CheckpointError, match="raise the memory limit"):
        read_pickle(path, Limits(seconds=20, memory=512 << 20))
