"""torch's storages and tensors as pickles describe them. Sizes are checked before anything is made."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from stylerig_fast.errors import CheckpointError
from stylerig_fast.untrusted.arrays import checked_shape
from stylerig_fast.untrusted.values import Global, Storage, Tensor

# What torch calls them -> what numpy reads. bfloat16 is the upper half of a float32.
DTYPES = {
    "float64": "<f8",
    "float32": "<f4",
    "float16": "<f2",
    "bfloat16": "<u2",
    "int64": "<i8",
    "int32": "<i4",
    "int16": "<i2",
    "int8": "<i1",
    "uint8": "<u1",
    "bool": "<u1",
}
STORAGES = {
    "DoubleStorage": "float64",
    "FloatStorage": "float32",
    "HalfStorage": "float16",
    "BFloat16Storage": "bfloat16",
    "LongStorage": "int64",
    "IntStorage": "int32",
    "ShortStorage": "int16",
    "CharStorage": "int8",
    "ByteStorage": "uint8",
    "BoolStorage": "bool",
    "UntypedStorage": "uint8",
}
# A view may repeat elements of its storage, as expanded tensors do, up to this many in all.
MAX_REPEATED = 1 << 20


def item_size(dtype: str) -> int:
    """Bytes of one element."""
    return np.dtype(DTYPES[dtype]).itemsize


def storage_type(cls: Any) -> str:
    """The element type of ``torch.FloatStorage`` and the like."""
    name = cls.name.rsplit(".", 1)[-1] if isinstance(cls, Global) else ""
    if name not in STORAGES:
        raise CheckpointError(
            "a tensor has a storage whose type is not known; the file is damaged, or quantised or complex"
        )
    return STORAGES[name]


def rebuild(storage: Any = None, offset: Any = None, size: Any = None, stride: Any = None, *rest: Any) -> Tensor:
    """``torch._utils._rebuild_tensor_v2(storage, offset, size, stride, requires_grad, hooks)``."""
    if not isinstance(storage, Storage) or type(offset) is not int or offset < 0:
        raise CheckpointError("a tensor is not described by a storage and an offset; the file is damaged")
    sizes, strides = checked_shape(size), checked_shape(stride)
    if len(sizes) != len(strides):
        raise CheckpointError(f"a tensor has sizes {sizes} and strides {strides}; the file is damaged")
    return Tensor(storage, offset, sizes, strides, storage.dtype)


def rebuild_untyped(*args: Any) -> Tensor:
    """``_rebuild_tensor_v3``: the same, with the type beside an untyped storage."""
    tensor = rebuild(*args)
    name = args[6].name.rsplit(".", 1)[-1] if len(args) > 6 and isinstance(args[6], Global) else ""
    if name not in DTYPES:
        raise CheckpointError("a tensor has a type that is not known; the file is damaged, or quantised or complex")
    tensor.dtype = name
    return tensor


def rebuild_parameter(data: Any = None, *rest: Any) -> Any:
    """``_rebuild_parameter(data, requires_grad, hooks)``: its tensor."""
    return data


def to_numpy(tensor: Tensor) -> np.ndarray:
    """The tensor's values; a view of the file's bytes where that is possible, float32 for bfloat16."""
    storage = tensor.storage
    if storage.data is None:
        raise CheckpointError(f"{storage.where} has a storage whose bytes the file lacks; it looks truncated")
    wanted = storage.count * item_size(storage.dtype)
    if len(storage.data) != wanted:
        raise CheckpointError(f"{storage.where} announces {wanted} bytes, but the file has {len(storage.data)} of it")
    count = math.prod(tensor.size)
    if count == 0:
        return np.zeros(tensor.size, _result(tensor.dtype))
    flat = np.frombuffer(storage.data, np.uint8)
    flat = flat[: len(flat) // item_size(tensor.dtype) * item_size(tensor.dtype)].view(DTYPES[tensor.dtype])
    last = tensor.offset + sum((n - 1) * step for n, step in zip(tensor.size, tensor.stride, strict=True))
    if last >= flat.size:
        raise CheckpointError(
            f"a tensor of size {tensor.size}, stride {tensor.stride}, offset {tensor.offset} reaches beyond its "
            f"storage of {flat.size} elements; the file is damaged"
        )
    if count > max(flat.size, MAX_REPEATED):
        raise CheckpointError(f"a tensor of size {tensor.size} repeats a storage of only {flat.size} elements")
    # The step along one element is never taken, and may be any number.
    strides = tuple(step * flat.itemsize if n > 1 else 0 for n, step in zip(tensor.size, tensor.stride, strict=True))
    view = np.lib.stride_tricks.as_strided(flat[tensor.offset :], tensor.size, strides)  # read-only, as the bytes are
    return _convert(view, tensor.dtype)


def _result(dtype: str) -> str:
    return {"bfloat16": "float32"}.get(dtype, dtype)


def _convert(view: np.ndarray, dtype: str) -> np.ndarray:
    if dtype == "bool":
        return view != 0
    if dtype == "bfloat16":
        return (view.astype(np.uint32) << 16).view(np.float32)
    return view.astype(view.dtype.newbyteorder("="), copy=False)
