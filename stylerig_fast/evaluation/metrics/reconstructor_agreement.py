"""What reconstructors say of the edits, beside what the pictures show: a rig can please F and change nothing.

Each witness is a reconstructor that looks at the edited *code*. The one that RigNet was trained against is named
``own``; one that was trained independently cannot have been learned by heart.
"""

from __future__ import annotations

import torch

from stylerig_fast.measurement.edit_runner import Measured
from stylerig_fast.measurement.edit_suite import MEASURE
from stylerig_fast.measurement.statistics import Figure, slope


def witness_figures(measured: Measured) -> dict[str, Figure]:
    """Gain of each kind of edit by each witness, ``witness.KIND_by_NAME``, and in the picture by the same formula."""
    figures = {}
    for kind, measure in MEASURE.items():
        edits = [edit for edit in measured.edits if edit.request.kind == kind]
        if not edits or not measured.witnesses:
            continue
        before = measured.rendered.value(measure)
        asked = torch.stack([edit.rendered.value(measure) - before for edit in edits], dim=1)
        for name in measured.witnesses:
            first = measured.witnesses[name].value(measure)
            seen = torch.stack([edit.witnesses[name].value(measure) - first for edit in edits], dim=1)
            figures[f"witness.{kind}_by_{name}"] = slope(asked, seen)
        shown = torch.stack([edit.picture.value(measure) - measured.before.value(measure) for edit in edits], dim=1)
        figures[f"witness.{kind}_in_picture"] = slope(asked, shown)
    return figures
