"""The captured edit. All but the refusal needs a GPU."""

from __future__ import annotations

import pytest
import torch

from stylerig_fast import Engine, FaceParams
from stylerig_fast.engine.backends.base import BackendSpec, choose
from stylerig_fast.errors import BackendUnavailable
from tests.engine.conftest import small_parts

needs_cuda = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")


def test_a_cpu_is_refused() -> None:
    generator, rig, _ = small_parts()
    with pytest.raises(BackendUnavailable, match="needs a CUDA device, not cpu"):
        choose("cuda_graph", BackendSpec(generator, rig, torch.device("cpu")))


@pytest.fixture
def engine() -> Engine:
    return Engine(*small_parts(), backend="cuda_graph", device="cuda")


@pytest.mark.gpu
@needs_cuda
def test_agrees_with_eager(engine: Engine) -> None:
    eager = Engine(*small_parts(), backend="torch", device="cuda")
    for seed in range(4):
        w = engine.sample(seed=seed, n=1 + seed % 2)
        for params in (FaceParams(), FaceParams().with_pose(yaw=12.0, pitch=-5.0)):
            found, expected = engine.edit(w, params), eager.edit(w, params)
            assert abs(found.astype(int) - expected.astype(int)).max() <= 1


@pytest.mark.gpu
@needs_cuda
def test_pictures_stay_the_callers(engine: Engine) -> None:
    first = engine.edit(engine.sample(seed=0), FaceParams(), output="torch")
    kept = first.clone()
    engine.edit(engine.sample(seed=1), FaceParams(), output="torch")
    assert torch.equal(first, kept)


@pytest.mark.gpu
@needs_cuda
def test_a_frame_allocates_nothing_and_waits_for_nothing(engine: Engine) -> None:
    w = engine.sample(seed=0)
    engine.edit(w, FaceParams().with_pose(yaw=3.0), output="torch")
    before = torch.cuda.memory_stats()["num_device_alloc"]
    torch.cuda.set_sync_debug_mode("error")
    try:
        for yaw in range(20):
            engine.edit(w, FaceParams().with_pose(yaw=float(yaw - 10)), output="torch")
    finally:
        torch.cuda.set_sync_debug_mode("default")
    assert torch.cuda.memory_stats()["num_device_alloc"] == before


@pytest.mark.gpu
@needs_cuda
def test_shapes_are_captured_once_and_the_oldest_is_dropped(engine: Engine) -> None:
    for n in (1, 2, 1, 3, 4, 5, 6, 7, 8, 9, 1):
        assert len(engine.render(engine.sample(seed=n, n=n))) == n
    assert engine.info()["captured shapes"] == 8


@pytest.mark.gpu
@needs_cuda
def test_arrays_stay_the_callers(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    """In page-locked memory and, beyond what callers may hold of it, in their own."""
    w = engine.sample(seed=0)
    picture = engine.render(w)
    monkeypatch.setattr("stylerig_fast.engine.transfers.PAGE_LOCKED", 3 * picture.nbytes)
    kept = [engine.render(engine.sample(seed=seed))[0] for seed in range(5)]
    wanted = [array.copy() for array in kept]
    for seed in range(5, 9):
        engine.render(engine.sample(seed=seed))
    assert all((array == copy).all() for array, copy in zip(kept, wanted, strict=True))
    assert not (kept[0] == kept[1]).all()
