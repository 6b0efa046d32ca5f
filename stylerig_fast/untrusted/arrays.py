"""numpy's dtypes, arrays and scalars as pickles describe them. Sizes are checked before anything is made."""

from __future__ import annotations

import math
import re
from typing import Any

import numpy as np

from stylerig_fast.errors import CheckpointError
from stylerig_fast.untrusted.pickle_vm import shown
from stylerig_fast.untrusted.values import Array, DType

# As numpy's pickles name them: booleans, integers, floats to 64 bits, and text, which becomes lists of str.
_NAME = re.compile(r"[<>|=]?(\?|b1|[iu][1248]|f[248]|[SU][0-9]{1,7})", re.ASCII)
_EXPECTED = "booleans, integers, floats of 16 to 64 bits or text"
MAX_DIMENSIONS = 32
MAX_TEXT = 1 << 18  # bytes of one element


def make_dtype(*args: Any) -> DType:
    """``numpy.dtype(name, align, copy)``: of plain numbers and text only."""
    name = args[0] if args else None
    if not isinstance(name, str) or not _NAME.fullmatch(name):
        given = shown(name) if isinstance(name, str) else type(name).__name__
        raise CheckpointError(f"an array has the dtype {given!r}; expected {_EXPECTED}")
    dtype = np.dtype(name)
    if dtype.kind in "SU" and dtype.itemsize > MAX_TEXT:
        raise CheckpointError(f"an array has text of {dtype.itemsize} bytes an element; expected at most {MAX_TEXT}")
    return DType(dtype)


def build_dtype(target: DType, state: Any) -> None:
    """``(version, byte order, subdtype, names, fields, size, alignment, flags...)``: only the byte order matters."""
    if not isinstance(state, tuple) or len(state) < 5 or state[1] not in ("<", ">", "|", "="):
        raise CheckpointError("an array's dtype has a state of another form; the file is damaged")
    if any(part is not None for part in state[2:5]):
        raise CheckpointError("an array has a structured dtype; a checkpoint's arrays are plain numbers")
    if target.dtype.kind in "SU" and len(state) > 5 and state[5] not in (-1, target.dtype.itemsize):
        raise CheckpointError("an array's dtype gives two sizes; the file is damaged")
    if state[1] in "<>":
        target.dtype = target.dtype.newbyteorder(state[1])


def reconstruct(*args: Any) -> Array:
    """``numpy.core.multiarray._reconstruct(ndarray, (0,), b"b")``: an empty array that gets its state later."""
    return Array()


def build_array(target: Array, state: Any) -> None:
    """``(version, shape, dtype, Fortran order, raw bytes)``, in old files without the version."""
    if not isinstance(state, tuple) or len(state) not in (4, 5):
        raise CheckpointError("an array has a state of another form; the file is damaged")
    shape, dtype, fortran, raw = state[-4:]
    fill(target, shape, dtype, bool(fortran) if isinstance(fortran, (bool, int)) else None, raw)


def from_buffer(raw: Any = None, dtype: Any = None, shape: Any = None, order: Any = "C", *rest: Any) -> Array:
    """``numpy.core.numeric._frombuffer``: an array of pickle protocol 5."""
    target = Array()
    fill(target, shape, dtype, {"C": False, "F": True, "A": False, "K": False}.get(order), raw)
    return target


def fill(target: Array, shape: Any, dtype: Any, fortran: bool | None, raw: Any) -> None:
    """Gives an array that a pickle has begun its shape, dtype and content; CheckpointError unless they are such."""
    if isinstance(raw, list):
        raise CheckpointError("an array holds Python objects; a checkpoint's arrays are plain numbers")
    if not isinstance(dtype, DType) or fortran is None or not isinstance(raw, (bytes, memoryview, str)):
        raise CheckpointError("an array has a state of another form; the file is damaged")
    target.shape, target.dtype, target.fortran, target.raw = checked_shape(shape), dtype.dtype, fortran, raw


def checked_shape(shape: Any) -> tuple[int, ...]:
    """A shape that is one: not too many dimensions, none negative."""
    if not isinstance(shape, (tuple, list)) or not all(type(n) is int and 0 <= n < 1 << 62 for n in shape):
        raise CheckpointError("an array has a shape that is none; the file is damaged")
    if len(shape) > MAX_DIMENSIONS:
        raise CheckpointError(f"an array has {len(shape)} dimensions; expected at most {MAX_DIMENSIONS}")
    return tuple(shape)


def to_numpy(array: Array) -> np.ndarray:
    """The array itself, in this machine's byte order; a view of the file's bytes where that is possible."""
    if array.dtype is None:
        raise CheckpointError("an array was announced and never described; the file is damaged")
    raw = array.raw
    if isinstance(raw, str):  # bytes as Python 2 and protocol 2 write them
        try:
            raw = raw.encode("latin-1")
        except UnicodeEncodeError as error:
            raise CheckpointError("an array's bytes are text with letters that no byte stands for") from error
    wanted = math.prod(array.shape) * array.dtype.itemsize
    if wanted != len(raw):
        raise CheckpointError(
            f"an array of shape {array.shape}, {array.dtype} takes {wanted} bytes, but has {len(raw)}"
        )
    if wanted == 0:
        return np.zeros(array.shape if math.prod(array.shape) == 0 else (0,), array.dtype.newbyteorder("="))
    if array.dtype.kind == "b":
        flat: np.ndarray = np.frombuffer(raw, np.uint8) != 0  # other bytes than 0 and 1 make undefined booleans
    else:
        flat = np.frombuffer(raw, array.dtype)
        flat = flat.astype(array.dtype.newbyteorder("="), copy=False)
    return flat.reshape(array.shape, order="F" if array.fortran else "C")


def scalar(dtype: Any = None, raw: Any = b"") -> Any:
    """``numpy.core.multiarray.scalar(dtype, bytes)`` as a Python number or str."""
    target = Array()
    fill(target, (), dtype, False, raw)
    value = to_numpy(target)
    return value.item() if value.size else ""
