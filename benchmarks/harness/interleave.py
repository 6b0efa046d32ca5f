"""Timing several systems in turns, so that whatever disturbs or slows the machine affects all of them alike."""

from __future__ import annotations

import gc
import time
from collections.abc import Callable, Hashable, Mapping
from dataclasses import dataclass
from typing import TypeVar

K = TypeVar("K", bound=Hashable)

# More frames hardly change a median, and the bootstrap of very fast ones would take minutes.
MAX_SAMPLES = 5000


@dataclass(frozen=True)
class TimingPlan:
    """How long to measure each system.

    Attributes:
        rounds: turns of each system.
        samples: frames over all rounds, at least.
        seconds: measured time over all rounds, at least (up to `MAX_SAMPLES` frames).
        warm_up: untimed frames at the beginning of every turn: the other systems have replaced what was in the caches.
    """

    rounds: int = 10
    samples: int = 100
    seconds: float = 5.0
    warm_up: int = 1


def interleave(
    systems: Mapping[K, Callable[[int], object]], plan: TimingPlan, clock: Callable[[], float] = time.perf_counter
) -> dict[K, list[list[float]]]:
    """Times the systems in turns.

    Args:
        systems: functions of a frame's number that return when the frame is on the host. Frame i is the same query for
            all systems.
        plan: how long to measure.
        clock: returns seconds.

    Returns:
        Milliseconds of every frame, one list for each round.
    """
    times: dict[K, list[list[float]]] = {name: [] for name in systems}
    order = list(systems)
    least = -(-plan.samples // plan.rounds)
    most = max(least, MAX_SAMPLES // plan.rounds)
    for turn in range(plan.rounds):
        for name in order:
            edit = systems[name]
            gc.collect()
            for frame in range(plan.warm_up):
                edit(turn * least + frame)
            measured: list[float] = []
            first, spent = turn * least + plan.warm_up, 0.0
            while len(measured) < least or (spent < plan.seconds / plan.rounds and len(measured) < most):
                start = clock()
                edit(first + len(measured))
                took = clock() - start
                spent += took
                measured.append(1e3 * took)
            times[name].append(measured)
        # The order rotates, so that the first turn of a round goes around.
        order.append(order.pop(0))
    return times
