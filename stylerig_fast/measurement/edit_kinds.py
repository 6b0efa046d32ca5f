"""Every kind of edit that is trained, calibrated or evaluated: one table, from which everything else reads.

To add one, add an `EditKind` to the table (and a new measure to `measurements.Measurements`, if none of those there
answers it). Its gain, off-target changes, identity distance, strip of pictures and goals follow.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import Literal

_FACE = ("mouth_opening", "mouth_width", "eye_opening", "brow_height")


@dataclass(frozen=True, kw_only=True)
class EditKind:
    """One kind of edit, and everything that depends on which kind it is.

    An amount is degrees of change of an angle, the level (0 to 1) of expression units, or -1 and 1 for light from the
    left and from the right.

    Attributes:
        name: begins the names of its metrics: ``jaw.gain``.
        label: what reports call it.
        control: which of the rig's controls performs it.
        measure: the field of `Measurements` that it changes.
        also_measured: further fields that it changes; their gains are reported too.
        kept: fields that it should leave as they are.
        units: names of the face model's expression units that are set together; none for angles and light.
        core: whether the rig is calibrated on it, and figures that pool edits of several kinds count it: faces found,
            the Fréchet distance, disentanglement, the identity distance of all expressions. What is added later is
            not, so that those figures stay comparable.
        amounts, quick_amounts: asked of everybody in the evaluation and in the quick one; not part of it without.
        compared, quick_compared: of these, those that every method of the comparison performs as well.
        swept, quick_swept: amounts at which the control's range is measured.
        shown: lowest and highest amount in the strips of pictures.
        widest_shown: the largest level that portraits show; a larger one is left out of pooled identity distances,
            because it costs the person whoever performs the edit.
        gain_goal: lowest and highest gain that meets the goal.
        error_goal: largest mean error in degrees that does.
        lowest_gain: gain from which a step of the sweep counts as reached.
        calibrated_gain: training brings the gain between these.
        correction: amount of the edits that training renders to correct the rig by what they show; none without.
    """

    name: str
    label: str
    control: Literal["pose", "expression", "illumination"]
    measure: str
    kept: tuple[str, ...] = ()
    also_measured: tuple[str, ...] = ()
    units: tuple[str, ...] = ()
    core: bool = False
    amounts: tuple[float, ...] = ()
    quick_amounts: tuple[float, ...] = ()
    compared: tuple[float, ...] = ()
    quick_compared: tuple[float, ...] = ()
    swept: tuple[float, ...] = (0.0, 0.25, 0.5, 0.75, 1.0)
    quick_swept: tuple[float, ...] = ()
    shown: tuple[float, float] = (0.0, 1.0)
    widest_shown: float = 1.0
    gain_goal: tuple[float, float] = (0.8, 1.2)
    error_goal: float | None = None
    lowest_gain: float = 0.8
    calibrated_gain: tuple[float, float] = (0.85, 0.9)
    correction: float | None = None

    def available(self, units: Collection[str]) -> bool:
        """Whether a face model with these expression units can perform it."""
        return all(unit in units for unit in self.units)


_KINDS = (
    EditKind(
        name="yaw",
        label="yaw",
        control="pose",
        measure="yaw",
        kept=("pitch", *_FACE, "light"),
        core=True,
        amounts=(-25.0, -15.0, -10.0, 10.0, 15.0, 25.0),
        quick_amounts=(-25.0, -15.0, 15.0, 25.0),
        compared=(-15.0, 15.0),
        quick_compared=(-15.0, 15.0),
        swept=(-40.0, -30.0, -25.0, -20.0, -15.0, -10.0, 10.0, 15.0, 20.0, 25.0, 30.0, 40.0),
        quick_swept=(-30.0, -15.0, 15.0, 30.0),
        shown=(-30.0, 30.0),
        gain_goal=(0.95, 1.05),
        error_goal=2.5,
        calibrated_gain=(0.97, 1.03),
        correction=20.0,
    ),
    EditKind(
        name="pitch",
        label="pitch",
        control="pose",
        measure="pitch",
        kept=("yaw", *_FACE, "light"),
        core=True,
        amounts=(-12.0, -10.0, 10.0, 12.0),
        quick_amounts=(-10.0, 10.0),
        compared=(-10.0, 10.0),
        quick_compared=(10.0,),
        swept=(-24.0, -18.0, -12.0, -8.0, 8.0, 12.0, 18.0, 24.0),
        quick_swept=(-18.0, -8.0, 12.0),
        shown=(-15.0, 15.0),
        gain_goal=(0.9, 1.1),
        error_goal=3.0,
        calibrated_gain=(0.97, 1.03),
        correction=10.0,
    ),
    EditKind(
        name="jaw",
        label="mouth opening",
        control="expression",
        measure="mouth_opening",
        kept=("yaw", "pitch", "light"),
        units=("jawOpen",),
        core=True,
        amounts=(0.0, 0.25, 0.5, 0.75, 1.0),
        quick_amounts=(0.0, 0.5, 1.0),
        compared=(0.5,),
        quick_compared=(0.5,),
        quick_swept=(0.0, 0.5, 1.0),
        # About the widest mouth that the portraits of MobileStyleGAN-FFHQ show.
        widest_shown=0.5,
        # A wide-open mouth that is asked for still more hardly opens further, and shows odd teeth.
        calibrated_gain=(0.75, 0.79),
        correction=0.5,
    ),
    EditKind(
        name="smile",
        label="smile",
        control="expression",
        measure="mouth_width",
        also_measured=("corner_height",),
        kept=("yaw", "pitch", "light"),
        units=("mouthSmileLeft", "mouthSmileRight"),
        core=True,
        amounts=(0.0, 0.4, 0.8),
        quick_amounts=(0.0, 0.8),
        compared=(0.8,),
        quick_compared=(0.8,),
        quick_swept=(0.0, 0.5, 1.0),
        correction=0.8,
    ),
    EditKind(
        name="pucker",
        label="mouth pucker",
        control="expression",
        measure="mouth_width",
        kept=("yaw", "pitch", "light"),
        units=("mouthPucker",),
        amounts=(0.0, 0.5, 1.0),
        quick_amounts=(0.0, 1.0),
    ),
    EditKind(
        name="funnel", label="mouth funnel", control="expression", measure="mouth_opening", units=("mouthFunnel",)
    ),
    EditKind(
        name="frown",
        label="mouth frown",
        control="expression",
        measure="corner_height",
        units=("mouthFrownLeft", "mouthFrownRight"),
    ),
    EditKind(
        name="eyes",
        label="eye closing",
        control="expression",
        measure="eye_opening",
        kept=("yaw", "pitch", "mouth_opening", "light"),
        units=("eyeBlinkLeft", "eyeBlinkRight"),
        core=True,
        amounts=(0.0, 0.5, 1.0),
        quick_amounts=(0.0, 1.0),
        compared=(1.0,),
        quick_swept=(0.0, 0.5, 1.0),
        # dlib's lids never meet: its landmarks show about 0.6 of eyes that close for everybody to see.
        lowest_gain=0.45,
        calibrated_gain=(0.5, 0.55),
        correction=1.0,
    ),
    EditKind(
        name="eyes_wide",
        label="eye widening",
        control="expression",
        measure="eye_opening",
        units=("eyeWideLeft", "eyeWideRight"),
        lowest_gain=0.45,
    ),
    EditKind(
        name="brows",
        label="brow raise",
        control="expression",
        measure="brow_height",
        kept=("yaw", "pitch", "mouth_opening", "light"),
        units=("browInnerUp", "browOuterUpLeft", "browOuterUpRight"),
        core=True,
        amounts=(0.0, 0.5, 1.0),
        quick_amounts=(0.0, 1.0),
        compared=(1.0,),
        correction=1.0,
    ),
    EditKind(
        name="brows_down",
        label="brow lowering",
        control="expression",
        measure="brow_height",
        units=("browDownLeft", "browDownRight"),
    ),
    EditKind(
        name="light",
        label="light left/right",
        control="illumination",
        measure="light",
        kept=("yaw", "pitch", *_FACE),
        core=True,
        amounts=(-1.0, 1.0),
        quick_amounts=(-1.0, 1.0),
        compared=(-1.0, 1.0),
        quick_compared=(-1.0, 1.0),
        swept=(),
        shown=(-1.0, 1.0),
    ),
)
EDIT_KINDS = {kind.name: kind for kind in _KINDS}
# The pose of another portrait: `edit_runner` asks for it where it is given portraits to take poses from.
TRANSFER = EditKind(
    name="transfer",
    label="pose transfer",
    control="pose",
    measure="yaw",
    also_measured=("pitch",),
    core=True,
    swept=(),
)


def core_kinds() -> list[EditKind]:
    """The kinds that the rig is calibrated on and that pooled figures count."""
    return [kind for kind in EDIT_KINDS.values() if kind.core]


def evaluated_kinds() -> list[EditKind]:
    """The kinds that the evaluation asks for."""
    return [kind for kind in EDIT_KINDS.values() if kind.amounts]
