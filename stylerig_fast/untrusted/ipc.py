"""A tree on its way from the child process to the parent: JSON, and the arrays in a file of safetensors' layout.

No pickle comes back. The parent believes nothing of what it reads, because a damaged library in the child may have
written it: names, types, sizes and positions are checked before anything is allocated.
"""

from __future__ import annotations

import json
import math
import struct
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from stylerig_fast.errors import CheckpointError
from stylerig_fast.untrusted.arrays import MAX_DIMENSIONS
from stylerig_fast.untrusted.build_tree import MAX_DEPTH
from stylerig_fast.untrusted.tree import Record, Tree

TREE, ARRAYS = "tree.json", "arrays.safetensors"
MAX_JSON = 32 << 20
DTYPES = {
    "BOOL": "|b1",
    "I8": "|i1",
    "U8": "|u1",
    "I16": "<i2",
    "U16": "<u2",
    "F16": "<f2",
    "I32": "<i4",
    "U32": "<u4",
    "F32": "<f4",
    "I64": "<i8",
    "U64": "<u8",
    "F64": "<f8",
}
_NAMES = {(np.dtype(layout).kind, np.dtype(layout).itemsize): name for name, layout in DTYPES.items()}
_CHUNK = 1 << 22  # elements written at a time


def write(tree: Tree, folder: Path) -> None:
    """Writes a tree into a folder (in the child).

    Raises:
        CheckpointError: it has something that no tree has, or too much text.
    """
    encoder = _Encoder()
    text = json.dumps(encoder.encode(tree, 0)).encode("ascii")
    if len(text) > MAX_JSON:
        raise CheckpointError(
            f"has {len(text) >> 20} MiB of values beside its arrays; expected at most {MAX_JSON >> 20} MiB"
        )
    with open(folder / ARRAYS, "wb") as file:
        _write_arrays(encoder.arrays, file)
    (folder / TREE).write_bytes(text)


def read(folder: Path, budget: int) -> Tree:
    """Reads a tree from a folder (in the parent).

    Args:
        folder: what the child wrote into.
        budget: bytes that the arrays may take.

    Raises:
        ValueError: the files are not what :func:`write` writes.
    """
    with open_plain(folder / ARRAYS) as file:
        arrays = _read_arrays(file, budget)
    with open_plain(folder / TREE) as file:
        return _decode(_json(file.read(MAX_JSON + 1)), arrays)


def open_plain(path: Path) -> BinaryIO:
    """Opens a file that the child wrote; a link that it put there instead is refused."""
    if path.is_symlink() or not path.is_file():
        raise ValueError(f"the child process wrote no {path.name}")
    return open(path, "rb")


class _Encoder:
    """Plain values stand for themselves, lists for lists; what else there is becomes an object with one key."""

    def __init__(self) -> None:
        self.arrays: list[np.ndarray] = []
        self._index: dict[int, int] = {}

    def encode(self, tree: Tree, depth: int) -> Any:
        if tree is None or type(tree) in (bool, int, float, str):
            return tree
        if isinstance(tree, np.ndarray):
            return {"array": self._add(tree)}
        if isinstance(tree, np.generic):
            return self.encode(tree.item(), depth)
        if depth > MAX_DEPTH:
            raise CheckpointError(f"nests values more than {MAX_DEPTH} deep")
        if isinstance(tree, (list, tuple)):
            return [self.encode(item, depth + 1) for item in tree]
        if isinstance(tree, Record):
            return {"record": [tree.kind, tree.name, self._fields(tree.fields, depth)]}
        if isinstance(tree, dict):
            return {"dict": self._fields(tree, depth)}
        raise CheckpointError(f"has a value of type {type(tree).__name__}, which is no part of a tree")

    def _fields(self, fields: dict[str, Tree], depth: int) -> dict[str, Any]:
        if not all(type(key) is str for key in fields):
            raise CheckpointError("has a dictionary whose keys are not all text")
        return {key: self.encode(value, depth + 1) for key, value in fields.items()}

    def _add(self, array: np.ndarray) -> int:
        if (array.dtype.kind, array.dtype.itemsize) not in _NAMES:
            raise CheckpointError(
                f"an array has the dtype {array.dtype}; expected booleans, integers, floats to 64 bits"
            )
        if id(array) not in self._index:
            self._index[id(array)] = len(self.arrays)
            self.arrays.append(array)
        return self._index[id(array)]


def _write_arrays(arrays: list[np.ndarray], file: BinaryIO) -> None:
    header, end = {}, 0
    for k, array in enumerate(arrays):
        name = _NAMES[array.dtype.kind, array.dtype.itemsize]
        header[str(k)] = {"dtype": name, "shape": array.shape, "data_offsets": [end, end + array.nbytes]}
        end += array.nbytes
    text = json.dumps(header).encode("ascii")
    if len(text) > MAX_JSON:
        raise CheckpointError(f"has {len(arrays)} arrays; a checkpoint has some thousands")
    text += b" " * (-len(text) % 8)
    file.write(struct.pack("<Q", len(text)) + text)
    for array in arrays:
        layout = np.dtype(DTYPES[_NAMES[array.dtype.kind, array.dtype.itemsize]])
        if array.flags.c_contiguous and array.dtype == layout:
            file.write(array.reshape(-1).view(np.uint8).data)
            continue
        # In pieces, so that a large view of another order is never there twice.
        flat = array.flat
        for start in range(0, array.size, _CHUNK):
            file.write(np.ascontiguousarray(flat[start : start + _CHUNK], layout).tobytes())


def _read_arrays(file: BinaryIO, budget: int) -> list[np.ndarray]:
    file.seek(0, 2)
    total = file.tell()
    file.seek(0)
    head = file.read(8)
    length = struct.unpack("<Q", head)[0] if len(head) == 8 else total
    if length > min(MAX_JSON, total - 8) or total > budget + length + 8:
        raise ValueError("the child process wrote arrays of another size than it may")
    header = _json(file.read(length))
    if not isinstance(header, dict):
        raise ValueError("the child process wrote arrays without a list of them")
    layouts, position = [], 0
    for k in range(len(header)):
        dtype, shape = _layout(header.get(str(k)))
        end = position + math.prod(shape) * dtype.itemsize
        if header[str(k)].get("data_offsets") != [position, end]:
            raise ValueError(f"the child process wrote array {k} in another place than announced")
        layouts.append((dtype, shape))
        position = end
    if total != position + length + 8:
        raise ValueError("the child process wrote more or less than announced")
    arrays = []
    for dtype, shape in layouts:
        flat = np.fromfile(file, dtype, math.prod(shape))
        if dtype.kind == "b":
            flat = flat.view(np.uint8) != 0
        arrays.append(flat.reshape(shape))
    return arrays


def _layout(entry: Any) -> tuple[np.dtype[Any], tuple[int, ...]]:
    shape = entry.get("shape") if isinstance(entry, dict) else None
    if not isinstance(shape, list) or len(shape) > MAX_DIMENSIONS or not all(type(n) is int and n >= 0 for n in shape):
        raise ValueError("the child process wrote an array without a shape")
    if entry.get("dtype") not in DTYPES:
        raise ValueError("the child process wrote an array of an unknown dtype")
    return np.dtype(DTYPES[entry["dtype"]]), tuple(shape)


def _json(text: bytes) -> Any:
    if len(text) > MAX_JSON:
        raise ValueError("the child process wrote more text than it may")
    try:
        return json.loads(text)
    except RecursionError as error:
        raise ValueError("the child process wrote text that nests too deep") from error


def _decode(value: Any, arrays: list[np.ndarray]) -> Tree:
    if isinstance(value, list):
        return [_decode(item, arrays) for item in value]
    if not isinstance(value, dict):
        return value
    ((kind, content),) = value.items()
    if kind == "dict" and isinstance(content, dict):
        return {key: _decode(item, arrays) for key, item in content.items()}
    if kind == "array" and type(content) is int and 0 <= content < len(arrays):
        return arrays[content]
    if kind == "record" and isinstance(content, list) and len(content) == 3 and isinstance(content[2], dict):
        fields = {key: _decode(item, arrays) for key, item in content[2].items()}
        return Record(str(content[0]), str(content[1]), fields)
    raise ValueError("the child process wrote a tree that is none")
