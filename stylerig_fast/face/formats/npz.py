"""NumPy archives (``.npz``), checked before anything in them is unpacked. Runs in the child process."""

from __future__ import annotations

import math
import zipfile
from collections.abc import Sequence

import numpy as np

from stylerig_fast.errors import FaceModelError

MAGIC = b"PK\x03\x04"
MAX_BYTES = 1 << 30


def read_packed(path: str, names: Sequence[str]) -> dict[str, np.ndarray | list[str]]:
    """Arrays of an archive; never unpickled.

    Args:
        path: the file.
        names: which to read; what is not there is left out.

    Returns:
        Arrays of numbers by name; an array of text becomes a list.

    Raises:
        FaceModelError: damaged, too large, or arrays of Python objects.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            entries = {entry.filename: entry for entry in archive.infolist()}
            present = [name for name in names if f"{name}.npy" in entries]
            return {name: _read(archive, entries[f"{name}.npy"], f"{path}: {name}") for name in present}
    except (FaceModelError, MemoryError):
        raise
    except Exception as error:  # from zipfile, zlib, and NumPy's parser of headers, of many types
        raise FaceModelError(f"{path}: not a NumPy archive, or damaged ({error!r})") from error


def _read(archive: zipfile.ZipFile, entry: zipfile.ZipInfo, where: str) -> np.ndarray | list[str]:
    if entry.file_size > MAX_BYTES or entry.flag_bits & 1:
        raise FaceModelError(f"{where} takes {entry.file_size} bytes, or is encrypted; that is no face model's")
    with archive.open(entry) as file:
        version = np.lib.format.read_magic(file)
        read_header = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}
        if version not in read_header:
            raise FaceModelError(f"{where} is of NumPy's format {version}, expected 1.0 or 2.0")
        shape, fortran, dtype = read_header[version](file)
        size = math.prod(shape) * dtype.itemsize
        if dtype.hasobject or dtype.kind not in "biufU" or size > entry.file_size:
            raise FaceModelError(f"{where} is {dtype} of shape {shape}, which its {entry.file_size} bytes cannot be")
        raw = file.read(size)
    if len(raw) != size:
        raise FaceModelError(f"{where} has {len(raw)} of {size} bytes; the file is truncated")
    array = np.frombuffer(raw, dtype).reshape(shape, order="F" if fortran else "C")
    return [str(text) for text in array.reshape(-1)] if dtype.kind == "U" else array
