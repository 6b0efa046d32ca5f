"""Where the blocks of a parameter vector lie."""

from __future__ import annotations

import pytest
import torch

from stylerig_fast.param_layout import BLOCKS, CONTROLS, ParamLayout, edited_blocks

SIZES = {"translation": 3, "identity": 5, "albedo": 4, "expression": 3, "illumination": 27, "rotation": 3}


def test_blocks_lie_side_by_side_whatever_the_order_of_the_sizes() -> None:
    layout = ParamLayout(SIZES)
    ends = [layout.slice(block).stop for block in BLOCKS]
    assert [layout.slice(block).start for block in BLOCKS] == [0, *ends[:-1]] and ends[-1] == layout.size == 45
    vector = torch.arange(90.0).reshape(2, 45)
    blocks = layout.split(vector)
    assert tuple(blocks) == BLOCKS and blocks["illumination"].shape == (2, 9, 3)
    for block, value in blocks.items():
        assert torch.equal(value.flatten(1), vector[:, layout.slice(block)])


@pytest.mark.parametrize("controls", [("pose",), ("illumination", "expression"), ("pose", "illumination"), ()])
def test_columns_of_controls_ascend_and_blocks_are_found_among_them(controls) -> None:
    layout = ParamLayout(SIZES)
    columns = layout.columns(controls)
    assert columns.tolist() == sorted(columns.tolist())
    for block in BLOCKS:
        part = layout.slice(block)
        expected = list(range(part.start, part.stop)) if block in {CONTROLS[control] for control in controls} else []
        assert [int(columns[row]) for row in layout.within(block, controls)] == expected


def test_what_does_not_fit_is_refused() -> None:
    with pytest.raises(ValueError, match="expected identity"):
        ParamLayout({"identity": 3})
    with pytest.raises(ValueError, match=r"\(3, 44\), expected \(..., 45\)"):
        ParamLayout(SIZES).split(torch.zeros(3, 44))
    with pytest.raises(ValueError, match="unknown controls"):
        edited_blocks(("pose", "hair"))
