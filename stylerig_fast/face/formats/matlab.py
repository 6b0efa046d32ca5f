"""MATLAB files, version 5: numeric matrices by name, nothing else. Runs in the child process."""

from __future__ import annotations

import math
import os
import struct
from collections.abc import Mapping

import numpy as np

from stylerig_fast.errors import FaceModelError

MAGIC = b"MATLAB 5.0 MAT-file"
HDF5_MAGIC = b"MATLAB 7.3 MAT-file"
NUMERIC = ("double", "single", "int8", "uint8", "int16", "uint16", "int32", "uint32", "int64", "uint64")
MAX_BYTES = 1 << 30  # a matrix; the Basel bases, 160,470 x 199 in single, are an eighth of it


def is_matlab(start: bytes) -> bool:
    """Whether a file that starts like this is MATLAB's, of any version."""
    return start.startswith((MAGIC, HDF5_MAGIC))


def matlab_names(path: str) -> list[str]:
    """Names of the matrices in a file. Runs in the child process.

    Raises:
        FaceModelError: it cannot be read.
    """
    return [name for name, _, kind in _list(path) if kind in NUMERIC]


def read_matlab(path: str, names: Mapping[str, int | None]) -> dict[str, np.ndarray]:
    """Matrices of a MATLAB file.

    Args:
        path: the file.
        names: what to read, and of it how many columns at most (None for all); what is not there is left out.

    Raises:
        FaceModelError: the file is damaged, or a matrix is no numbers or far too large.
    """
    from scipy.io import loadmat

    listed = {name: (shape, kind) for name, shape, kind in _list(path)}
    for name in names:
        shape, kind = listed.get(name, ((0, 0), "double"))
        if kind not in NUMERIC:
            raise FaceModelError(f"{path}: {name} is {kind}, expected a matrix of numbers")
        # Eight bytes: how a matrix is stored in the file says nothing about how it is stored in memory.
        if math.prod(shape) * 8 > MAX_BYTES:
            raise FaceModelError(f"{path}: {name} has shape {tuple(shape)}; that is no face model's, or damaged")
    wanted = [name for name in names if name in listed]
    try:
        loaded = loadmat(path, appendmat=False, variable_names=wanted, chars_as_strings=False)
    except MemoryError:
        raise
    except Exception as error:  # whatever SciPy's parser raises on bytes that are no matrix
        raise FaceModelError(f"{path}: damaged MATLAB file ({error})") from error
    result = {}
    for name in wanted:
        value = loaded.get(name)
        if not isinstance(value, np.ndarray) or value.dtype.kind not in "fiu" or value.ndim != 2:
            raise FaceModelError(f"{path}: {name} is not a matrix of numbers; the file is damaged")
        keep = names[name]
        result[name] = np.ascontiguousarray(value[:, :keep])
    return result


def _check_whole(path: str) -> None:
    """Raises FaceModelError where a matrix ends behind the file's end; SciPy misses that in those nobody asks for."""
    size = os.path.getsize(path)
    with open(path, "rb") as file:
        head = file.read(128)
        order = {b"IM": "<", b"MI": ">"}.get(head[126:128])
        if order is None:
            raise FaceModelError(f"{path}: damaged MATLAB file: its header does not tell the byte order")
        end = len(head)
        while end + 8 <= size:
            file.seek(end)
            kind, count = struct.unpack(order + "II", file.read(8))
            if kind not in (14, 15):  # a matrix, a compressed one
                raise FaceModelError(f"{path}: damaged MATLAB file: an element of type {kind} at byte {end}")
            end += 8 + count
    if end != size:
        raise FaceModelError(f"{path}: {size} bytes, but its matrices take {end}; the file is truncated")


def _list(path: str) -> list[tuple[str, tuple[int, ...], str]]:
    try:
        from scipy.io import whosmat
    except ImportError as error:
        raise FaceModelError(f"{path}: MATLAB files need scipy: pip install 'stylerig-fast[convert]'") from error
    with open(path, "rb") as file:
        start = file.read(len(MAGIC))
    if start == HDF5_MAGIC:
        raise FaceModelError(f"{path}: a MATLAB 7.3 file; save it from MATLAB with `-v7`, or from Python with scipy")
    if start != MAGIC:
        raise FaceModelError(f"{path}: not a MATLAB 5 file")
    _check_whole(path)
    try:
        return whosmat(path, appendmat=False)
    except MemoryError:
        raise
    except Exception as error:  # whatever SciPy's parser raises on bytes that are no matrix
        raise FaceModelError(f"{path}: damaged MATLAB file ({error})") from error
