"""The timer of the ops, the machine's rates, and the rows of the table."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from ...harness import device_clock
from ...harness.device_clock import CallTime


@dataclass(frozen=True)
class OpCost:
    """The cost of an op: bytes that have to be moved at least once, and operations of its matrix products."""

    bytes: float
    operations: float = 0.0


@dataclass(frozen=True)
class OpRow:
    """One row of the table; times are medians in milliseconds.

    Attributes:
        name: op and direction.
        ours: time of the compiled path.
        reference: time of the plain-torch path; None if there is none.
        floor: milliseconds that the `OpCost` takes at the machine's measured rates.
        parity: the difference of the two results, with its measure.
        other: another implementation and its time.
    """

    name: str
    ours: CallTime
    reference: CallTime | None
    floor: float
    parity: str
    other: tuple[str, CallTime] | None = None

    def as_dict(self) -> dict[str, Any]:
        """The row in a report; "launched" names the times that include Python's launches, on a GPU."""
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
class MedianTimer:
    """Times functions: on a CUDA device by the device's clock (see `device_clock`), elsewhere by the host's.

    Attributes:
        device: that they run on.
        clock: ``time.perf_counter``, or ``time.process_time`` on a CPU shared with other processes: the processor time
            of all threads.
    """

    device: torch.device
    clock: Callable[[], float] = time.perf_counter

    def medians(self, *functions: Callable[[], object], runs: int = 11) -> list[CallTime]:
        """Median time of each function; they take turns, so that a disturbance affects all of them."""
        if self.device.type == "cuda":
            return device_clock.medians(*functions, rounds=runs)
        times: list[list[float]] = [[] for _ in functions]
        for run in range(runs + 2):
            for function, taken in zip(functions, times, strict=True):
                start = self.clock()
                function()
                if run >= 2:  # the first calls fill caches and allocate memory
                    taken.append(1e3 * (self.clock() - start))
        return [CallTime(statistics.median(taken), True) for taken in times]


@dataclass(frozen=True)
class MachineRates:
    """The machine's rates that floors are computed with.

    Attributes:
        timer: for functions on this machine.
        bandwidth: bytes per second of a large copy, read and written ones.
        matrix_rate: operations per second of a large float32 matrix product.
    """

    timer: MedianTimer
    bandwidth: float
    matrix_rate: float

    def floor(self, cost: OpCost) -> float:
        """Milliseconds that an op of this cost takes at least."""
        return 1e3 * max(cost.bytes / self.bandwidth, cost.operations / self.matrix_rate)


def measure_rates(timer: MedianTimer) -> MachineRates:
    """Measures a copy too large for the caches, and a large matrix product.

    The matrix is random: a GPU multiplies ones faster, because that takes less power.
    """
    device = timer.device
    size, count = (8192, 128 << 20) if device.type == "cuda" else (1536, 64 << 20)
    source, matrix = torch.randn(count, device=device), torch.randn(size, size, device=device)
    target = torch.empty_like(source)
    copy, product = timer.medians(lambda: target.copy_(source), lambda: matrix @ matrix, runs=7)
    return MachineRates(timer, 2 * source.nbytes / (copy.ms / 1e3), 2 * size**3 / (product.ms / 1e3))


def largest_difference(results: list[Tensor], expected: list[Tensor]) -> str:
    """The largest difference of two lists of tensors, relative to the largest value of each expected one."""
    worst = 0.0
    for a, b in zip(results, expected, strict=True):
        difference = (a.detach().double() - b.detach().double()).abs().max()
        worst = max(worst, float(difference / b.detach().double().abs().max().clamp_min(1e-30)))
    return f"rel. {worst:.1e}"
