"""Measuring several contestants fairly: in turns, so that whatever disturbs or slows the machine meets them all."""

from __future__ import annotations

import gc
import time
from collections.abc import Callable, Hashable, Mapping
from dataclasses import dataclass
from typing import TypeVar

K = TypeVar("K", bound=Hashable)

# More frames than these say nothing new about a median, and the intervals of very fast frames would take minutes.
MOST_SAMPLES = 5000


@dataclass(frozen=True)
class Plan:
    """How long to measure.

    Attributes:
        rounds: turns that each contestant gets.
        samples: frames of each contestant over all rounds, at least.
        seconds: measured time of each contestant over all rounds, at least (up to `MOST_SAMPLES` frames).
        warm_up: frames that are not timed, at the beginning of every turn: the others have emptied the caches.
    """

    rounds: int = 10
    samples: int = 100
    seconds: float = 5.0
    warm_up: int = 1


def take_turns(
    contestants: Mapping[K, Callable[[int], object]], plan: Plan, clock: Callable[[], float] = time.perf_counter
) -> dict[K, list[list[float]]]:
    """Milliseconds of every frame, one list for each round.

    Args:
        contestants: each makes the frame of that number and returns when it is there, on the host. Frame i is the same
            request for everybody.
        plan: how long.
        clock: seconds.
    """
    times: dict[K, list[list[float]]] = {name: [] for name in contestants}
    order = list(contestants)
    least = -(-plan.samples // plan.rounds)
    most = max(least, MOST_SAMPLES // plan.rounds)
    for turn in range(plan.rounds):
        for name in order:
            make = contestants[name]
            gc.collect()
            for frame in range(plan.warm_up):
                make(turn * least + frame)
            kept: list[float] = []
            first, spent = turn * least + plan.warm_up, 0.0
            while len(kept) < least or (spent < plan.seconds / plan.rounds and len(kept) < most):
                start = clock()
                make(first + len(kept))
                took = clock() - start
                spent += took
                kept.append(1e3 * took)
            times[name].append(kept)
        # Another one comes first next time, so that nobody always follows the same neighbour.
        order.append(order.pop(0))
    return times
