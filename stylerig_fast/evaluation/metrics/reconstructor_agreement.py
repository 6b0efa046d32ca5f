"""What reconstructors read off the edited codes, beside what the pictures show: a rig can please F and change nothing.

The reconstructor that the rig was trained against is named ``training``; one that was trained independently, and that
the rig cannot have learned to please, ``second``.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch

from stylerig_fast.evaluation.metrics.registry import Estimates, register_metric
from stylerig_fast.measurement.edit_accuracy import change
from stylerig_fast.measurement.edit_kinds import EDIT_KINDS
from stylerig_fast.measurement.edit_runner import EditResult, MeasuredEdits
from stylerig_fast.measurement.statistics import Estimate, slope


@register_metric()
def reconstructor_agreement(measured: MeasuredEdits) -> Estimates:
    """Gain of each kind of edit by each reconstructor, and in the picture by the same formula.

    The names are ``reconstructor_agreement.<kind>_by_<reconstructor>`` and ``.<kind>_in_picture``.
    """
    found: Estimates = {}
    for kind in EDIT_KINDS.values():
        results = measured.of(kind)
        if not results or not measured.by_reconstructor:
            continue
        requested = change(results, measured, kind.measure, rendered=True)
        for name in measured.by_reconstructor:
            found[f"reconstructor_agreement.{kind.name}_by_{name}"] = _gain(results, measured, name)
        in_picture = slope(requested, change(results, measured, kind.measure))
        found[f"reconstructor_agreement.{kind.name}_in_picture"] = in_picture
    return found


def _gain(results: Sequence[EditResult], measured: MeasuredEdits, reconstructor: str) -> Estimate:
    measure = results[0].edit.kind.measure
    before = measured.by_reconstructor[reconstructor].value(measure)
    read = torch.stack([each.by_reconstructor[reconstructor].value(measure) - before for each in results], dim=1)
    return slope(change(results, measured, measure, rendered=True), read)
