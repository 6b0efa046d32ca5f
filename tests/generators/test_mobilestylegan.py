from __future__ import annotations

import copy
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from stylerig_fast.data.portraits import PortraitSet
from stylerig_fast.generators import Generator, MobileStyleGAN
from stylerig_fast.ops.reference.synthesis import inverse_haar

DEVICES = ["cpu", *([pytest.param("cuda", marks=pytest.mark.gpu)] if torch.cuda.is_available() else [])]


def small(dtype: torch.dtype = torch.float32, seed: int = 0) -> MobileStyleGAN:
    """Random weights, 32 px, 6 slots; noise maps, biases and w_mean are not zero either."""
    torch.manual_seed(seed)
    generator = MobileStyleGAN(channels=(16, 16, 8), w_dim=32, mapping_layers=2, name="small")
    for name, value in generator.state_dict().items():
        if "noise" in name or "bias" in name or name == "w_mean":
            value.normal_().mul_(0.3)
    return generator.to(dtype).requires_grad_(False)


@pytest.fixture(scope="module")
def golden(shared: Path) -> dict[str, Tensor]:
    with np.load(shared / "data" / "mobilestylegan_golden.npz") as file:
        return {name: torch.from_numpy(file[name]) for name in file.files}


def test_mapping_parity(pretrained: Generator, golden: dict[str, Tensor]) -> None:
    torch.testing.assert_close(pretrained.mapping(golden["z"]), golden["w"], atol=1e-4, rtol=0)
    # Two means over different draws: both within a few standard errors (0.5 / sqrt(4096)) of the true one.
    torch.testing.assert_close(pretrained.w_mean, golden["w_mean"].flatten(), atol=0.04, rtol=0)


def test_synthesis_parity(pretrained: Generator, golden: dict[str, Tensor]) -> None:
    image = pretrained.synthesis(golden["ws"])
    assert image.shape == (4, 3, 1024, 1024)
    # The issue asks for 2e-3; fp32 sums in another order give 3e-5.
    torch.testing.assert_close(F.avg_pool2d(image, 4), golden["image_256"], atol=2e-4, rtol=0)
    top, bottom, left, right = (int(item) for item in golden["crop_rows_cols"])
    torch.testing.assert_close(image[:, :, top:bottom, left:right], golden["crop"], atol=2e-4, rtol=0)


def test_smaller_pictures_are_box_means(pretrained: Generator, golden: dict[str, Tensor]) -> None:
    ws = golden["ws"][:1]
    whole = pretrained.synthesis(ws)
    for resolution in (512, 128, 4):
        expected = F.avg_pool2d(whole, 1024 // resolution)
        torch.testing.assert_close(pretrained.synthesis(ws, resolution), expected, atol=2e-5, rtol=0)


def test_portrait_set_was_made_by_this_generator(pretrained: Generator, shared: Path) -> None:
    portraits = PortraitSet.load(shared / "data" / "portraits", size=256, shards=[0], limit=3)
    assert portraits.generator == pretrained.name
    made = pretrained.synthesis(portraits.ws(), resolution=256).clamp(-1, 1)
    stored = portraits.images.float() / 127.5 - 1
    # WebP at quality 85 and float16 codes; other people differ by 0.5 and more.
    assert (made - stored).square().mean((1, 2, 3)).sqrt().max() < 0.04


@pytest.mark.parametrize("strip_bytes", [1, 3000, 20000])
def test_strips_change_nothing(strip_bytes: int) -> None:
    generator = small(torch.float64)
    ws = torch.randn(1, 6, 32, dtype=torch.float64)
    generator.strip_bytes = None
    whole = generator.synthesis(ws)
    generator.strip_bytes = strip_bytes
    torch.testing.assert_close(generator.synthesis(ws), whole, atol=1e-12, rtol=0)
    torch.testing.assert_close(generator.synthesis(ws, 8), F.avg_pool2d(whole, 4), atol=1e-12, rtol=0)


@pytest.mark.parametrize("device", DEVICES)
def test_batch_does_not_matter(device: str) -> None:
    generator = small().to(device)
    ws = torch.randn(5, 6, 32, device=device)
    together = generator.synthesis(ws)
    alone = torch.cat([generator.synthesis(one) for one in ws.split(1)])
    torch.testing.assert_close(together, alone, atol=1e-5, rtol=1e-5)
    # The path for batches on accelerators, one product per sample, on this device too.
    torch.testing.assert_close(generator._synthesis(ws, 32), alone, atol=1e-5, rtol=1e-5)
    # A view of every other code.
    torch.testing.assert_close(generator.synthesis(ws.repeat_interleave(2, 0)[::2]), alone, atol=1e-5, rtol=1e-5)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_cuda_parity(pretrained: Generator, golden: dict[str, Tensor]) -> None:
    generator = copy.deepcopy(pretrained).cuda()
    image = generator.synthesis(golden["ws"].cuda()).cpu()
    torch.testing.assert_close(F.avg_pool2d(image, 4), golden["image_256"], atol=2e-3, rtol=0)
    torch.testing.assert_close(generator.mapping(golden["z"].cuda()).cpu(), golden["w"], atol=2e-3, rtol=0)


@pytest.mark.parametrize("resolution", [32, 16, 4])
@pytest.mark.parametrize("strip_bytes", [None, 3000])
def test_gradients(resolution: int, strip_bytes: int | None) -> None:
    generator = small(torch.float64)
    generator.strip_bytes = strip_bytes
    ws = torch.randn(2, 6, 32, dtype=torch.float64, requires_grad=True)
    probe = torch.randn(2, 3, resolution, resolution, dtype=torch.float64)

    def loss(codes: Tensor) -> Tensor:
        return (generator.synthesis(codes, resolution) * probe).sum()

    (gradient,) = torch.autograd.grad(loss(ws), ws)
    assert (gradient.abs().amax((0, 2)) > 0).all()  # every slot reaches the picture
    direction = torch.randn_like(ws)
    with torch.no_grad():
        step = 1e-6
        expected = (loss(ws + step * direction) - loss(ws - step * direction)) / (2 * step)
    torch.testing.assert_close((gradient * direction).sum(), expected, rtol=1e-5, atol=1e-8)


def test_gradient_of_mapping() -> None:
    generator = small(torch.float64)
    z = torch.randn(2, 32, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(generator.mapping, (z,))


def test_slots_feed_their_layers() -> None:
    generator = small()
    ws = torch.randn(1, 6, 32)
    inputs: dict[str, Tensor] = {}
    for name, module in generator.named_modules():
        if isinstance(module, torch.nn.Linear):
            module.register_forward_pre_hook(lambda _, args, name=name: inputs.__setitem__(name, args[0]))
    generator.synthesis(ws)
    reached = [sorted(name for name, value in inputs.items() if torch.equal(value, ws[:, slot])) for slot in range(6)]
    assert reached == [
        ["first.modulation"],
        ["blocks.0.conv1.modulation", "blocks.0.up"],
        ["blocks.0.conv2.modulation"],
        ["blocks.1.conv1.modulation", "blocks.1.up"],
        ["blocks.1.conv2.modulation"],
        ["to_image.modulation"],
    ]


def test_inverse_haar() -> None:
    image = torch.randn(2, 6, 4, 3, dtype=torch.float64)
    a, b = image[:, 0::2, 0::2], image[:, 0::2, 1::2]
    c, d = image[:, 1::2, 0::2], image[:, 1::2, 1::2]
    bands = torch.cat((a + b + c + d, a + b - c - d, a - b + c - d, a - b - c + d), dim=3) / 4
    torch.testing.assert_close(inverse_haar(bands), image)


@pytest.mark.parametrize("device", DEVICES)
def test_sample(device: str) -> None:
    generator = small().to(device)
    ws = generator.sample(n=3, seed=5, psi=0.5)
    assert ws.shape == (3, 6, 32)
    assert torch.equal(ws, generator.sample(n=3, seed=5, psi=0.5))
    assert torch.equal(ws, ws[:, :1].expand_as(ws))
    torch.testing.assert_close(ws.cpu(), small().sample(n=3, seed=5, psi=0.5), atol=1e-5, rtol=0)
    torch.testing.assert_close(generator.sample(n=1, seed=5, psi=0.5), ws[:1], atol=1e-6, rtol=0)
    assert (ws - generator.sample(n=3, seed=6, psi=0.5)).abs().amax() > 0.01
    mean = generator.w_mean.expand_as(ws)
    torch.testing.assert_close(generator.sample(n=3, seed=5, psi=0), mean)
    torch.testing.assert_close(2 * (ws - mean), generator.sample(n=3, seed=5, psi=1) - mean, atol=1e-6, rtol=1e-5)


def test_sampling_draws_from_no_global_state() -> None:
    generator = small()
    torch.manual_seed(1)
    before = torch.get_rng_state()
    generator.sample(2)
    assert torch.equal(before, torch.get_rng_state())


def test_empty_batch() -> None:
    generator = small()
    assert generator.mapping(torch.empty(0, 32)).shape == (0, 32)
    assert generator.synthesis(torch.empty(0, 6, 32)).shape == (0, 3, 32, 32)
    assert generator.sample(0).shape == (0, 6, 32)


def test_wrong_shapes_are_named() -> None:
    generator = small()
    with pytest.raises(ValueError, match=r"\(1, 5, 32\), expected torch.float32 \(B, 6, 32\)"):
        generator.synthesis(torch.zeros(1, 5, 32))
    with pytest.raises(ValueError, match="float64"):
        generator.synthesis(torch.zeros(1, 6, 32, dtype=torch.float64))
    with pytest.raises(ValueError, match=r"z is .*\(32,\)"):
        generator.mapping(torch.zeros(32))
    for resolution in (0, 2, 48, 64):
        with pytest.raises(ValueError, match=f"resolution is {resolution}, expected a power of two from 4 to 32"):
            generator.synthesis(torch.zeros(1, 6, 32), resolution)
    with pytest.raises(ValueError, match="n is -1"):
        generator.sample(-1)
