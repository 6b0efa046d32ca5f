"""One file of pickled tensors, whatever its container: zip or older torch file, or a plain pickle.

This runs in the child process; it can also be called by itself, without the limits of one.
"""

from __future__ import annotations

import io
import mmap
from pathlib import Path
from typing import Any, BinaryIO

from stylerig_fast.errors import CheckpointError
from stylerig_fast.untrusted import torch_legacy
from stylerig_fast.untrusted.allowed import AllowList
from stylerig_fast.untrusted.finish import Finisher
from stylerig_fast.untrusted.machine import Machine
from stylerig_fast.untrusted.open import open_regular
from stylerig_fast.untrusted.torch_zip import TorchZip
from stylerig_fast.untrusted.tree import Tree

DEFAULT_BUDGET = 2 << 30


def read(path: str | Path, budget: int = DEFAULT_BUDGET) -> Tree:
    """Reads a pickle or a torch file in this process.

    Args:
        path: the file.
        budget: bytes that its arrays, and the entries of a zip file, may take.

    Raises:
        CheckpointError: it is damaged, names a global that is not allowed, or is too large.
    """
    path = Path(path)
    try:
        with open_regular(path) as file:
            return Finisher(budget).tree(_describe(file, budget))
    except CheckpointError as error:
        raise CheckpointError(f"{path}: {error}") from error
    except (ValueError, OverflowError, ArithmeticError, RecursionError) as error:
        # What a damaged number or text can bring about in struct, int(), str() and numpy.
        raise CheckpointError(f"{path}: damaged, or not a checkpoint ({type(error).__name__}: {error})") from error


def _describe(file: BinaryIO, budget: int) -> Any:
    head = file.read(512)
    file.seek(0)
    _refuse_other_kinds(head)
    if head.startswith(b"PK\x03\x04"):
        archive = TorchZip(file, budget)
        return _run(memoryview(archive.pickle()), AllowList(None), archive.persistent)
    data = memoryview(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ))
    if head.startswith(torch_legacy.START):
        return torch_legacy.TorchLegacy(data, AllowList(torch_legacy.load_from_bytes)).read()
    return _run(data, AllowList(torch_legacy.load_from_bytes))


def _run(data: memoryview, allow: AllowList, persistent: Any = None) -> Any:
    return Machine(data, 0, allow.find, allow.call, allow.make, allow.build, persistent).run()


def _refuse_other_kinds(head: bytes) -> None:
    """Files that are often given by mistake, each with what it is."""
    start = head.lstrip()[:64].lower()
    known = {
        b"<!doctype": "a web page; the download did not give the file itself",
        b"<html": "a web page; the download did not give the file itself",
        b"version https://git-lfs": "a Git LFS pointer; fetch the file itself with `git lfs pull`",
        b"\x1f\x8b": "compressed with gzip; unpack it first",
        b"\x89hdf": "an HDF5 file, not a pickle",
        b"{": "",
    }
    if not head:
        raise CheckpointError("is empty; the download did not finish")
    for magic, kind in known.items():
        if kind and start.startswith(magic):
            raise CheckpointError(f"is {kind}")
    if head[257:262] == b"ustar":
        raise CheckpointError("is a tar file, as torch wrote before 2017, or packed; unpack it, or save it anew")


def open_bytes(data: bytes) -> BinaryIO:
    """For tests: bytes as a file."""
    return io.BytesIO(data)
