"""Names of expression units, left and right: ``eyeBlinkLeft`` mirrors ``eyeBlinkRight``."""

from __future__ import annotations

from collections.abc import Sequence

SIDES = ("Left", "Right")


def side_of(name: str) -> str:
    """The side that ends a unit's name, "Left" or "Right"; "" for a unit of both."""
    return next((side for side in SIDES if name.endswith(side)), "")


def mirrored_name(name: str) -> str:
    """The unit of the other side; a unit of both sides is its own."""
    other = {"Left": "Right", "Right": "Left", "": ""}
    side = side_of(name)
    return name.removesuffix(side) + other[side]


def mirrored_indices(names: Sequence[str]) -> list[int]:
    """For each unit the index of the one that mirrors it; its own where ``names`` has no other side of it."""
    place = {name: index for index, name in enumerate(names)}
    return [place.get(mirrored_name(name), index) for index, name in enumerate(names)]
