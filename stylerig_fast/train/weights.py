"""Weights of RigNet's losses, and of the linear world that it starts from."""

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
    price: float = 0.02  # what an offset changes unasked, beyond the direction that it started from


@dataclass(frozen=True)
class DirectionWeights:
    """Weights of the terms of a linear world. What is asked for counts per squared deviation over portraits; each price
    is 1 for a random offset of one deviation of the codes.
    """

    measures: float = 300.0  # measures of the face move as the rendered face model's
    landmarks: float = 0.3  # so do its 51 inner landmarks, mean square in 0.03 outer-eye distances
    mending: float = 1.0  # what pictures show wrong is mended, per squared deviation
    light: float = 0.3  # F sees the light that is asked for, in the colours of the average face
    length: float = 1.0  # the offset itself
    colours: float = 0.9  # colours of the skin where the request does not move it
    surroundings: float = 0.1  # hair, clothes, background
    identity: float = 1.0  # identity and albedo that F sees
