"""The remembered person is the one whose code is there: also when its memory changed past torch."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from stylerig_fast.engine.params_cache import ParamsCache
from stylerig_fast.face.rotation import degrees_to_axis_angle
from stylerig_fast.params import FaceParams
from tests.engine.conftest import small_parts


class Counting:
    """F, and how often it ran."""

    def __init__(self) -> None:
        _, _, self.network = small_parts()
        self.config, self.calls = self.network.config, 0

    def vector(self, w):
        self.calls += 1
        return self.network.vector(w)


@pytest.fixture
def reconstructor():
    return Counting()


def codes(reconstructor, seed):
    return torch.randn(2, reconstructor.config.num_ws, 512, generator=torch.Generator().manual_seed(seed))


def write_numpy(w, new):
    w.numpy()[:] = new.numpy()


def write_data(w, new):
    w.data.copy_(new)


def write_in_place(w, new):
    w.copy_(new)


def write_one_row(w, new):
    w.numpy()[1] = new.numpy()[1]


@pytest.mark.parametrize("write", [write_numpy, write_data, write_in_place, write_one_row])
@pytest.mark.parametrize("inference", [False, True])
def test_changed_codes_are_read_again(reconstructor, write, inference):
    cache = ParamsCache(reconstructor)
    with torch.inference_mode(inference):
        w = codes(reconstructor, 0)
        cache.params(w, w)
        write(w, codes(reconstructor, 1))
        found = cache.params(w, w).vector()
        assert torch.equal(found, reconstructor.network.vector(w))
    assert reconstructor.calls == 2


def test_a_buffer_that_is_filled_for_each_frame(reconstructor):
    """The usual loop of a video: one array, from_numpy once, new codes in it each time."""
    cache, buffer = ParamsCache(reconstructor), np.zeros((2, reconstructor.config.num_ws, 512), np.float32)
    w = torch.from_numpy(buffer)
    for seed in (1, 2, 2, 1):
        buffer[:] = codes(reconstructor, seed).numpy()
        assert torch.equal(cache.params(w, w).vector(), reconstructor.network.vector(w))
    assert reconstructor.calls == 3


def test_the_same_codes_are_read_once(reconstructor):
    cache, w = ParamsCache(reconstructor), codes(reconstructor, 0)
    for given in (w, w, w.clone()):
        cache.params(given, given)
    assert reconstructor.calls == 1
    cache.params(w[:1], w[:1])
    assert reconstructor.calls == 2


@pytest.mark.parametrize("write", [write_numpy, write_data, write_in_place])
def test_angles_of_a_changed_rotation(write):
    rotation = degrees_to_axis_angle(torch.tensor([[10.0, 5.0, 0.0]]))
    params = FaceParams(rotation=rotation)
    assert params.pose_degrees()[0, 0] == pytest.approx(10, abs=1e-4)
    write(rotation, degrees_to_axis_angle(torch.tensor([[-20.0, 0.0, 3.0]])))
    assert params.pose_degrees()[0].tolist() == pytest.approx([-20, 0, 3], abs=1e-4)
