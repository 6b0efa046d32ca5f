"""Steps on the CPU, where nothing is captured; tests/pretended_cuda/check_training.py has the rest."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import nn

from stylerig_fast.data.portraits import PortraitSet
from stylerig_fast.train.batch import gather, on_device, pictures_to_upload
from stylerig_fast.train.loop import descend, make_optimiser, set_cosine_lr
from stylerig_fast.train.step_runner import StepRunner


def test_on_the_cpu_the_work_is_called_with_what_was_drawn() -> None:
    seen = []

    def work(x: torch.Tensor, y: torch.Tensor) -> dict[str, torch.Tensor]:
        seen.append((x, y))
        return {"loss": x.sum()}

    steps = StepRunner(work, "cpu")
    drawn = {"x": torch.ones(3), "y": torch.arange(2)}
    for _ in range(5):
        assert float(steps(drawn)["loss"]) == 3
    assert len(seen) == 5 and all(x is drawn["x"] and y is drawn["y"] for x, y in seen)


def test_batches_are_the_portraits(world: Path) -> None:
    portraits = PortraitSet.load(world, size=16)
    index = torch.tensor([5, 0, 5])
    there = on_device(portraits, "cpu")
    batch = gather(there, index)
    assert there.images.data_ptr() == portraits.images.data_ptr()
    assert torch.equal(batch.w, portraits.ws(index)) and torch.equal(batch.landmarks, portraits.landmarks[index])
    assert torch.equal(batch.image, portraits.images[index] / 255) and batch.detected.tolist() == [1, 1, 1]
    assert pictures_to_upload(there, index) == {}
    other = gather(there, index, images=255 - portraits.images[index])
    torch.testing.assert_close(other.image, 1 - batch.image)


def test_descend_gives_the_loss_before_the_step() -> None:
    network = nn.Linear(1, 1, bias=False)
    optimiser = make_optimiser(network, "adamw", 1e-2, 0.0)
    set_cosine_lr(optimiser, "adamw", 1e-2, 0, 10)
    assert optimiser.param_groups[0]["lr"] == 1e-4  # the first of a hundred steps of warm-up
    before = network.weight.detach().clone()
    parts = descend(optimiser, {"a": network.weight.square().sum(), "b": 2 * network.weight.square().sum()})
    assert list(parts) == ["loss", "a", "b"] and not any(part.requires_grad for part in parts.values())
    torch.testing.assert_close(parts["loss"], 3 * before.square().sum())
    assert (network.weight.detach() - before).abs().sum() > 0
