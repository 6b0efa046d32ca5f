"""What the generator can reach: ranges of the controls, warnings and clamping."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import torch
from torch import Tensor

from stylerig_fast import strict_json
from stylerig_fast.errors import CheckpointError
from stylerig_fast.face.rotation import degrees_to_axis_angle
from stylerig_fast.params import FaceParams
from stylerig_fast.warn import warn_caller

ANGLES = ("yaw", "pitch", "roll")
# From where on an angle in degrees, and a unit of expression, is not the person's own. The angles went through
# axis-angle in float32, for which also the range's own end is a little outside.
MOVED = (0.5, 1e-3)
SLACK = (0.01, 0.0)


class ReachWarning(UserWarning):
    """A request lies outside what the generator was seen to reach."""


@dataclass(frozen=True)
class Reach:
    """Ranges of the controls.

    Attributes:
        angles: lowest and highest yaw, pitch and roll in degrees.
        expression: lowest and highest value of named expression units; 0 to 1 for those that are not listed.
    """

    angles: Mapping[str, tuple[float, float]]
    expression: Mapping[str, tuple[float, float]]
    # `_bounds` by names of units: ranges do not change, and each edit asks.
    _tensors: dict[tuple[str, ...], Tensor] = field(default_factory=dict, init=False, repr=False, compare=False)

    def limit(self, request: FaceParams, source: FaceParams, clamp: bool) -> FaceParams:
        """Warns of what ``request`` changes beyond the range; with ``clamp`` also moves it to the range's end.

        What the person already has is never called unreachable.

        Args:
            request: complete parameters that are asked for, on the CPU.
            source: complete parameters of the person, as many.
            clamp: whether to clamp.
        """
        assert request.expression is not None and source.expression is not None
        low, high, moved, slack = self._bounds(source.expression_names)
        before = torch.cat([source.pose_degrees(), source.expression], dim=1)
        target = torch.cat([request.pose_degrees(), request.expression], dim=1)
        inside = target.clamp(low, high)
        outside = ((target - before).abs() > moved) & ((inside - target).abs() > slack)
        if not bool(outside.any()):
            return request
        where = outside.any(0).nonzero()[:, 0].tolist()
        angles = [column for column in where if column < len(ANGLES)]
        beyond = []
        # One unit stands for all: there are dozens.
        for column in [*angles, *where[len(angles) :][:1]]:
            value = float(target[outside[:, column], column][0])
            lowest, highest = float(low[column]), float(high[column])
            if column < len(ANGLES):
                beyond.append(f"{ANGLES[column]} {value:.1f} degrees (reachable: {lowest:.0f} to {highest:.0f})")
            else:
                name = source.expression_names[column - len(ANGLES)]
                beyond.append(f"{name} {value:.2f} (reachable: {lowest:g} to {highest:g})")
        action = "clamped" if clamp else "the edit may fall short; pass clamp=True to clamp"
        warn_caller(f"beyond what the generator reaches: {', '.join(beyond)}; {action}", ReachWarning)
        if not clamp:
            return request
        limited = torch.where(outside, inside, target)
        result = request.with_blocks(expression=limited[:, len(ANGLES) :])
        # What is not clamped does not go through degrees and back.
        return result.with_blocks(rotation=degrees_to_axis_angle(limited[:, : len(ANGLES)])) if angles else result

    def _bounds(self, names: tuple[str, ...]) -> Tensor:
        """For the angles and the named units: lowest, highest, from where on moved, and slack; ``(4, 3 + E)``."""
        if names not in self._tensors:
            angles = [(*self.angles[name], MOVED[0], SLACK[0]) for name in ANGLES]
            units = [(*self._unit_range(name), MOVED[1], SLACK[1]) for name in names]
            self._tensors[names] = torch.tensor(angles + units).T.contiguous()
        return self._tensors[names]

    def _unit_range(self, name: str) -> tuple[float, float]:
        # Residual components are no units: they have no rest and no full extent.
        everything = (-math.inf, math.inf) if name.startswith("residual_") else (0.0, 1.0)
        return self.expression.get(name, everything)

    @staticmethod
    def load(path: Path) -> Reach:
        """Reads ``reach.json``; CheckpointError when it is missing or damaged."""
        try:
            values = strict_json.loads(path.read_bytes())
            angles = {name: (float(values["angles"][name][0]), float(values["angles"][name][1])) for name in ANGLES}
            units = {name: (float(low), float(high)) for name, (low, high) in values["expression"].items()}
            return Reach(angles, units)
        except (OSError, ValueError, KeyError, TypeError, IndexError, AttributeError) as error:
            raise CheckpointError(
                f"{path}: not a table of reachable ranges ({error!r}); train the rig again"
            ) from error
