from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("scipy", reason="needs the extra build-face: scipy")

from scipy.spatial.transform import Rotation

from stylerig_fast.open_face.shape import align, principal_modes, project_out, similarity_motions


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(0)


def test_align_takes_out_similarity_motions(rng):
    shape = rng.normal(size=(50, 3))
    weight = rng.uniform(0.1, 1, 50)
    turns = Rotation.from_rotvec(rng.normal(0, 0.2, (20, 3)))
    samples = np.stack([rng.uniform(0.8, 1.2) * turn.apply(shape) + rng.normal(size=3) for turn in turns])
    aligned = align(samples, shape, weight)
    assert aligned == pytest.approx(np.broadcast_to(shape, aligned.shape), abs=1e-6)


def test_project_out_leaves_nothing_of_the_directions(rng):
    points = rng.normal(size=(40, 3))
    weight = rng.uniform(0.1, 1, 40)
    motions = similarity_motions(points)
    rest = project_out(rng.normal(size=(5, 40, 3)), np.concatenate([motions, motions[:1]]), weight)
    overlap = np.einsum("nvc,dvc,v->nd", rest, motions, weight)
    assert overlap == pytest.approx(0, abs=1e-9)
    inside = np.tensordot(rng.normal(size=(3, 7)), motions, 1)
    assert project_out(inside, motions, weight) == pytest.approx(0, abs=1e-9)


def test_similarity_motions_are_what_turns_do(rng):
    points = rng.normal(size=(10, 3))
    motions = similarity_motions(points)
    for k in range(3):
        turned = Rotation.from_rotvec(1e-5 * np.eye(3)[k]).apply(points)
        assert (turned - points) / 1e-5 == pytest.approx(motions[3 + k], abs=1e-4)


@pytest.mark.parametrize("people", [40, 400])
def test_principal_modes_are_one_deviation_each(rng, people):
    true = rng.normal(size=(4, 30, 3)) * np.array([3, 1, 0.5, 0.2])[:, None, None]
    scores = rng.normal(size=(people, 4))
    offsets = np.tensordot(scores - scores.mean(0), true, 1)
    modes = principal_modes(offsets, np.ones(30), 4)
    covariance = np.einsum("nvc,nwd->vcwd", offsets, offsets) / len(offsets)
    assert np.einsum("kvc,kwd->vcwd", modes, modes) == pytest.approx(covariance, abs=1e-6)
    sizes = (modes**2).sum((1, 2))
    assert (np.diff(sizes) < 0).all()
