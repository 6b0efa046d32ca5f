"""How far each control reaches: sweeps, measured on pictures, and the ``reach.json`` that the Engine warns by."""

from __future__ import annotations

import json
import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from stylerig_fast.atomic_files import write_atomically
from stylerig_fast.engine.roll import MOST
from stylerig_fast.measurement.edit_kinds import EDIT_KINDS, EditKind
from stylerig_fast.measurement.edit_runner import MeasuredEdits
from stylerig_fast.measurement.edit_suite import ANGLES, Edit, make_edit
from stylerig_fast.measurement.statistics import CONFIDENCE, Estimate, mean, plain_number, share, slope

HIGHEST = 1.2  # gains between a kind's `lowest_gain` and this count as reached
DETECTED = 0.99  # share of faces that must still be found


@dataclass(frozen=True)
class SweepStep:
    """One step of a sweep.

    Attributes:
        amount: of the edit.
        gain: change in the picture over the requested change.
        detected: share of pictures in which a face was found.
        distance: identity distance to the unedited person.
        lowest: gain from which the step counts as reached.
    """

    amount: float
    gain: Estimate
    detected: Estimate
    distance: Estimate
    lowest: float = 0.8

    @property
    def reached(self) -> bool:
        """Neither the gain was shown to leave ``lowest`` to 1.2, nor faces to be lost."""
        return self.gain.high >= self.lowest and self.gain.low <= HIGHEST and not lost(self.detected)


def lost(detected: Estimate) -> bool:
    """Whether so few faces are found hardly ever (binomial, 2.5 %) where 99 % can be: 3 of 40 missing, 2 are not.

    Shares this close to 1 have no use for a bootstrap: where no face is missing it knows of no doubt, and with 3 of 40
    missing its interval still ends at 1.
    """
    if not math.isfinite(detected.value):
        return True
    found, n = round(detected.value * detected.n), detected.n
    chance = sum(math.comb(n, i) * DETECTED**i * (1 - DETECTED) ** (n - i) for i in range(found + 1))
    return chance < (1 - CONFIDENCE) / 2


@dataclass(frozen=True)
class Sweep:
    """One control's steps in the order of their amounts, and the range that is reached without a gap around zero."""

    kind: EditKind
    steps: tuple[SweepStep, ...]

    @property
    def control(self) -> str:
        """What is swept: an angle, or expression units."""
        return " + ".join(self.kind.units) or self.kind.name

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


def sweep_edits(units: Collection[str], quick: bool = False) -> list[Edit]:
    """Every step of every sweep.

    Args:
        units: names of the face model's expression units; kinds that need others are left out.
        quick: fewer controls and steps.
    """
    kinds = [kind for kind in EDIT_KINDS.values() if kind.available(units)]
    return [_step(kind, amount) for kind in kinds for amount in (kind.quick_swept if quick else kind.swept)]


def _step(kind: EditKind, amount: float) -> Edit:
    """Angles are set to the amount, for ``reach.json`` bounds what they are and not how far they are turned."""
    if kind.name not in ANGLES:
        return make_edit(kind, amount)
    angle = {kind.name: amount}
    return Edit(f"{kind.name} at {amount:g}", kind, amount, lambda source: source.with_pose(**angle))


def sweeps(measured: MeasuredEdits) -> list[Sweep]:
    """Gains of every step; angles are measured from the person's source pose, units from their level 0."""
    kinds = dict.fromkeys(result.edit.kind.name for result in measured.results)
    return [_sweep(EDIT_KINDS[name], measured) for name in kinds]


def _sweep(kind: EditKind, measured: MeasuredEdits) -> Sweep:
    results = measured.of(kind)
    rest = next((result for result in results if kind.units and result.edit.amount == 0), None)
    start, model = (measured.before, measured.rendered) if rest is None else (rest.picture, rest.rendered)
    steps = []
    for result in results:
        if result is rest:
            continue
        want = result.rendered.value(kind.measure) - model.value(kind.measure)
        got = result.picture.value(kind.measure) - start.value(kind.measure)
        steps.append(
            SweepStep(
                result.edit.amount,
                slope(want[:, None], got[:, None]),
                share(result.picture.detected),
                mean(result.picture.descriptor_distance(measured.before)),
                kind.lowest_gain,
            )
        )
    return Sweep(kind, tuple(sorted(steps, key=lambda step: step.amount)))


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
        if sweep.kind.units:
            expression |= {unit: [0.0, sweep.range[1]] for unit in sweep.kind.units}
        else:
            angles[sweep.kind.name] = list(sweep.range)
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
                    "amount": step.amount,
                    "gain": plain_number(step.gain.value),
                    "gain_interval": [plain_number(step.gain.low), plain_number(step.gain.high)],
                    "detected": plain_number(step.detected.value),
                    "detected_interval": [plain_number(step.detected.low), plain_number(step.detected.high)],
                    "identity_distance": plain_number(step.distance.value),
                    "reached": step.reached,
                }
                for step in sweep.steps
            ],
        }
        for sweep in found
    }
