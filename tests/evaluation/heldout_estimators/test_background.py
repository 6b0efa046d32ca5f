from __future__ import annotations

import numpy as np
import pytest
import torch

from stylerig_fast.evaluation.heldout_estimators.background import face_region, masked_difference, small


def test_the_face_is_inside_and_the_corners_are_outside(stored_landmarks):
    region = face_region(stored_landmarks[:50])
    assert 0.1 < region.double().mean() < 0.45
    assert region[:, 36, 32].double().mean() > 0.95  # nose
    assert not region[:, :4].any() and not region[:, :, :2].any()


def test_only_what_lies_outside_counts(portraits):
    before = small(torch.from_numpy(portraits.images[:4]))
    points = portraits.landmarks[:4]
    inside = torch.where(face_region(points)[:, None], torch.zeros_like(before), before)
    assert masked_difference(before, inside, points, points).abs().max() == 0
    darker = (before - 0.1).clamp_min(-1)
    assert masked_difference(before, darker, points, points).numpy() == pytest.approx(np.full(4, 0.1), abs=1e-5)
