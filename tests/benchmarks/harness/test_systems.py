"""Who takes part, and requests that are the same for all."""

from __future__ import annotations

import pytest
import torch

from benchmarks.harness.networks import open_any_generator, open_parts
from benchmarks.harness.openvino_system import OpenVINO
from benchmarks.harness.options import BenchOptions
from benchmarks.harness.parity import compare
from benchmarks.harness.queries import Requests
from benchmarks.harness.systems import EAGER, line_up
from benchmarks.suites.batch import one_of
from stylerig_fast.engine.backends.base import BACKENDS
from stylerig_fast.engine.reach import ReachWarning
from stylerig_fast.errors import CheckpointError
from stylerig_fast.generators.folder import FAMILIES
from stylerig_fast.generators.stylegan2 import StyleGAN2

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def parts(model):
    return open_parts(BenchOptions(model=model))


def test_everybody_takes_part_or_has_a_reason(parts):
    line = line_up(parts, BenchOptions(), CPU)
    who = {f"{each.name} {each.precision}" for each in line.contestants}
    assert {"torch float32", "torch bfloat16", f"{EAGER} float32"} <= who
    for backend in BACKENDS:
        for precision in ("float32", "bfloat16"):
            assert (f"{backend} {precision}" in who) != bool(line.absent.get(f"{backend} {precision}"))
    assert "mobilestylegan-ffhq only" in line.absent["OpenVINO float32"]


def test_contestants_do_not_share_weights(parts):
    line = line_up(parts, BenchOptions(backends=("torch",), peers=()), CPU)
    request = Requests(parts.plain).draw()
    exact, rough = (each.edit(request, 64) for each in line.contestants)
    assert parts.generator.precision == torch.float32
    assert exact.shape == rough.shape == (1, 64, 64, 3)
    again = line_up(parts, BenchOptions(backends=("torch",), peers=("eager",)), CPU).contestants[-1]
    assert compare(again.edit(request, 64), exact).max_error <= 1


def test_requests_are_reproducible_and_within_reach(parts, recwarn):
    first, second = (Requests(parts.plain, seed=3).list(6) for _ in range(2))
    for a, b in zip(first, second, strict=True):
        assert torch.equal(a.w, b.w)
        assert torch.equal(parts.plain.rig(a.w, a.params), parts.plain.rig(b.w, b.params))
    assert len({float(request.w[0, 0, 0]) for request in first}) > 1
    assert not [warning for warning in recwarn if issubclass(warning.category, ReachWarning) and "yaw" in str(warning)]


def test_a_batch_is_its_people(parts):
    request = Requests(parts.plain).draw(3)
    together = parts.plain.rig(request.w, request.params)
    for row in range(3):
        one = one_of(request, row)
        torch.testing.assert_close(parts.plain.rig(one.w, one.params), together[row : row + 1], rtol=1e-4, atol=1e-4)


def test_an_untrained_generator_gets_a_rig_of_its_own(monkeypatch):

    def small(**options):
        return StyleGAN2(channels=(8, 8, 8, 8), mapping_layers=1, **options)

    monkeypatch.setitem(FAMILIES, "stylegan2", small)
    parts = open_parts(BenchOptions(generator="untrained-stylegan2"))
    assert not parts.trained and parts.generator.num_ws == 8
    request = Requests(parts.plain).draw()
    assert not torch.equal(parts.plain.rig(request.w, request.params), request.w)
    assert parts.engine("torch", "float32", CPU).edit(request.w, request.params).shape == (1, 32, 32, 3)


def test_unknown_generators_are_refused():
    with pytest.raises(ValueError, match="untrained-stylegan2"):
        open_any_generator("untrained-nothing")
    with pytest.raises(CheckpointError):
        open_any_generator("nothing")


@pytest.mark.slow
def test_openvino_makes_the_same_pictures():
    pytest.importorskip("openvino")
    try:
        parts = open_parts(BenchOptions())
    except CheckpointError as error:
        pytest.skip(str(error))
    peer = OpenVINO(parts.plain, "float32", CPU)
    eager = line_up(parts, BenchOptions(backends=("torch",), dtype=("float32",), peers=("eager",)), CPU).contestants[-1]
    request = Requests(parts.plain).draw()
    # Codes that differ from slot to slot, which the shipped graph cannot take.
    request.w[:, 5:] = parts.plain.sample(seed=5)[:, 5:]
    assert compare(peer.edit(request, 1024), eager.edit(request, 1024)).failure("float32") == ""
