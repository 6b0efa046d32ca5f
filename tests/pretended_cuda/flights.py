"""Copies that nobody waits for, between the device and page-locked memory: until somebody has waited, they may be on
their way, and the CPU must neither look at what arrives nor write over what leaves.
"""

from __future__ import annotations

from collections import OrderedDict
from typing import Any

import torch
from torch import Tensor
from torch.utils._pytree import tree_leaves

from .waits import STATE, Refused, place

# Memory under way, by its address. Held, so that no other tensor gets it; copies older than these have surely landed.
MOST = 1000
ARRIVING: OrderedDict[int, Tensor] = OrderedDict()
LEAVING: OrderedDict[int, Tensor] = OrderedDict()


def start(memory: Tensor, arrives: bool) -> None:
    """Notes a copy to (``arrives``) or from page-locked memory."""
    under_way = ARRIVING if arrives else LEAVING
    under_way[memory.untyped_storage().data_ptr()] = memory
    while len(under_way) > MOST:
        under_way.popitem(last=False)


def land() -> None:
    """Everything has arrived: the CPU has waited."""
    ARRIVING.clear()
    LEAVING.clear()


def check(func: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
    """Raises Refused if an operation on the CPU touches memory too early."""
    if not (ARRIVING or LEAVING) or func is torch.ops.aten.is_pinned.default or is_view(func):
        return
    for argument, value in [*zip(func._schema.arguments, args, strict=False), *((None, v) for v in kwargs.values())]:
        writes = argument is not None and argument.alias_info is not None and argument.alias_info.is_write
        for tensor in tree_leaves(value):
            if isinstance(tensor, Tensor):
                check_memory(tensor, writes)


def is_view(func: Any) -> bool:
    """Whether an operation only says where values lie."""
    kinds = [each.alias_info for each in func._schema.returns]
    return bool(kinds) and all(kind is not None and not kind.is_write for kind in kinds)


def check_memory(tensor: Tensor, writes: bool) -> None:
    """Raises Refused if ``tensor``, on the CPU, is under way."""
    if tensor.layout != torch.strided or not tensor.numel():
        return
    address = tensor.untyped_storage().data_ptr()
    if address in ARRIVING:
        raise Refused(f"page-locked memory is used before the device's copy to it has been waited for: {place()}")
    if writes and address in LEAVING:
        raise Refused(f"page-locked memory is written to before the device's copy of it has been waited for: {place()}")


STATE.on_wait = land
