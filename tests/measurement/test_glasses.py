from __future__ import annotations

import math

import pytest
import torch

from stylerig_fast.measurement.glasses import WITH, WITHOUT, measure_glasses, worn


def faces(frame: float, shift: float = 0.0, size: int = 256) -> tuple[torch.Tensor, torch.Tensor]:
    """A grey face that darkens toward the chin, with a bar of other brightness across the nose, and its landmarks."""
    landmarks = torch.zeros(2, 68, 2)
    landmarks[:, 36], landmarks[:, 45] = torch.tensor([0.35 + shift, 0.45]), torch.tensor([0.65 + shift, 0.45])
    landmarks[:, 39], landmarks[:, 42] = torch.tensor([0.45 + shift, 0.45]), torch.tensor([0.55 + shift, 0.45])
    down = torch.linspace(0.8, 0.5, size)[None, None, :, None].expand(2, 3, size, size).clone()
    rows = slice(int(0.45 * size), int(0.47 * size))
    down[:, :, rows, int((0.3 + shift) * size) : int((0.7 + shift) * size)] += frame
    return down, landmarks


def test_a_bar_across_the_nose_is_seen_wherever_the_face_is():
    bare, without = faces(0.0), measure_glasses(*faces(0.0))
    assert worn(without).tolist() == [0, 0]
    for frame in (-0.3, 0.3):
        for shift in (0.0, 0.07):
            assert worn(measure_glasses(*faces(frame, shift))).tolist() == [1, 1]
    assert float((measure_glasses(*bare) - without).abs().max()) == 0


def test_contrast_does_not_depend_on_the_size_of_the_picture():
    small, large = (measure_glasses(*faces(-0.3, size=size)) for size in (256, 512))
    torch.testing.assert_close(small, large, atol=0.15, rtol=0)


def test_what_is_neither_is_not_known():
    seen = worn(torch.tensor([WITHOUT - 0.1, WITH + 0.1, (WITHOUT + WITH) / 2, math.nan], dtype=torch.float64))
    assert seen[:2].tolist() == [0, 1]
    assert seen[2:].isnan().all()


def test_no_pictures_no_contrast():
    assert measure_glasses(torch.zeros(0, 3, 64, 64), torch.zeros(0, 68, 2)).shape == (0,)


def test_portraits_with_glasses_are_few_and_clear(portraits):
    """An eighth of FFHQ-like people wear glasses; of these 24, those who do are seen at both sizes."""
    pictures = torch.from_numpy(portraits.images).permute(0, 3, 1, 2).float() / 255
    contrast = measure_glasses(pictures, portraits.landmarks)
    seen = worn(contrast)
    assert 0.02 < float(seen.nanmean()) < 0.35
    mirrored = portraits.landmarks * torch.tensor([-1.0, 1.0]) + torch.tensor([1.0, 0.0])
    order = list(range(68))
    order[36], order[45], order[39], order[42] = 45, 36, 42, 39
    again = measure_glasses(pictures.flip(3), mirrored[:, order])
    assert float((again - contrast).abs().median()) == pytest.approx(0, abs=0.05)
