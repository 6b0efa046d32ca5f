"""Datasets of an HDF5 file by name, read without following what leads out of it. Runs in the child process.

A link may name another file, and a dataset may keep its numbers in one (external storage, virtual datasets): both are
refused. So are soft links, types of variable length, which have no size before they are read, and compression
by plug-ins, which are code.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from stylerig_fast.errors import FaceModelError

MAGIC = b"\x89HDF\r\n\x1a\n"
MAX_BYTES = 1 << 30
MAX_TEXT = 1 << 22
FILTERS = {1: "deflate", 2: "shuffle", 3: "fletcher32"}


def read_hdf5(path: str, names: Mapping[str, int | None]) -> dict[str, np.ndarray | str]:
    """Datasets of a file.

    Args:
        path: the file.
        names: what to read, ``a/b/c``, and of it how many columns at most (None for all); what is not there is left
            out. A dataset of bytes or of fixed-length text becomes str.

    Raises:
        FaceModelError: the file is damaged, or has something that is refused.
    """
    try:
        import h5py
    except ImportError as error:
        raise FaceModelError(f"{path}: HDF5 files need h5py: pip install 'stylerig-fast[convert]'") from error
    try:
        with h5py.File(path, "r") as file:
            found = {name: _find(h5py, file, name, path) for name in names}
            return {
                name: _read(dataset, name, names[name], path) for name, dataset in found.items() if dataset is not None
            }
    except (FaceModelError, MemoryError):
        raise
    except Exception as error:  # h5py raises whatever its C library complains about, as many types
        raise FaceModelError(f"{path}: damaged HDF5 file ({error})") from error


def _find(h5py: Any, file: Any, name: str, path: str) -> Any:
    """The dataset, or None where there is none."""
    node = file
    for part in name.split("/"):
        if not isinstance(node, h5py.Group):
            return None
        link = node.get(part, getlink=True)
        if link is None:
            return None
        if not isinstance(link, h5py.HardLink):
            kind = type(link).__name__
            raise FaceModelError(f"{path}: {name} is reached through a link ({kind}), which is refused")
        node = node[part]
    if not isinstance(node, h5py.Dataset):
        raise FaceModelError(f"{path}: {name} is a group, expected a dataset")
    return node


def _read(dataset: Any, name: str, keep: int | None, path: str) -> np.ndarray | str:
    creation = dataset.id.get_create_plist()
    if dataset.is_virtual or creation.get_external_count():
        raise FaceModelError(f"{path}: {name} keeps its numbers in another file, which is refused")
    filters = [creation.get_filter(index)[0] for index in range(creation.get_nfilters())]
    if not set(filters) <= set(FILTERS):
        raise FaceModelError(f"{path}: {name} is compressed with filters {filters}; only deflate is read")
    dtype = dataset.dtype
    if dtype.kind not in "fiuS" or dtype.hasobject or dtype.itemsize > (MAX_TEXT if dtype.kind == "S" else 8):
        raise FaceModelError(f"{path}: {name} holds {dtype}, expected numbers or text of fixed length")
    shape = dataset.shape
    text = dtype.kind == "S" or (dtype.itemsize == 1 and dataset.ndim <= 1)
    if shape is None or math.prod(shape) * dtype.itemsize > (MAX_TEXT if text else MAX_BYTES):
        raise FaceModelError(f"{path}: {name} has shape {shape}; that is no face model's, or damaged")
    chunks = dataset.chunks
    # A chunk is unpacked as a whole, however little of it is asked for.
    if chunks is not None and math.prod(chunks) * dtype.itemsize > MAX_BYTES:
        raise FaceModelError(f"{path}: {name} is stored in chunks of {chunks}; the file is damaged")
    if text:
        raw = np.asarray(dataset[()]).tobytes().rstrip(b"\0")
        return raw.decode("utf-8", errors="replace")
    value = dataset[:, :keep] if keep is not None and dataset.ndim == 2 else dataset[()]
    return np.asarray(value)
