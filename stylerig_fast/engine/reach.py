"""What the generator can reach: ranges of the controls, warnings and clamping."""

from __future__ import annotations

import json
import math
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import torch

from stylerig_fast.errors import CheckpointError
from stylerig_fast.face.rotation import degrees_to_axis_angle
from stylerig_fast.params import FaceParams

ANGLES = ("yaw", "pitch", "roll")


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

    def limit(self, request: FaceParams, own: FaceParams, clamp: bool) -> FaceParams:
        """Warns of what ``request`` changes beyond the range; with ``clamp`` also moves it to the range's end.

        What the person already has is never called unreachable.

        Args:
            request: complete parameters that are asked for.
            own: complete parameters of the person.
            clamp: whether to clamp.
        """
        degrees, before = request.pose_degrees(), own.pose_degrees()
        beyond = []
        limited = degrees.clone()
        for column, name in enumerate(ANGLES):
            low, high = self.angles[name]
            moved = (degrees[:, column] - before[:, column]).abs() > 0.5
            inside = degrees[:, column].clamp(low, high)
            # Degrees went through axis-angle in float32: the range's end itself is inside.
            outside = moved & ((inside - degrees[:, column]).abs() > 0.01)
            limited[:, column] = torch.where(outside, inside, degrees[:, column])
            if bool(outside.any()):
                worst = float(degrees[outside.nonzero()[0, 0], column])
                beyond.append(f"{name} {worst:.1f} degrees (reachable: {low:.0f} to {high:.0f})")
        result = request if not beyond else request.with_blocks(rotation=degrees_to_axis_angle(limited))
        assert request.expression is not None
        assert own.expression is not None
        bounds = [self._unit_range(name) for name in request.expression_names]
        lowest, highest = request.expression.new_tensor(bounds).unbind(1)
        inside = torch.maximum(torch.minimum(request.expression, highest), lowest)
        outside = ((request.expression - own.expression).abs() > 1e-3) & (inside != request.expression)
        if bool(outside.any()):
            row, column = outside.nonzero()[0].tolist()
            value, name = float(request.expression[row, column]), request.expression_names[column]
            beyond.append(f"{name} {value:.2f} (reachable: {bounds[column][0]:g} to {bounds[column][1]:g})")
            result = result.with_blocks(expression=torch.where(outside, inside, request.expression))
        if not beyond:
            return request
        action = "clamped" if clamp else "the edit may fall short; pass clamp=True to clamp"
        warnings.warn(f"beyond what the generator reaches: {', '.join(beyond)}; {action}", ReachWarning, stacklevel=3)
        return result if clamp else request

    def _unit_range(self, name: str) -> tuple[float, float]:
        # Residual components are no units: they have no rest and no full extent.
        everything = (-math.inf, math.inf) if name.startswith("residual_") else (0.0, 1.0)
        return self.expression.get(name, everything)

    @staticmethod
    def load(path: Path) -> Reach:
        """Reads ``reach.json``; CheckpointError when it is missing or damaged."""
        try:
            values = json.loads(path.read_bytes())
            angles = {name: (float(values["angles"][name][0]), float(values["angles"][name][1])) for name in ANGLES}
            units = {name: (float(low), float(high)) for name, (low, high) in values["expression"].items()}
            return Reach(angles, units)
        except (OSError, ValueError, KeyError, TypeError, IndexError, AttributeError) as error:
            raise CheckpointError(
                f"{path}: not a table of reachable ranges ({error!r}); train the rig again"
            ) from error
