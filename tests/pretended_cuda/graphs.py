"""CUDA graphs of the pretended device: operations are noted while a graph is captured, and done again by a replay.

As on a GPU, a capture leaves nothing behind: what it wrote to is put back, and what it made holds no value before the
first replay. Numbers that came from the CPU are those of the capture for ever.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.utils._pytree import tree_leaves

from .flights import is_view
from .waits import STATE, Refused, waits


@dataclass(frozen=True)
class Launch:
    """An operation on the CPU tensors behind pretended ones."""

    func: Any
    args: tuple[Any, ...]
    kwargs: dict[str, Any]
    out: Any

    def again(self) -> None:
        returns = self.func._schema.returns
        if is_view(self.func):
            return  # of memory that is the same in every replay
        out = self.func(*self.args, **self.kwargs)
        old, new = ([each] if len(returns) == 1 else each for each in (self.out, out))
        for kind, before, after in zip(returns, old or (), new or (), strict=True):
            if kind.alias_info is None:
                for held, value in zip(tree_leaves(before), tree_leaves(after), strict=True):
                    if isinstance(held, Tensor):
                        held.copy_(value)


def bytes_of(value: Tensor) -> Tensor:
    """The whole memory that a tensor lies in."""
    return torch.empty(0, dtype=torch.uint8).set_(value.untyped_storage())


def memory_of(value: Tensor) -> int:
    return value.untyped_storage().data_ptr()


class CUDAGraph:
    """As ``torch.cuda.CUDAGraph``, as far as the project uses it."""

    def __init__(self, keep_graph: bool = False) -> None:
        self._tape: list[Launch] = []
        self._made: dict[int, Tensor] = {}
        self._before: dict[int, tuple[Tensor, Tensor]] = {}

    def note(self, func: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """Runs an operation on CPU tensors and keeps it for `replay`; called for everything that the device does."""
        schema = func._schema
        given = [*zip(schema.arguments, args, strict=False)]
        given += [(a, kwargs[a.name]) for a in schema.arguments if a.name in kwargs]
        for argument, value in given:
            if argument.alias_info is not None and argument.alias_info.is_write:
                for tensor in tree_leaves(value):
                    self._keep(tensor)
        out = func(*args, **kwargs)
        read = {memory_of(tensor) for tensor in tree_leaves((args, kwargs)) if isinstance(tensor, Tensor)}
        for tensor in tree_leaves(out):
            if isinstance(tensor, Tensor) and memory_of(tensor) not in read:
                self._made.setdefault(memory_of(tensor), tensor)
        self._tape.append(Launch(func, args, kwargs, out))
        return out

    def _keep(self, value: object) -> None:
        if isinstance(value, Tensor) and value.numel():
            key = memory_of(value)
            if key not in self._made and key not in self._before:
                self._before[key] = (bytes_of(value), bytes_of(value).clone())

    def undo(self) -> None:
        """Ends a capture: nothing of it has happened."""
        for memory, before in self._before.values():
            memory.copy_(before)
        for value in self._made.values():
            if value.numel() and value.dtype != torch.bool:
                bytes_of(value).fill_(255)  # not a number, of every floating-point type
        self._before.clear()

    def replay(self) -> None:
        if STATE.capturing:
            raise Refused("a graph is replayed while another one is captured")
        for launch in self._tape:
            launch.again()

    def pool(self) -> tuple[int, int]:
        return (0, id(self))

    def reset(self) -> None:
        self._tape, self._made = [], {}


CURRENT: list[CUDAGraph] = []


def run(func: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """Runs an operation of the device on the CPU tensors behind; notes it in the graph that is being captured."""
    return CURRENT[-1].note(func, args, kwargs) if CURRENT else func(*args, **kwargs)


@contextmanager
def graph(
    cuda_graph: CUDAGraph, pool: object = None, stream: object = None, capture_error_mode: str = "global"
) -> Iterator[None]:
    """As ``torch.cuda.graph``; entering it waits, as there."""
    if capture_error_mode not in ("global", "thread_local", "relaxed"):
        raise ValueError(f"capture_error_mode is {capture_error_mode!r}")
    waits("synchronize")
    if STATE.capturing:
        raise Refused("a graph is captured while another one is captured")
    STATE.capturing = True
    CURRENT.append(cuda_graph)
    try:
        yield
    finally:
        STATE.capturing = False
        CURRENT.pop()
        cuda_graph.undo()
