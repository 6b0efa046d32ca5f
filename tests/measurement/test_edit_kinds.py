"""The table of edits: consistent with what is measured, and all that is computed from a row follows."""

from __future__ import annotations

import pytest
import torch

from stylerig_fast.face.model_io import open_face_model
from stylerig_fast.measurement.edit_kinds import EDIT_KINDS, TRANSFER, core_kinds, evaluated_kinds
from stylerig_fast.measurement.edit_suite import compared_edits, edits_of, make_edit, standard_edits
from stylerig_fast.measurement.expression import measure_face
from stylerig_fast.measurement.measurements import MEASURE_LABELS
from stylerig_fast.param_layout import CONTROLS
from stylerig_fast.params import FaceParams
from stylerig_fast.render import evaluate

UNITS = open_face_model().expression_names


@pytest.mark.parametrize("kind", [*EDIT_KINDS.values(), TRANSFER], ids=lambda kind: kind.name)
def test_a_row_names_measures_controls_and_units_that_there_are(kind):
    assert {kind.measure, *kind.also_measured, *kind.kept} <= set(MEASURE_LABELS)
    assert kind.measure not in kind.kept
    assert kind.control in CONTROLS
    assert set(kind.units) <= set(UNITS)
    assert bool(kind.units) == (kind.control == "expression")
    # Quick and compared edits are among those that the evaluation asks for.
    assert set(kind.quick_amounts) <= set(kind.amounts)
    assert set(kind.quick_compared) <= set(kind.compared) <= set(kind.amounts)
    assert set(kind.quick_swept) <= set(kind.swept)
    # What is evaluated is to leave something as it is.
    assert bool(kind.kept) == bool(kind.amounts)
    # A unit is measured from its level 0.
    assert not kind.units or 0.0 in kind.swept


def test_core_kinds_are_corrected_and_compared_or_are_the_light():
    assert [kind.name for kind in core_kinds()] == ["yaw", "pitch", "jaw", "smile", "eyes", "brows", "light"]
    assert all(kind.compared and (kind.correction or kind.name == "light") for kind in core_kinds())
    assert {kind.name for kind in evaluated_kinds()} - {kind.name for kind in core_kinds()} == {"pucker"}


def test_names_are_unique_and_quick_edits_are_fewer():
    standard, quick = standard_edits(UNITS), standard_edits(UNITS, quick=True)
    assert len({edit.name for edit in standard}) == len(standard)
    assert {edit.name for edit in quick} < {edit.name for edit in standard}
    compared = {edit.name for edit in compared_edits(UNITS)}
    assert compared == {
        *("yaw-15", "yaw+15", "pitch-10", "pitch+10", "jaw=0.5", "smile=0.8", "eyes=1", "brows=1"),
        *("light left", "light right"),
    }
    assert {edit.name for edit in compared_edits(UNITS, quick=True)} < compared


def test_a_face_model_without_units_is_not_asked_for_them():
    kinds = {edit.kind.name for edit in standard_edits(("residual_00", "jawLeft"))}
    assert kinds == {"yaw", "pitch", "light"}
    assert {edit.kind.name for edit in edits_of(core_kinds(), ("jawOpen",))} == kinds | {"jaw"}


def test_a_pucker_narrows_the_mouth():
    """The edit that was added last, by a row of the table and this test alone."""
    model = open_face_model()
    flat = FaceParams.from_vector(torch.zeros(1, sum(model.sizes.values())), model.sizes, model.expression_names)
    source = flat.with_blocks(translation=torch.tensor([[0.0, 0.0, -11.0]]))
    kind = EDIT_KINDS["pucker"]
    widths = [
        float(measure_face(evaluate(model, make_edit(kind, level).apply(source)).landmarks).mouth_width)
        for level in kind.amounts
    ]
    assert widths[0] > widths[1] > widths[2]
    assert widths[0] - widths[2] > 0.05
