from __future__ import annotations

import pytest
import torch

from stylerig_fast.evaluation.judge import Observation
from stylerig_fast.evaluation.looking import LookBeside, LookHere
from stylerig_fast.measurement.expression import FaceMeasures


class Counter:
    """A judge that sees how bright a picture is."""

    def look(self, images):
        bright = images.double().mean((1, 2, 3))
        n = len(images)
        return Observation(
            values=bright[:, None],
            detected=torch.ones(n, dtype=torch.bool),
            descriptor=torch.zeros(n, 2),
            landmarks=torch.zeros(n, 68, 2),
            measures=FaceMeasures(*(bright for _ in range(6))),
            luminance=bright,
            features={"identity": bright[:, None]},
        )


def build(factor):
    assert factor == 2
    return Counter()


def test_children_see_what_the_judge_sees():
    images = torch.randint(0, 256, (3, 8, 8, 3), dtype=torch.uint8)
    here = LookHere(Counter()).submit(images)()
    with LookBeside(build, (2,)) as looker:
        later = [looker.submit(images), looker.submit(images[:1])]
        assert torch.equal(later[1]().values, here.values[:1])
        there = later[0]()
    assert torch.equal(there.values, here.values)
    assert torch.equal(there.features["identity"], here.features["identity"])
    assert there.measures.brow_height.shape == (3,)


def test_a_child_that_cannot_start_is_an_error():
    with LookBeside(build, (3,)) as looker, pytest.raises(Exception, match="terminated|broken"):
        looker.submit(torch.zeros(1, 8, 8, 3, dtype=torch.uint8))()


def test_each_child_is_left_a_core():
    before = torch.get_num_threads()
    try:
        for threads, processes, left in ((4, 1, 3), (2, 1, 1), (2, 3, 1)):
            torch.set_num_threads(threads)
            with LookBeside(build, (2,), processes):
                assert torch.get_num_threads() == left
            assert torch.get_num_threads() == threads
    finally:
        torch.set_num_threads(before)
