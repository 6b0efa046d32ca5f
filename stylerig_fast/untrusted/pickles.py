"""One file of pickled tensors, whatever its container: zip or older torch file, or a plain pickle.

This runs in the child process; it can also be called by itself, without the limits of one.
"""

from __future__ import annotations

import errno
import mmap
import struct
from pathlib import Path
from typing import Any, BinaryIO

from stylerig_fast.errors import CheckpointError
from stylerig_fast.untrusted import torch_legacy
from stylerig_fast.untrusted.allowlist import AllowList
from stylerig_fast.untrusted.build_tree import Finisher
from stylerig_fast.untrusted.opcodes import unpickle
from stylerig_fast.untrusted.regular_file import open_regular
from stylerig_fast.untrusted.torch_legacy import TorchLegacy, load_from_bytes
from stylerig_fast.untrusted.torch_zip import TorchZip
from stylerig_fast.untrusted.tree import Tree

DEFAULT_BUDGET = 2 << 30
# What damaged numbers and texts bring about in struct, int(), str() and numpy.
DAMAGE = (ValueError, ArithmeticError, RecursionError, struct.error)
MEMORY_ERRORS = (MemoryError, OSError)  # mapping a file fails with the latter


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
            return Finisher(budget).finish(_describe(file, budget))
    except CheckpointError as error:
        raise CheckpointError(f"{path}: {error}") from error
    except MEMORY_ERRORS as error:
        if isinstance(error, OSError) and error.errno != errno.ENOMEM:
            raise CheckpointError(f"{path}: cannot be read ({error.strerror})") from error
        raise MemoryError from error
    except DAMAGE as error:
        raise CheckpointError(f"{path}: damaged, or not a checkpoint ({type(error).__name__}: {error})") from error


def _describe(file: BinaryIO, budget: int) -> Any:
    head = file.read(512)
    file.seek(0)
    _refuse_other_kinds(head)
    if head.startswith(b"PK\x03\x04"):
        archive = TorchZip(file, budget)
        value, _ = unpickle(memoryview(archive.pickle()), AllowList(), archive.persistent)
        return value
    # Mapped, not read: arrays are views of the file, and what nobody looks at takes no memory.
    data = memoryview(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ))
    allow = AllowList(load_from_bytes)
    value, end = unpickle(data, allow)
    if type(value) is int and value == torch_legacy.MAGIC:
        return TorchLegacy(data, allow).read()
    if end != len(data):
        raise CheckpointError(f"goes on for {len(data) - end} bytes after the end of its pickle; the file is damaged")
    return value


def _refuse_other_kinds(head: bytes) -> None:
    """Files that are often given by mistake: says what each is."""
    if not head:
        raise CheckpointError("is empty; the download did not finish")
    start = head.lstrip().lower()
    for magic, kind in _OTHER_KINDS.items():
        if start.startswith(magic):
            raise CheckpointError(f"is {kind}")
    if head[257:262] == b"ustar":
        raise CheckpointError("is a tar file; unpack it, or if it is a torch file from before 2017, save it anew")


_OTHER_KINDS = {
    b"<!doctype": "a web page; the download did not give the file itself",
    b"<html": "a web page; the download did not give the file itself",
    b"version https://git-lfs": "a Git LFS pointer; fetch the file itself with `git lfs pull`",
    b"\x1f\x8b": "compressed with gzip; unpack it first",
    b"\x89hdf": "an HDF5 file, not a pickle",
}
