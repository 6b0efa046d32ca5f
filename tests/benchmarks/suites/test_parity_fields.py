"""What a row says about its parity, and which previews are shown."""

from __future__ import annotations

import math

from benchmarks.harness.parity import Parity
from benchmarks.suites.parity_fields import parity_fields, preview_fields


def test_equal_pictures_have_no_psnr():
    fields = parity_fields(Parity(0, math.inf, math.inf, 1), "float32")
    assert fields == {"max error": 0, "psnr": None, "lowest psnr": None, "pictures": 1, "refused": ""}


def test_previews_may_be_the_box_mean_or_an_approximation_but_no_nonsense():
    row = {"precision": "float32", "refused": "parity failed: max error 13/255, allowed 2/255"}
    assert preview_fields(Parity(1, 80.0, 75.0, 4), row)["refused"] == ""
    assert preview_fields(Parity(30, 32.0, 30.0, 4), row)["approximate"] is True
    assert "refused" not in preview_fields(Parity(90, 22.0, 20.0, 4), row)
    assert preview_fields(Parity(30, 32.0, 30.0, 4), row | {"refused": ""}) == {
        "psnr to full": 32.0,
        "max error to full": 30,
    }
