"""Left and right of expression units."""

from __future__ import annotations

import pytest

from stylerig_fast.face.model_io import open_face_model
from stylerig_fast.face.units import mirrored_indices, mirrored_name, side_of


@pytest.mark.parametrize(
    ("name", "side", "mirrored"),
    [("eyeBlinkLeft", "Left", "eyeBlinkRight"), ("jawRight", "Right", "jawLeft"), ("jawOpen", "", "jawOpen")],
)
def test_sides(name, side, mirrored) -> None:
    assert side_of(name) == side and mirrored_name(name) == mirrored


def test_mirroring_twice_changes_nothing() -> None:
    names = open_face_model().expression_names
    mirrored = mirrored_indices(names)
    assert [mirrored[index] for index in mirrored] == list(range(len(names)))
    assert sum(index != other for index, other in enumerate(mirrored)) >= 36


def test_a_unit_whose_other_side_is_missing_is_its_own() -> None:
    assert mirrored_indices(("eyeBlinkLeft", "jawOpen")) == [0, 1]
