"""The pretended device: tensors that say they are on ``cuda:0`` and lie on the CPU, and what may be done with them.

What a GPU would refuse is refused: tensors of different devices in one operation, random numbers of a CPU generator,
and while a graph is captured everything that waits for the device or copies from pageable memory. Kernels are the
CPU's: nothing is learnt about those.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode, return_and_correct_aliasing
from torch.utils._pytree import tree_leaves, tree_map

from . import flights
from .graphs import run
from .waits import STATE, Refused, place, touches_pageable_memory, waits

CUDA = torch.device("cuda:0")
aten = torch.ops.aten
# The size of what these return depends on values, which the CPU has to know.
SIZED_BY_VALUES = {
    aten.nonzero.default, aten.masked_select.default, aten.unique_consecutive.default, aten._unique2.default,
    aten.unique_dim.default, aten.bincount.default, aten.repeat_interleave.Tensor,
}  # fmt: skip
# These return a value to the CPU.
ANSWERS = {aten._local_scalar_dense.default, aten.equal.default, aten.is_nonzero.default}
# These look at whether the factorisation went well.
CHECKED = {
    aten.linalg_inv_ex.default,
    aten.linalg_cholesky_ex.default,
    aten._linalg_eigh.default,
    aten._linalg_svd.default,
}
# Index tensors may be on the CPU while the indexed one is on the GPU: they are copied there.
INDEXING = {
    aten.index.Tensor, aten._unsafe_index.Tensor, aten.index_put.default, aten.index_put_.default,
    aten._index_put_impl_.default, aten._unsafe_index_put.default,
}  # fmt: skip
# A single number on the CPU may be an operand of these and of whatever works element by element.
TAKE_A_NUMBER = {aten.fill.Tensor, aten.fill_.Tensor, aten.copy.default, aten.where.self}


class Pretended(Tensor):
    """A tensor on the pretended device; ``inner`` is on the CPU."""

    inner: Any  # a Tensor
    __torch_function__ = torch._C._disabled_torch_function_impl  # type: ignore[assignment]

    @staticmethod
    def __new__(cls, inner: Tensor) -> Pretended:
        made: Pretended = torch.Tensor._make_wrapper_subclass(
            cls,
            inner.shape,
            strides=inner.stride(),
            storage_offset=inner.storage_offset(),
            dtype=inner.dtype,
            layout=inner.layout,
            device=CUDA,
        )
        made.inner = inner
        return made

    def __repr__(self, *, tensor_contents: Any = None) -> Any:  # type: ignore[override]
        return f"Pretended({self.inner})"

    @property
    def data(self) -> Tensor:
        return torch.Tensor.data.__get__(self)  # type: ignore[attr-defined]

    @data.setter
    def data(self, value: Tensor) -> None:
        torch.Tensor.data.__set__(self, value)  # type: ignore[attr-defined]
        self.inner = behind(value)

    def tolist(self) -> Any:
        return self.detach().cpu().tolist()

    def __deepcopy__(self, memo: dict[int, Any]) -> Tensor:
        copied: Tensor = Pretended(self.inner.clone())
        copied.requires_grad_(self.requires_grad)
        if isinstance(self, torch.nn.Parameter):
            copied = torch.nn.Parameter(copied, self.requires_grad)
        memo[id(self)] = copied
        return copied

    @classmethod
    def __torch_dispatch__(  # type: ignore[override]
        cls, func: Any, types: Any, args: Any = (), kwargs: Any = None
    ) -> Any:
        return dispatch(func, args, kwargs or {})


class Mode(TorchDispatchMode):
    """What makes tensors on the device; entered once in every thread."""

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        return dispatch(func, args, kwargs or {})


def dispatch(func: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """Every operation of torch passes here, below autograd."""
    tensors = [value for value in tree_leaves((args, kwargs)) if isinstance(value, Tensor)]
    ours = any(isinstance(value, Pretended) for value in tensors)
    asked = kwargs.get("device")
    if not ours and not is_cuda(asked):
        flights.check(func, args, kwargs)
        return func(*args, **kwargs)
    if func is aten._to_copy.default:
        return to_copy(args[0], kwargs)
    if func is aten.copy_.default:
        return copy_into(*args, **kwargs)
    if func in ANSWERS | SIZED_BY_VALUES | CHECKED and ours:
        waits(func._schema.name.removeprefix("aten::"))
    if func in INDEXING:
        args = (args[0], check_indices(args[0], args[1]), *args[2:])
        tensors = [args[0], *(value for value in args[2:] if isinstance(value, Tensor))]
    check_devices(func, tensors, kwargs)
    on_device = ours if asked is None else is_cuda(asked)
    given = {name: value for name, value in kwargs.items() if name != "pin_memory"}
    if is_cuda(asked):
        given["device"] = torch.device("cpu")
    inner, inner_kwargs = tree_map(behind, (args, given))
    out = run(func, inner, inner_kwargs)
    if not on_device:
        return out
    wrapped = tree_map(lambda value: Pretended(value) if isinstance(value, Tensor) else value, out)
    return return_and_correct_aliasing(func, args, kwargs, wrapped) if ours else wrapped


def is_cuda(device: object) -> bool:
    return device is not None and torch.device(device).type == "cuda"  # type: ignore[arg-type]


def behind(value: Any) -> Any:
    """What an operation works on; a number on the CPU is taken by value, and stays what it was in a graph."""
    if isinstance(value, Pretended):
        return value.inner
    return value.clone() if isinstance(value, Tensor) and STATE.capturing else value


def check_devices(func: Any, tensors: list[Tensor], kwargs: dict[str, Any]) -> None:
    """Raises Refused where tensors, or a generator, are on the CPU and should be on the device."""
    numbers = torch.Tag.pointwise in func.tags or func in TAKE_A_NUMBER | INDEXING or "_foreach_" in func._schema.name
    wrong = [value for value in tensors if not isinstance(value, Pretended) and not (numbers and value.ndim == 0)]
    if wrong and func is not aten.set_.source_Tensor:
        shapes = [(tuple(v.shape), "cuda" if isinstance(v, Pretended) else "cpu") for v in tensors]
        raise Refused(f"expected all tensors on the same device, {func._schema.name}: {shapes}: {place()}")
    draw = kwargs.get("generator")
    if draw is not None and draw.device.type != "cuda":
        raise Refused(f"expected a 'cuda' device type for generator but found 'cpu': {place()}")


def check_indices(indexed: Tensor, indices: Any) -> list[Tensor | None]:
    """Index tensors on the device of what they index.

    Raises:
        Refused: tensors on the CPU are indexed by the device's.
    """
    found: list[Tensor | None] = []
    for index in indices:
        if isinstance(index, Tensor) and isinstance(indexed, Pretended) != isinstance(index, Pretended):
            if isinstance(index, Pretended):
                raise Refused(f"indices should be on the same device as the indexed tensor (cpu): {place()}")
            host_to_device(index, False, "index")
            index = Pretended(index)
        if index is not None and index.dtype in (torch.bool, torch.uint8):
            waits("boolean index")
        found.append(index)
    return found


def host_to_device(host: Tensor, non_blocking: bool, what: str = "host to device") -> None:
    if host.numel() == 0:
        return
    if not host.is_pinned() and (non_blocking or STATE.capturing):
        touches_pageable_memory(what)
    elif not non_blocking:
        waits(what)
    else:
        flights.start(host, arrives=False)


def to_copy(source: Tensor, kwargs: dict[str, Any]) -> Tensor:
    """``Tensor.to``, where it copies."""
    target, non_blocking = kwargs.get("device"), kwargs.get("non_blocking", False)
    options = {k: v for k, v in kwargs.items() if k not in ("device", "non_blocking", "pin_memory")}
    if target is not None and torch.device(target).type == "meta":
        return aten._to_copy.default(behind(source), device=target, **options)
    there = isinstance(source, Pretended) if target is None else is_cuda(target)
    if there and not isinstance(source, Pretended):
        host_to_device(source, non_blocking)
    elif isinstance(source, Pretended) and not there and not non_blocking:
        waits("device to host")
    inner = source.inner if isinstance(source, Pretended) else source
    out: Tensor = run(aten._to_copy.default, (inner,), options)
    if there:
        return Pretended(out)
    if isinstance(source, Pretended) and non_blocking:
        out = out.pin_memory()  # as torch does
        flights.start(out, arrives=True)
    return out


def copy_into(target: Tensor, source: Tensor, non_blocking: bool = False) -> Tensor:
    """``Tensor.copy_``."""
    if isinstance(target, Pretended) and not isinstance(source, Pretended):
        if source.ndim or not STATE.capturing:
            host_to_device(source, non_blocking)
    elif isinstance(source, Pretended) and not isinstance(target, Pretended) and target.numel():
        if not target.is_pinned() and (non_blocking or STATE.capturing):
            touches_pageable_memory("device to host")
        elif not non_blocking:
            waits("device to host")
        else:
            flights.start(target, arrives=True)
    inner = [value.inner if isinstance(value, Pretended) else value for value in (target, source)]
    run(aten.copy_.default, tuple(inner), {})
    return target
