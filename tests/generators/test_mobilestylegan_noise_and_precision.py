from __future__ import annotations

import copy

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from stylerig_fast.generators import Generator, MobileStyleGAN
from tests.generators.test_mobilestylegan import small

LOW = [torch.bfloat16, torch.float16]


def unit(generator: MobileStyleGAN) -> list[Tensor]:
    """Noise that is the stored maps again, once multiplied by their strength."""
    maps = [layer.noise for layer in generator._noisy()]
    return [(map_ / map_.square().mean().sqrt()).permute(2, 0, 1)[None] for map_ in maps]


def test_noise_sizes() -> None:
    assert small().noise_sizes == (4, 8, 8, 16, 16)
    assert [tuple(map_.shape) for map_ in small().draw_noise(3)] == [(3, 1, n, n) for n in (4, 8, 8, 16, 16)]


@pytest.mark.parametrize("resolution", [32, 8])
@pytest.mark.parametrize("strip_bytes", [None, 3000])
def test_stored_maps_as_noise_change_nothing(resolution: int, strip_bytes: int | None) -> None:
    generator = small(torch.float64)
    generator.strip_bytes = strip_bytes
    ws = torch.randn(2, 6, 32, dtype=torch.float64)
    noise = [map_.expand(2, -1, -1, -1) for map_ in unit(generator)]
    images = generator.synthesis(ws, resolution, noise)
    torch.testing.assert_close(images, generator.synthesis(ws, resolution), atol=1e-12, rtol=0)


def test_each_layer_has_its_own_noise() -> None:
    generator = small(torch.float64)
    ws = torch.randn(1, 6, 32, dtype=torch.float64)
    before, noise = generator.synthesis(ws), unit(generator)
    for i, layer in enumerate(generator._noisy()):
        changed = [*noise[:i], torch.randn_like(noise[i]), *noise[i + 1 :]]
        other = copy.deepcopy(generator)
        [*other._noisy()][i].noise = layer.scaled(changed[i])[0]
        after = generator.synthesis(ws, None, changed)
        assert (after - before).abs().max() > 1e-3
        torch.testing.assert_close(after, other.synthesis(ws), atol=1e-12, rtol=0)


def test_noise_of_a_batch_is_per_sample() -> None:
    generator = small()
    ws, noise = torch.randn(3, 6, 32), generator.draw_noise(3, seed=1)
    together = generator.synthesis(ws, None, noise)
    for i in range(3):
        alone = generator.synthesis(ws[i : i + 1], None, [map_[i : i + 1] for map_ in noise])
        torch.testing.assert_close(together[i : i + 1], alone, atol=1e-6, rtol=1e-5)
    # The path for batches on accelerators, on this device too.
    maps = [layer.scaled(map_) for layer, map_ in zip(generator._noisy(), noise, strict=True)]
    torch.testing.assert_close(generator._synthesis(ws, 32, maps), together, atol=1e-5, rtol=1e-5)


def test_wrong_noise_is_named() -> None:
    generator = small()
    with pytest.raises(ValueError, match=r"noise has shapes .*\(1, 1, 4, 4\).* expected .*\(2, 1, 4, 4\)"):
        generator.synthesis(torch.zeros(2, 6, 32), None, generator.draw_noise(1))


def test_noise_looks_like_the_stored_maps(pretrained: Generator) -> None:
    ws = pretrained.sample(1, seed=3)
    stored = pretrained.synthesis(ws, 256)
    drawn = [pretrained.synthesis(ws, 256, pretrained.draw_noise(1, seed)) for seed in (1, 2)]
    between = (drawn[0] - drawn[1]).square().mean().sqrt()
    # Drawn maps differ from each other by as much as from the stored ones, and less than people do (0.3 and more).
    assert 0.5 < (drawn[0] - stored).square().mean().sqrt() / between < 2
    assert between < 0.15


@pytest.mark.parametrize("dtype", LOW)
def test_low_precision_of_random_weights(dtype: torch.dtype) -> None:
    generator, ws = small(), torch.randn(2, 6, 32)
    exact = small(torch.float64).synthesis(ws.double())
    generator.set_precision(dtype)
    noise = [map_.expand(2, -1, -1, -1) for map_ in unit(small())]
    for images in (generator.synthesis(ws), generator._synthesis(ws, 32), generator.synthesis(ws, None, noise)):
        assert images.dtype == torch.float32
        # Some ten roundings one after the other.
        assert (images - exact).square().mean().sqrt() < 4 * torch.finfo(dtype).eps * exact.std()
    torch.testing.assert_close(generator.synthesis(ws, 8), F.avg_pool2d(generator.synthesis(ws), 4), atol=1e-6, rtol=0)


@pytest.mark.parametrize(("dtype", "largest", "decibels"), [(torch.bfloat16, 0.6, 48), (torch.float16, 0.08, 66)])
def test_low_precision_of_the_pretrained(
    pretrained: Generator, dtype: torch.dtype, largest: float, decibels: float
) -> None:
    ws = pretrained.sample(1, seed=3)
    expected, images = pretrained.synthesis(ws), copy.deepcopy(pretrained).set_precision(dtype).synthesis(ws)
    error = images - expected
    psnr = float(10 * torch.log10(4 / error.square().mean()))
    print(f"{dtype}: max abs {float(error.abs().max()):.3g}, PSNR {psnr:.1f} dB at 1024 px")
    assert error.abs().max() < largest
    assert psnr > decibels


@pytest.mark.parametrize("dtype", LOW)
def test_gradients_in_low_precision(dtype: torch.dtype) -> None:
    ws, probe = torch.randn(2, 6, 32, requires_grad=True), torch.randn(2, 3, 32, 32)
    gradients = [
        torch.autograd.grad((generator.synthesis(ws) * probe).sum(), ws)[0]
        for generator in (small(), small().set_precision(dtype))
    ]
    assert gradients[1].dtype == torch.float32
    assert torch.cosine_similarity(gradients[0].flatten(), gradients[1].flatten(), dim=0) > 0.99
