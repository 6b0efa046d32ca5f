"""Weights of RigNet's losses."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class RigWeights:
    """Weights of the losses of RigNet. The paper's joint network weights its rotation, expression and illumination
    losses 1 : 1000 : 0.001; those belong to its unknown units and do not carry over.
    """

    reconstruction: float = 1.0  # L_rec, mean squared difference of standardised codes
    edit: float = 1.0  # L_edit
    consistency: float = 1.0  # L_consist
    surface: float = 300.0  # slider requests: mean squared distance of projected vertices, image widths
    shading: float = 1.0  # slider requests: mean squared difference of shaded colours
    prior: float = 1e-1  # mean square of the offset in deviations of the codes
    context: float = 1.0  # mean square change of the predicted surroundings: hair, clothes, background
