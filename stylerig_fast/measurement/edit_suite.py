"""The standard edits that everybody is asked for, and the measure that answers each of them."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from typing import Literal

from stylerig_fast.params import FaceParams

YAW_STEPS = (-25.0, -15.0, -10.0, 10.0, 15.0, 25.0)
PITCH_STEPS = (-12.0, -10.0, 10.0, 12.0)
JAW_LEVELS = (0.0, 0.25, 0.5, 0.75, 1.0)
SMILE_LEVELS = (0.0, 0.4, 0.8)
EYES_LEVELS = (0.0, 0.5, 1.0)
BROWS_LEVELS = (0.0, 0.5, 1.0)
LIGHT_SIDES = {"left": (-1.0, 0.0, 1.0), "right": (1.0, 0.0, 1.0)}
SMILE_UNITS = ("mouthSmileLeft", "mouthSmileRight")
EYES_UNITS = ("eyeBlinkLeft", "eyeBlinkRight")
BROWS_UNITS = ("browInnerUp", "browOuterUpLeft", "browOuterUpRight")

Kind = Literal["yaw", "pitch", "jaw", "smile", "eyes", "brows", "light", "transfer"]

# What each kind of edit changes, as measured (columns of `analyzer.MEASURED`).
MEASURE: dict[str, str] = {
    "yaw": "yaw",
    "pitch": "pitch",
    "jaw": "mouth_opening",
    "smile": "smile_width",
    "eyes": "eye_opening",
    "brows": "brow_height",
    "light": "light",
}
# What edits of each kind should leave alone, among the measures.
KEPT: dict[str, tuple[str, ...]] = {
    "yaw": ("pitch", "mouth_opening", "smile_width", "eye_opening", "brow_height", "light"),
    "pitch": ("yaw", "mouth_opening", "smile_width", "eye_opening", "brow_height", "light"),
    "jaw": ("yaw", "pitch", "light"),
    "smile": ("yaw", "pitch", "light"),
    "eyes": ("yaw", "pitch", "mouth_opening", "light"),
    "brows": ("yaw", "pitch", "mouth_opening", "light"),
    "light": ("yaw", "pitch", "mouth_opening", "smile_width", "eye_opening", "brow_height"),
}
LABELS: dict[str, str] = {
    "yaw": "yaw",
    "pitch": "pitch",
    "jaw": "mouth opening",
    "smile": "smile",
    "eyes": "eye closing",
    "brows": "brow raise",
    "light": "light left/right",
    "transfer": "pose transfer",
}
# The edits by which methods are compared with each other: fewer, for each is rendered with every method.
COMPARED = ("yaw-15", "yaw+15", "pitch-10", "pitch+10", "jawOpen=0.5", "smile=0.8", "eyes=1", "brows=1")
COMPARED_QUICK = ("yaw-15", "yaw+15", "pitch+10", "jawOpen=0.5", "smile=0.8")


@dataclass(frozen=True)
class Request:
    """One edit asked of everybody.

    Attributes:
        name: unique, for example ``yaw+20``.
        kind: what it changes.
        amount: degrees of change, level of the expression unit, or -1 and 1 for light from left and right.
        apply: a person's own parameters to the requested ones.
    """

    name: str
    kind: Kind
    amount: float
    apply: Callable[[FaceParams], FaceParams]


def turn(angle: Literal["yaw", "pitch"], step: float) -> Request:
    """``step`` degrees more of an angle than the person has."""
    column = ("yaw", "pitch").index(angle)
    return Request(
        f"{angle}{step:+g}", angle, step, lambda own: own.with_pose(**{angle: own.pose_degrees()[:, column] + step})
    )


def express(kind: Kind, names: Sequence[str], level: float) -> Request:
    """Named units at a level."""
    label = names[0] if len(names) == 1 else kind
    return Request(f"{label}={level:g}", kind, level, lambda own: own.with_expression(**dict.fromkeys(names, level)))


def relight(side: str) -> Request:
    """Light from ``left`` or ``right``."""
    toward = LIGHT_SIDES[side]
    return Request(f"light {side}", "light", toward[0], lambda own: own.with_light(direction=toward))


def standard_requests(units: Collection[str], quick: bool = False) -> list[Request]:
    """The edits that the report is about.

    Args:
        units: names of the face model's expressions; what they do not hold is not asked for.
        quick: leave out about every second step.
    """

    def levels(kind: Kind, names: Sequence[str], values: Sequence[float]) -> list[Request]:
        known = all(name in units for name in names)
        return [express(kind, names, level) for level in values] if known else []

    return [
        *(turn("yaw", step) for step in YAW_STEPS if not quick or abs(step) in (15, 25)),
        *(turn("pitch", step) for step in PITCH_STEPS if not quick or abs(step) == 10),
        *levels("jaw", ("jawOpen",), JAW_LEVELS[::2] if quick else JAW_LEVELS),
        *levels("smile", SMILE_UNITS, SMILE_LEVELS[::2] if quick else SMILE_LEVELS),
        *levels("eyes", EYES_UNITS, EYES_LEVELS[::2] if quick else EYES_LEVELS),
        *levels("brows", BROWS_UNITS, BROWS_LEVELS[::2] if quick else BROWS_LEVELS),
        *(relight(side) for side in LIGHT_SIDES),
    ]


def compared_requests(units: Collection[str], quick: bool = False) -> list[Request]:
    """The edits of the comparison with baselines."""
    names = COMPARED_QUICK if quick else COMPARED
    return [request for request in standard_requests(units) if request.name in names or request.kind == "light"]
