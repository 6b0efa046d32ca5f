"""Times of calls on a CUDA device by its own clock, without the gaps between Python's launches.

Below about 50 microseconds, the host's clock around a call measures how fast Python launches kernels. So consecutive
calls are captured into a CUDA graph, and its replay is timed with the device's events. Data that fit in the device's
cache stay there from call to call: a small operation can be faster than its bytes over the memory's bandwidth.
"""

from __future__ import annotations

import statistics
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import NamedTuple

import torch

# Milliseconds of one round of calls, about: events resolve half a microsecond.
ROUND = 2.0
MOST_CALLS = 20
# Milliseconds of all rounds of one function together; one round runs in any case.
BUDGET = 600.0


class CallTime(NamedTuple):
    """A median in milliseconds, and whether the calls were captured: if not, it includes the gaps between launches."""

    ms: float
    captured: bool


@contextmanager
def stream_of(device: torch.device) -> Iterator[None]:
    """Makes a new stream current on a CUDA device; does nothing elsewhere.

    What is captured later has to be prepared inside too: gradients are computed on the stream of the forward pass.
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
    """``calls`` calls of a function, as a replay of a graph or one by one."""

    run: Callable[[], object]
    calls: int
    captured: bool

    def ms(self) -> float:
        """Milliseconds of one call."""
        return between(self.run) / self.calls


def medians(*functions: Callable[[], object], rounds: int = 11) -> list[CallTime]:
    """Median time of one call of each function, on the current CUDA stream (see `stream_of`); they take turns.

    Args:
        functions: to time. A first call, which allocates memory, is not timed.
        rounds: at most; fewer if a call takes long.
    """
    prepared = [_prepare(function) for function in functions]
    # The first replay tells how many rounds there is time for; it is not counted.
    counts = [max(1, min(rounds, int(BUDGET / max(each.ms() * each.calls, 1e-3)))) for each in prepared]
    times: list[list[float]] = [[] for _ in prepared]
    for turn in range(max(counts, default=0)):
        for each, count, taken in zip(prepared, counts, times, strict=True):
            if turn < count:
                taken.append(each.ms())
    return [CallTime(statistics.median(taken), each.captured) for each, taken in zip(prepared, times, strict=True)]


def _prepare(function: Callable[[], object]) -> _Round:
    function()
    calls = max(1, min(MOST_CALLS, int(ROUND / max(between(function), 1e-3))))

    def consecutive_calls() -> None:
        for _ in range(calls):
            function()

    graph = capture(consecutive_calls)
    return _Round(consecutive_calls if graph is None else graph.replay, calls, graph is not None)


def capture(function: Callable[[], object]) -> torch.cuda.CUDAGraph | None:
    """Captures a function's kernels on the current stream; None if it waits for the device, or runs none."""
    current = torch.cuda.current_stream()
    graph = torch.cuda.CUDAGraph()
    on_side_stream = current != torch.cuda.default_stream()
    try:
        with torch.cuda.graph(graph, stream=current if on_side_stream else None, capture_error_mode="thread_local"):
            function()
    except RuntimeError:
        torch.cuda.synchronize()
        return None
    return graph


def between(function: Callable[[], object]) -> float:
    """Milliseconds on the device between events before and after a call."""
    begin, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
    begin.record()
    function()
    end.record()
    end.synchronize()
    return float(begin.elapsed_time(end))
