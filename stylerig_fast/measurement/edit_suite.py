"""Edits asked of everybody: a kind of the table by an amount, and the suites of the evaluation."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass

from stylerig_fast.measurement.edit_kinds import EditKind, evaluated_kinds
from stylerig_fast.params import FaceParams

ANGLES = ("yaw", "pitch")
LIGHT_SIDES = {-1.0: "left", 1.0: "right"}


@dataclass(frozen=True)
class Edit:
    """One edit, the same for everybody.

    Attributes:
        name: unique, for example ``yaw+20``.
        kind: what it changes.
        amount: how much, see `EditKind`.
        apply: takes the source parameters of people to the target parameters.
    """

    name: str
    kind: EditKind
    amount: float
    apply: Callable[[FaceParams], FaceParams]


def make_edit(kind: EditKind, amount: float) -> Edit:
    """The edit of a kind by an amount: an angle is changed by it, units and light are set to it."""
    if kind.name in ANGLES:
        angle, column = kind.name, ANGLES.index(kind.name)

        def turn(source: FaceParams) -> FaceParams:
            return source.with_pose(**{angle: source.pose_degrees()[:, column] + amount})

        return Edit(f"{angle}{amount:+g}", kind, amount, turn)
    if kind.units:
        levels = dict.fromkeys(kind.units, amount)
        return Edit(f"{kind.name}={amount:g}", kind, amount, lambda source: source.with_expression(**levels))
    direction = (amount, 0.0, 1.0)
    return Edit(f"light {LIGHT_SIDES[amount]}", kind, amount, lambda source: source.with_light(direction=direction))


def edits_of(kinds: Sequence[EditKind], units: Collection[str], quick: bool = False) -> list[Edit]:
    """All edits of some kinds.

    Args:
        kinds: in this order.
        units: names of the face model's expression units; kinds that need others are left out.
        quick: fewer amounts per kind.
    """
    return [
        make_edit(kind, amount)
        for kind in kinds
        if kind.available(units)
        for amount in (kind.quick_amounts if quick else kind.amounts)
    ]


def standard_edits(units: Collection[str], quick: bool = False) -> list[Edit]:
    """The edits of the evaluation; arguments as of `edits_of`."""
    return edits_of(evaluated_kinds(), units, quick)


def compared_edits(units: Collection[str], quick: bool = False) -> list[Edit]:
    """The edits by which methods are compared: fewer, for every method renders each; arguments as of `edits_of`."""
    return [
        make_edit(kind, amount)
        for kind in evaluated_kinds()
        if kind.available(units)
        for amount in (kind.quick_compared if quick else kind.compared)
    ]
