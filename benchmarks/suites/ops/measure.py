"""Timing, the machine's own limits, and the rows of the table."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from ...harness import device_clock
from ...harness.device_clock import Time


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
    ours: Time
    reference: Time | None
    floor: float
    parity: str
    other: tuple[str, Time] | None = None

    def as_dict(self) -> dict[str, Any]:
        """As a report holds it; "launched" names the times that Python's launches are part of, on a GPU."""
        times = {"ours": self.ours, "reference": self.reference, "other": self.other and self.other[1]}
        return {
            "name": self.name,
            "ours": self.ours.ms,
            "reference": self.reference and self.reference.ms,
            "floor": self.floor,
            "parity": self.parity,
            "other": self.other and [self.other[0], self.other[1].ms],
            "launched": [name for name, time in times.items() if time and not time.captured],
        }


@dataclass(frozen=True)
class Stopwatch:
    """Times functions: on a CUDA device by its own clock (see `device_clock`), elsewhere by the host's.

    Attributes:
        device: where they run.
        clock: ``time.perf_counter``, or on a CPU that is shared with others ``time.process_time``: the processor time
            of all threads together.
    """

    device: torch.device
    clock: Callable[[], float] = time.perf_counter

    def medians(self, *functions: Callable[[], object], runs: int = 11) -> list[Time]:
        """Median of each; they take turns, so that what disturbs one disturbs all."""
        if self.device.type == "cuda":
            return device_clock.medians(*functions, rounds=runs)
        times: list[list[float]] = [[] for _ in functions]
        for run in range(runs + 2):
            for function, kept in zip(functions, times, strict=True):
                start = self.clock()
                function()
                if run >= 2:  # the first calls pay for memory and caches
                    kept.append(1e3 * (self.clock() - start))
        return [Time(statistics.median(kept), True) for kept in times]


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
    """The rates that floors are computed with: a copy too large for the caches, and a large matrix product.

    Of random numbers: a GPU multiplies ones faster than numbers, for they cost it less power.
    """
    device = stopwatch.device
    size, count = (8192, 128 << 20) if device.type == "cuda" else (1536, 64 << 20)
    source, matrix = torch.randn(count, device=device), torch.randn(size, size, device=device)
    target = torch.empty_like(source)
    copy, product = stopwatch.medians(lambda: target.copy_(source), lambda: matrix @ matrix, runs=7)
    return Machine(stopwatch, 2 * source.nbytes / (copy.ms / 1e3), 2 * size**3 / (product.ms / 1e3))


def largest_difference(found: list[Tensor], wanted: list[Tensor]) -> str:
    """The largest difference of two results, relative to the largest value of each tensor."""
    worst = 0.0
    for a, b in zip(found, wanted, strict=True):
        difference = (a.detach().double() - b.detach().double()).abs().max()
        worst = max(worst, float(difference / b.detach().double().abs().max().clamp_min(1e-30)))
    return f"rel. {worst:.1e}"
