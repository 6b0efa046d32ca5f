from __future__ import annotations

import numpy as np
import pytest
import torch

from stylerig_fast.evaluation.heldout_estimators.identity import identity_distance


def test_people_are_apart_and_copies_together(detector, encoder, portraits):
    """Different people average 0.72 on these portraits; a brighter, shifted copy stays under 0.1."""
    images = portraits.images[:16]
    codes = encoder.encode(images, portraits.landmarks[:16])
    assert codes.shape == (16, 128)
    assert codes.dtype == torch.float32
    between = torch.pdist(codes)
    assert 0.65 < between.mean() < 0.8
    assert between.min() > 0.35

    copies = (np.roll(images[:6], 3, axis=2).astype(np.int16) + 8).clip(0, 255).astype(np.uint8)
    near = encoder.encode(copies, detector.detect(copies).points)
    assert identity_distance(near, codes[:6]).max() < 0.1


def test_empty_batch(encoder):
    assert encoder.encode(np.zeros((0, 64, 64, 3), dtype=np.uint8), torch.zeros(0, 68, 2)).shape == (0, 128)


def test_landmarks_of_another_batch_are_named(encoder):
    with pytest.raises(ValueError, match=r"landmarks must be \(2, 68, 2\), got \(1, 68, 2\)"):
        encoder.encode(np.zeros((2, 64, 64, 3), dtype=np.uint8), torch.zeros(1, 68, 2))
