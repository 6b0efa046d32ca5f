"""Who takes part, and requests that are the same for all."""

from __future__ import annotations

import pytest
import torch

from benchmarks.harness.networks import open_generator_or_untrained, open_networks
from benchmarks.harness.openvino_system import OpenVINOSystem
from benchmarks.harness.options import BenchOptions
from benchmarks.harness.parity import compare
from benchmarks.harness.queries import QueryGenerator, one_of
from benchmarks.harness.systems import EAGER, line_up
from stylerig_fast.engine.backends.base import BACKENDS
from stylerig_fast.engine.reach import ReachWarning
from stylerig_fast.errors import CheckpointError
from stylerig_fast.generators.folder import FAMILIES
from stylerig_fast.generators.stylegan2 import StyleGAN2

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def networks(model):
    return open_networks(BenchOptions(model=model))


def test_everybody_takes_part_or_has_a_reason(networks):
    line = line_up(networks, BenchOptions(), CPU)
    who = {f"{each.name} {each.precision}" for each in line.systems}
    assert {"torch float32", "torch bfloat16", f"{EAGER} float32"} <= who
    for backend in BACKENDS:
        for precision in ("float32", "bfloat16"):
            assert (f"{backend} {precision}" in who) != bool(line.absent.get(f"{backend} {precision}"))
    assert "mobilestylegan-ffhq only" in line.absent["OpenVINO float32"]


def test_systems_do_not_share_weights(networks):
    line = line_up(networks, BenchOptions(backends=("torch",), peers=()), CPU)
    query = QueryGenerator(networks.plain).draw()
    exact, rough = (each.edit(query, 64) for each in line.systems)
    assert networks.generator.precision == torch.float32
    assert exact.shape == rough.shape == (1, 64, 64, 3)
    again = line_up(networks, BenchOptions(backends=("torch",), peers=("eager",)), CPU).systems[-1]
    assert compare(again.edit(query, 64), exact).max_error <= 1


def test_requests_are_reproducible_and_within_reach(networks, recwarn):
    first, second = (QueryGenerator(networks.plain, seed=3).draw_many(6) for _ in range(2))
    for a, b in zip(first, second, strict=True):
        assert torch.equal(a.w, b.w)
        assert torch.equal(networks.plain.rig(a.w, a.params), networks.plain.rig(b.w, b.params))
    assert len({float(query.w[0, 0, 0]) for query in first}) > 1
    assert not [warning for warning in recwarn if issubclass(warning.category, ReachWarning) and "yaw" in str(warning)]


def test_a_batch_is_its_people(networks):
    query = QueryGenerator(networks.plain).draw(3)
    together = networks.plain.rig(query.w, query.params)
    for row in range(3):
        one = one_of(query, row)
        torch.testing.assert_close(networks.plain.rig(one.w, one.params), together[row : row + 1], rtol=1e-4, atol=1e-4)


def test_an_untrained_generator_gets_a_rig_of_its_own(monkeypatch):

    def small(**options):
        return StyleGAN2(channels=(8, 8, 8, 8), mapping_layers=1, **options)

    monkeypatch.setitem(FAMILIES, "stylegan2", small)
    networks = open_networks(BenchOptions(generator="untrained-stylegan2"))
    assert not networks.trained and networks.generator.num_ws == 8
    query = QueryGenerator(networks.plain).draw()
    assert not torch.equal(networks.plain.rig(query.w, query.params), query.w)
    assert networks.engine("torch", "float32", CPU).edit(query.w, query.params).shape == (1, 32, 32, 3)


def test_unknown_generators_are_refused():
    with pytest.raises(ValueError, match="untrained-stylegan2"):
        open_generator_or_untrained("untrained-nothing")
    with pytest.raises(CheckpointError):
        open_generator_or_untrained("nothing")


@pytest.mark.slow
def test_openvino_makes_the_same_pictures():
    pytest.importorskip("openvino")
    try:
        networks = open_networks(BenchOptions())
    except CheckpointError as error:
        pytest.skip(str(error))
    peer = OpenVINOSystem(networks.plain, "float32", CPU)
    eager = line_up(networks, BenchOptions(backends=("torch",), dtype=("float32",), peers=("eager",)), CPU).systems[-1]
    query = QueryGenerator(networks.plain).draw()
    # Codes that differ from slot to slot, which the shipped graph cannot take.
    query.w[:, 5:] = networks.plain.sample(seed=5)[:, 5:]
    assert compare(peer.edit(query, 1024), eager.edit(query, 1024)).failure("float32") == ""
