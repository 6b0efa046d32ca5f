"""Parity: how far pictures are apart, and what is refused."""

from __future__ import annotations

import math

import numpy as np
import pytest

from benchmarks.harness.parity import Parity, box_mean, compare, psnr


def picture(value, side=4):
    return np.full((side, side, 3), value, dtype=np.uint8)


def test_largest_error_and_ratio():
    found = [picture(100), picture(100)]
    found[1][0, 0, 0] = 97
    parity = compare(found, [picture(100), picture(100)])
    assert (parity.max_error, parity.pictures) == (3, 2)
    assert parity.psnr == pytest.approx(10 * math.log10(255**2 / (9 / 96)))
    assert parity.lowest_psnr == pytest.approx(10 * math.log10(255**2 / (9 / 48)))


def test_differences_do_not_wrap_around():
    assert compare([picture(0)], [picture(255)]).max_error == 255
    assert compare([picture(255)], [picture(0)]).psnr == 0.0


def test_the_same_pictures():
    parity = compare([picture(7)], [picture(7)])
    assert parity == Parity(0, math.inf, math.inf, 1)


@pytest.mark.parametrize(
    ("found", "wanted"), [([], []), ([picture(1)], [picture(1, 8)]), ([picture(1).astype(float)], [picture(1)])]
)
def test_what_cannot_be_compared(found, wanted):
    with pytest.raises(ValueError):
        compare(found, wanted)


def test_limits():
    near, far = Parity(2, 60.0, 55.0, 4), Parity(3, 60.0, 55.0, 4)
    assert near.failure("float32") == ""
    assert far.failure("float32") == "parity failed: max error 3/255, allowed 2/255"
    # A single wrong value is no matter at lower precision; one bad picture among good ones is.
    assert far.failure("bfloat16") == ""
    assert Parity(9, 60.0, 39.9, 4).failure("bfloat16").startswith("parity failed: PSNR 39.9 dB")


def test_box_mean():
    whole = np.zeros((4, 4, 3), dtype=np.uint8)
    whole[:2, :2] = [[[10, 0, 255], [11, 0, 255]], [[12, 1, 255], [12, 1, 255]]]
    assert box_mean(whole, 2)[0, 0].tolist() == [11, 0, 255]
    assert box_mean(np.stack([whole, whole]), 2).shape == (2, 2, 2, 3)


def test_psnr_of_one_step():
    assert psnr(1.0) == pytest.approx(48.13, abs=0.01)
