"""How far each control reaches: sweeps, judged on pictures, and the ``reach.json`` that the Engine warns by."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import Tensor

from stylerig_fast.checkpoint import write_atomically
from stylerig_fast.engine.roll import MOST
from stylerig_fast.measurement.analyzer import MEASURED, Measurements
from stylerig_fast.measurement.edit_runner import Measured
from stylerig_fast.measurement.edit_suite import Kind, Request
from stylerig_fast.measurement.statistics import CONFIDENCE, Figure, mean, plain_number, share, slope

LOW, HIGH = 0.8, 1.2  # gains between these are called reached
# dlib's lids never meet: its landmarks show about 0.6 of eyes that close for everybody to see.
LOWEST = {"eye_opening": 0.45}
FOUND = 0.99  # share of faces that must still be found
YAWS = (-40.0, -30.0, -25.0, -20.0, -15.0, -10.0, 10.0, 15.0, 20.0, 25.0, 30.0, 40.0)
PITCHES = (-24.0, -18.0, -12.0, -8.0, 8.0, 12.0, 18.0, 24.0)
LEVELS = (0.25, 0.5, 0.75, 1.0)
# Units that landmarks can measure, alone or with their mirror image, and the measure.
UNITS: dict[tuple[str, ...], str] = {
    ("jawOpen",): "mouth_opening",
    ("mouthSmileLeft", "mouthSmileRight"): "smile_width",
    ("mouthPucker",): "smile_width",
    ("mouthFunnel",): "mouth_opening",
    ("mouthFrownLeft", "mouthFrownRight"): "corner_height",
    ("eyeBlinkLeft", "eyeBlinkRight"): "eye_opening",
    ("eyeWideLeft", "eyeWideRight"): "eye_opening",
    ("browInnerUp", "browOuterUpLeft", "browOuterUpRight"): "brow_height",
    ("browDownLeft", "browDownRight"): "brow_height",
}
QUICK = (("jawOpen",), ("mouthSmileLeft", "mouthSmileRight"), ("eyeBlinkLeft", "eyeBlinkRight"))


@dataclass(frozen=True)
class Step:
    """One step of a sweep: what was asked and what came, and the gain from which it counts as reached."""

    amount: float
    gain: Figure
    found: Figure
    distance: Figure
    lowest: float = LOW

    @property
    def reached(self) -> bool:
        """Neither the gain was shown to leave ``lowest`` to 1.2, nor faces to be lost."""
        return self.gain.high >= self.lowest and self.gain.low <= HIGH and not lost(self.found)


def lost(found: Figure) -> bool:
    """Whether so few faces are found hardly ever (binomial, 2.5 %) where 99 % can be: 3 of 40 missing, 2 are not.

    Shares this close to 1 have no use for a bootstrap: where no face is missing it knows of no doubt, and with 3 of 40
    missing its interval still ends at 1.
    """
    if not math.isfinite(found.value):
        return True
    seen, n = round(found.value * found.n), found.n
    return sum(math.comb(n, i) * FOUND**i * (1 - FOUND) ** (n - i) for i in range(seen + 1)) < (1 - CONFIDENCE) / 2


@dataclass(frozen=True)
class Sweep:
    """One control's steps in the order of their amounts, and the range that is reached without a gap around zero."""

    control: str
    units: tuple[str, ...]
    steps: tuple[Step, ...]

    @property
    def range(self) -> tuple[float, float]:
        """Lowest and highest amount; 0 on a side whose first step is not reached."""
        ends = [0.0, 0.0]
        for side, sign in ((0, -1.0), (1, 1.0)):
            for step in sorted((s for s in self.steps if s.amount * sign > 0), key=lambda s: abs(s.amount)):
                if not step.reached:
                    break
                ends[side] = step.amount
        return ends[0], ends[1]


def sweep_requests(units: Sequence[str], quick: bool = False) -> list[tuple[str, tuple[str, ...], str, Request]]:
    """What is asked: control, its units, the measure that answers, and the request, for every step."""
    found: list[tuple[str, tuple[str, ...], str, Request]] = []

    def angle(name: Kind, amounts: Sequence[float]) -> None:
        for amount in amounts:
            values = {name: amount}
            request = Request(f"{name} at {amount:g}", name, amount, lambda own, v=values: own.with_pose(**v))  # type: ignore[misc]
            found.append((name, (), name, request))

    angle("yaw", YAWS[1:-1:3] if quick else YAWS)
    angle("pitch", PITCHES[1:-1:2] if quick else PITCHES)
    for names, measure in UNITS.items():
        if all(name in units for name in names) and (not quick or names in QUICK):
            label = names[0] if len(names) == 1 else " + ".join(names)
            for level in (0.0, *(LEVELS[1::2] if quick else LEVELS)):
                values = dict.fromkeys(names, level)
                request = Request(
                    f"{label} at {level:g}",
                    "jaw",
                    level,
                    lambda own, v=values: own.with_expression(**v),  # type: ignore[misc]
                )
                found.append((label, names, measure, request))
    return found


def sweeps(asked: Sequence[tuple[str, tuple[str, ...], str, Request]], measured: Measured) -> list[Sweep]:
    """Gains of every step; angles are measured from the person's own pose, units from their level 0."""
    names = list(dict.fromkeys(control for control, *_ in asked))
    return [_sweep(name, asked, measured) for name in names]


def _sweep(control: str, asked: Sequence[tuple[str, tuple[str, ...], str, Request]], measured: Measured) -> Sweep:
    rows = [i for i, entry in enumerate(asked) if entry[0] == control]
    units, measure = asked[rows[0]][1], asked[rows[0]][2]
    rest = next((i for i in rows if units and asked[i][3].amount == 0), None)
    start = measured.before if rest is None else measured.edits[rest].picture
    model = measured.rendered if rest is None else measured.edits[rest].rendered
    steps = []
    for i in rows:
        edit = measured.edits[i]
        if i == rest:
            continue
        want, got = _difference(edit.rendered, model, measure), _difference(edit.picture, start, measure)
        steps.append(
            Step(
                edit.request.amount,
                slope(want[:, None], got[:, None]),
                share(edit.picture.detected),
                mean(edit.picture.descriptor_distance(measured.before)),
                LOWEST.get(measure, LOW),
            )
        )
    return Sweep(control, units, tuple(sorted(steps, key=lambda step: step.amount)))


def _difference(after: Measurements, before: Measurements, measure: str) -> Tensor:
    column = MEASURED.index(measure)
    return after.values[:, column] - before.values[:, column]


def reach_table(found: Sequence[Sweep]) -> dict[str, dict[str, list[float]]]:
    """The content of ``reach.json``, as `engine.reach.Reach.load` reads it.

    Units that no landmark measures are not listed and keep the Engine's 0 to 1; a unit whose first step already
    falls short is listed with the range 0 to 0, so that the Engine warns of every use.

    Args:
        found: the sweeps.
    """
    angles: dict[str, list[float]] = {"roll": [-MOST, MOST]}
    expression: dict[str, list[float]] = {}
    for sweep in found:
        if sweep.units:
            expression |= {unit: [0.0, sweep.range[1]] for unit in sweep.units}
        else:
            angles[sweep.control] = list(sweep.range)
    return {"angles": {name: angles[name] for name in ("yaw", "pitch", "roll")}, "expression": expression}


def write_reach(path: Path, table: Mapping[str, object]) -> None:
    """Writes ``reach.json``, whole or not at all."""
    write_atomically(path, (json.dumps(table, indent=2) + "\n").encode())


def sweep_json(found: Sequence[Sweep]) -> dict[str, Any]:
    """The sweeps as plain values."""
    return {
        sweep.control: {
            "range": list(sweep.range),
            "steps": [
                {
                    "asked": step.amount,
                    "gain": plain_number(step.gain.value),
                    "gain_interval": [plain_number(step.gain.low), plain_number(step.gain.high)],
                    "found": plain_number(step.found.value),
                    "found_interval": [plain_number(step.found.low), plain_number(step.found.high)],
                    "identity_distance": plain_number(step.distance.value),
                    "reached": step.reached,
                }
                for step in sweep.steps
            ],
        }
        for sweep in found
    }
