from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from stylerig_fast.measurement.parallel import InlineAnalyzer, ProcessPoolAnalyzer
from tests.measured import measurements


class Counter:
    """An analyzer that measures how bright a picture is."""

    def analyze(self, images):
        bright = images.double().mean((1, 2, 3))
        found = measurements(len(images), descriptor=torch.zeros(len(images), 2))
        return replace(found, luminance=bright, features={"identity": bright[:, None]})


def build(factor):
    assert factor == 2
    return Counter()


def test_children_measure_what_the_analyzer_does():
    images = torch.randint(0, 256, (3, 8, 8, 3), dtype=torch.uint8)
    here = InlineAnalyzer(Counter()).submit(images)()
    with ProcessPoolAnalyzer(build, (2,)) as pool:
        later = [pool.submit(images), pool.submit(images[:1])]
        assert torch.equal(later[1]().luminance, here.luminance[:1])
        there = later[0]()
    assert torch.equal(there.luminance, here.luminance)
    assert torch.equal(there.features["identity"], here.features["identity"])
    assert there.brow_height.shape == (3,)
    assert torch.equal(there.by_mesh.yaw, here.by_mesh.yaw)
    assert torch.equal(there.fitted_light.direction, here.fitted_light.direction)


def test_a_child_that_cannot_start_is_an_error():
    with ProcessPoolAnalyzer(build, (3,)) as pool, pytest.raises(Exception, match="terminated|broken"):
        pool.submit(torch.zeros(1, 8, 8, 3, dtype=torch.uint8))()


def test_each_child_is_left_a_core():
    before = torch.get_num_threads()
    try:
        for threads, processes, left in ((4, 1, 3), (2, 1, 1), (2, 3, 1)):
            torch.set_num_threads(threads)
            with ProcessPoolAnalyzer(build, (2,), processes):
                assert torch.get_num_threads() == left
            assert torch.get_num_threads() == threads
    finally:
        torch.set_num_threads(before)
