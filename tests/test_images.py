"""One conversion from floats to levels, and what stands on it."""

from __future__ import annotations

import pytest
import torch

from stylerig_fast import images


def test_levels_are_rounded_cut_off_and_never_nan() -> None:
    values = torch.tensor([-1.0, 1.0, 0.0, -7.0, 7.0, float("nan"), float("inf"), -float("inf"), 1 / 255, -0.5])
    expected = [0, 255, 128, 0, 255, 0, 255, 0, 128, 64]
    assert images.to_uint8(values).tolist() == expected
    assert values[0] == -1, "the picture was written to"
    assert images.to_uint8(values.double()).tolist() == expected
    assert images.to_uint8(values.clone(), overwrite=True).tolist() == expected


def test_every_level_survives_the_way_there_and_back() -> None:
    levels = torch.arange(256, dtype=torch.uint8)
    assert torch.equal(images.to_uint8(images.to_float(levels) * 2 - 1), levels)


def test_channels_last_is_contiguous() -> None:
    picture = torch.arange(24.0).reshape(2, 3, 2, 2)
    last = images.channels_last(picture)
    assert last.shape == (2, 2, 2, 3) and last.is_contiguous() and last[1, 0, 1, 2] == picture[1, 2, 0, 1]


def test_area_resize_means_over_the_area() -> None:
    picture = torch.arange(36.0).reshape(1, 1, 6, 6)
    assert images.area_resize(picture, 2)[0, 0].tolist() == [[7.0, 10.0], [25.0, 28.0]]
    assert images.area_resize(picture, 4).mean().item() == pytest.approx(picture.mean().item())


def test_luminance_of_grey_is_its_value() -> None:
    assert torch.allclose(images.luminance(torch.full((2, 9, 3), 0.25)), torch.full((2, 9), 0.25))
    assert images.luminance(torch.eye(3)).tolist() == pytest.approx(images.LUMINANCE)
