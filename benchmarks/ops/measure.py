"""Timing, the machine's own limits, and the rows of the table."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class Work:
    """What a computation cannot avoid: bytes that move at least once, and operations of its matrix products."""

    bytes: float
    operations: float = 0.0


@dataclass(frozen=True)
class Row:
    """One line of the table; times are medians in milliseconds.

    Attributes:
        name: op and direction.
        ours: the compiled path.
        reference: the plain-torch path; None where there is none to compare with.
        floor: what `Work` takes at the machine's measured rates.
        parity: how far the two results are apart, and in which measure.
        other: another implementation's time, and which.
    """

    name: str
    ours: float
    reference: float | None
    floor: float
    parity: str
    other: tuple[str, float] | None = None


@dataclass(frozen=True)
class Stopwatch:
    """Times functions.

    Attributes:
        device: where they run; it is waited for.
        clock: ``time.perf_counter``, or on a CPU that is shared with others ``time.process_time``: the processor time
            of all threads together.
    """

    device: torch.device
    clock: Callable[[], float] = time.perf_counter

    def medians(self, *functions: Callable[[], object], runs: int = 11) -> list[float]:
        """Median milliseconds of each; they take turns, so that what disturbs one disturbs all."""
        times: list[list[float]] = [[] for _ in functions]
        for run in range(runs + 2):
            for function, kept in zip(functions, times, strict=True):
                self._wait()
                start = self.clock()
                function()
                self._wait()
                if run >= 2:  # the first calls pay for memory and caches
                    kept.append(1e3 * (self.clock() - start))
        return [statistics.median(kept) for kept in times]

    def _wait(self) -> None:
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)


@dataclass(frozen=True)
class Machine:
    """What times are compared with.

    Attributes:
        stopwatch: how to time on it.
        bandwidth: bytes per second of a large copy, read plus written.
        matrix_rate: operations per second of a large float32 matrix product.
    """

    stopwatch: Stopwatch
    bandwidth: float
    matrix_rate: float

    def floor(self, work: Work) -> float:
        """Milliseconds that the work takes at least."""
        return 1e3 * max(work.bytes / self.bandwidth, work.operations / self.matrix_rate)


def measure_machine(stopwatch: Stopwatch) -> Machine:
    """The rates that floors are computed with: a copy too large for the caches, and a large matrix product."""
    device = stopwatch.device
    source = torch.ones(64 << 20, device=device)
    target = torch.empty_like(source)
    size = 8192 if device.type == "cuda" else 1536
    matrix = torch.ones(size, size, device=device)
    copy, product = stopwatch.medians(lambda: target.copy_(source), lambda: matrix @ matrix, runs=7)
    return Machine(stopwatch, 2 * source.nbytes / (copy / 1e3), 2 * size**3 / (product / 1e3))


def largest_difference(found: list[Tensor], wanted: list[Tensor]) -> str:
    """The largest difference of two results, relative to the largest value of each tensor."""
    worst = 0.0
    for a, b in zip(found, wanted, strict=True):
        difference = (a.detach().double() - b.detach().double()).abs().max()
        worst = max(worst, float(difference / b.detach().double().abs().max().clamp_min(1e-30)))
    return f"rel. {worst:.1e}"
