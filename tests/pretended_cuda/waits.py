"""What makes the CPU wait for the pretended device: counted by line, and refused while a graph is captured."""

from __future__ import annotations

import linecache
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import torch

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
# Files whose lines are never the ones to blame.
OTHERS = (
    str(Path(torch.__file__).parent),
    *(str(HERE / f"{name}.py") for name in ("device", "flights", "graphs", "runtime", "waits")),
)


class Refused(RuntimeError):
    """What a GPU would answer; torch raises RuntimeError too."""


class State:
    """What the device is doing.

    Attributes:
        capturing: whether a graph is being captured.
        strict: whether whatever waits raises, as after ``torch.cuda.set_sync_debug_mode("error")``.
        counts: waits so far, by line.
        on_wait: called when the CPU has waited for everything.
    """

    def __init__(self) -> None:
        self.on_wait: Callable[[], None] = lambda: None
        self.capturing = False
        self.strict = False
        self.counts: Counter[str] = Counter()


STATE = State()


def place() -> str:
    """The project's line that runs, as ``file: source``: it stays the same when lines above it come and go."""
    # Backward passes run in a thread of autograd's, where no line of the project's is.
    node = torch._C._current_autograd_node()
    frame = sys._getframe(1)
    while frame is not None:
        name = frame.f_code.co_filename
        if name.startswith(str(ROOT)) and not name.startswith(OTHERS):
            line = linecache.getline(name, frame.f_lineno).strip()
            return f"{Path(name).relative_to(ROOT)}: {line}"
        frame = frame.f_back  # type: ignore[assignment]
    return "elsewhere" if node is None else f"the backward pass of {node.name()}"


def waits(why: str) -> None:
    """Notes that the CPU waits for the device here.

    Raises:
        Refused: while a graph is captured, or where nothing may wait.
    """
    where = f"{place()} ({why})"
    STATE.counts[where] += 1
    if STATE.capturing:
        raise Refused(f"operation not permitted when stream is capturing: {where}")
    if STATE.strict:
        raise Refused(f"called a synchronizing CUDA operation: {where}")
    STATE.on_wait()


def touches_pageable_memory(why: str) -> None:
    """Notes a copy that was meant to run by itself and cannot: the driver reads ordinary memory while the CPU waits."""
    where = f"{place()} ({why}, pageable)"
    STATE.counts[where] += 1
    if STATE.capturing:
        raise Refused(f"operation not permitted when stream is capturing: {where}")


@contextmanager
def counted() -> Iterator[Counter[str]]:
    """The waits within, by line."""
    before, found = STATE.counts.copy(), Counter[str]()
    try:
        yield found
    finally:
        found.update(STATE.counts - before)
