"""The registry of metrics: a metric is a function, and its parameters say what it needs.

A metric takes any of the fields of `MetricInputs`, by name, and gives estimates by name. `compute_metrics` calls every
metric whose inputs are there. To add one, write a decorated function in a file of this folder and import the file in
``metrics/__init__.py``.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, fields
from typing import TypeVar

from torch import Tensor

from stylerig_fast.evaluation.comparison import MethodOutcome
from stylerig_fast.evaluation.metrics.results import Goal
from stylerig_fast.measurement.edit_runner import MeasuredEdits
from stylerig_fast.measurement.measurements import Measurements
from stylerig_fast.measurement.portrait_measures import PortraitStd
from stylerig_fast.measurement.statistics import Estimate

Estimates = dict[str, Estimate]
F = TypeVar("F", bound=Callable[..., Estimates])


@dataclass(frozen=True)
class MetricInputs:
    """What metrics are computed from; those that need what is None are left out.

    Attributes:
        measured: the rig's edits of people.
        std: standard deviations of the measures over portraits.
        fresh: ``(M, D)`` feature vectors of portraits that nobody edited, see `frechet_distance.features`.
        mirrored: measures of the mirror images of the first of the people.
        outcomes: edits of the same people by several methods.
        method: which of these methods is the rig.
        seed: of every draw.
    """

    measured: MeasuredEdits | None = None
    std: PortraitStd | None = None
    fresh: Tensor | None = None
    mirrored: Measurements | None = None
    outcomes: Sequence[MethodOutcome] | None = None
    method: str = "rig"
    seed: int = 0


@dataclass(frozen=True)
class Metric:
    """A registered metric.

    Attributes:
        name: of its function.
        compute: the function.
        inputs: the fields of `MetricInputs` that it takes.
        goals: for some of its estimates.
    """

    name: str
    compute: Callable[..., Estimates]
    inputs: tuple[str, ...]
    goals: Mapping[str, Goal] = field(default_factory=dict)


METRICS: dict[str, Metric] = {}


def register_metric(goals: Mapping[str, Goal] | None = None) -> Callable[[F], F]:
    """Registers a function as a metric.

    Args:
        goals: ranges that its estimates should lie in, by the estimate's name.

    Raises:
        TypeError: a parameter of the function is no field of `MetricInputs`, or its name is taken.
    """

    def register(compute: F) -> F:
        inputs = tuple(inspect.signature(compute).parameters)
        unknown = set(inputs) - {each.name for each in fields(MetricInputs)}
        if unknown:
            raise TypeError(f"metric {compute.__name__} takes {sorted(unknown)}, which are no fields of MetricInputs")
        if compute.__name__ in METRICS:
            raise TypeError(f"there are two metrics named {compute.__name__}; rename one")
        METRICS[compute.__name__] = Metric(compute.__name__, compute, inputs, goals or {})
        return compute

    return register


def compute_metrics(inputs: MetricInputs, only: Sequence[str] | None = None) -> Estimates:
    """Estimates of all metrics whose inputs are there.

    Args:
        inputs: what they are computed from.
        only: names of the metrics to compute; all of them by default.

    Raises:
        ValueError: ``only`` names a metric that is not registered.
    """
    unknown = [name for name in only or () if name not in METRICS]
    if unknown:
        raise ValueError(f"there are no metrics {unknown}; there are {', '.join(METRICS)}")
    found: Estimates = {}
    for metric in METRICS.values():
        arguments = {name: getattr(inputs, name) for name in metric.inputs}
        if (only is None or metric.name in only) and all(value is not None for value in arguments.values()):
            found |= metric.compute(**arguments)
    return found


def metric_goals() -> dict[str, Goal]:
    """The goals of all metrics, by the estimate's name."""
    return {name: goal for metric in METRICS.values() for name, goal in metric.goals.items()}
