"""Times of what runs on a CUDA device, from its own clock and without the launch gaps of Python.

Below about 50 microseconds the host's clock around a call tells how fast Python launches kernels. So calls are captured
into a CUDA graph, one after the other, and the device's events stand around its replay. Data that fit in the device's
cache are still there from the call before: a small operation may well be faster than its bytes over the bandwidth of
the memory.
"""

from __future__ import annotations

import statistics
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import NamedTuple

import torch

# Milliseconds of one round of calls, about: events tell half a microsecond.
ROUND = 2.0
MOST_CALLS = 20
# Milliseconds that all rounds of one function may take together; one round is made in any case.
BUDGET = 600.0


class Time(NamedTuple):
    """A median in milliseconds, and whether the calls were captured: if not, the gaps between launches are in it."""

    ms: float
    captured: bool


@contextmanager
def stream_of(device: torch.device) -> Iterator[None]:
    """A stream of its own on a CUDA device, nothing elsewhere.

    Whatever will be captured has to be prepared inside too: gradients are computed on the stream of the forward pass.
    """
    if device.type != "cuda":
        yield
        return
    torch.cuda.synchronize(device)
    with torch.cuda.device(device), torch.cuda.stream(torch.cuda.Stream(device)):
        yield
        torch.cuda.synchronize(device)


@dataclass(frozen=True)
class _Round:
    """``calls`` calls of a function, replayed or made anew."""

    run: Callable[[], object]
    calls: int
    captured: bool

    def ms(self) -> float:
        """Of one call."""
        return between(self.run) / self.calls


def medians(*functions: Callable[[], object], rounds: int = 11) -> list[Time]:
    """The time of one call of each, on the current CUDA stream (see `stream_of`); they take turns.

    Args:
        functions: what is timed. A first call pays for memory and is not timed.
        rounds: at most so many of each; fewer where a call takes long.
    """
    prepared = [_prepare(function) for function in functions]
    # The round that says how many more there is time for is the first replay, and is not counted.
    counts = [max(1, min(rounds, int(BUDGET / max(each.ms() * each.calls, 1e-3)))) for each in prepared]
    times: list[list[float]] = [[] for _ in prepared]
    for turn in range(max(counts, default=0)):
        for each, count, kept in zip(prepared, counts, times, strict=True):
            if turn < count:
                kept.append(each.ms())
    return [Time(statistics.median(kept), each.captured) for each, kept in zip(prepared, times, strict=True)]


def _prepare(function: Callable[[], object]) -> _Round:
    function()
    calls = max(1, min(MOST_CALLS, int(ROUND / max(between(function), 1e-3))))

    def one_after_the_other() -> None:
        for _ in range(calls):
            function()

    graph = capture(one_after_the_other)
    return _Round(one_after_the_other if graph is None else graph.replay, calls, graph is not None)


def capture(function: Callable[[], object]) -> torch.cuda.CUDAGraph | None:
    """What a function does, on the current stream, as a CUDA graph; None if it waits for the device, or is on none."""
    current = torch.cuda.current_stream()
    graph = torch.cuda.CUDAGraph()
    own_stream = current != torch.cuda.default_stream()
    try:
        with torch.cuda.graph(graph, stream=current if own_stream else None, capture_error_mode="thread_local"):
            function()
    except RuntimeError:
        torch.cuda.synchronize()
        return None
    return graph


def between(function: Callable[[], object]) -> float:
    """Milliseconds on the device between two events."""
    begin, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
    begin.record()
    function()
    end.record()
    end.synchronize()
    return float(begin.elapsed_time(end))
