from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from stylerig_fast.generators.folder import load_generator, save_generator
from stylerig_fast.generators.formats import genforce
from stylerig_fast.generators.stylegan1 import StyleGAN1, fused_kernel, upsampling_kernel
from tests.generators.stylegan1_checkpoints import genforce_state
from tests.generators.stylegan1_reference import Variables, random_variables, reference_mapping, reference_synthesis

DEVICES = ["cpu", *([pytest.param("cuda", marks=pytest.mark.gpu)] if torch.cuda.is_available() else [])]
LOW = [torch.bfloat16, torch.float16]
# Odd widths that no power of two divides; the last one reaches 128 px, where the original fuses its upsampling.
ODD = [(11, 7, 9, 5), (9, 11, 6, 7, 5, 3)]


@pytest.fixture(autouse=True)
def seed() -> None:
    torch.manual_seed(0)


def network(variables: Variables, dtype: torch.dtype = torch.float32) -> StyleGAN1:
    state = {name: value.numpy() for name, value in genforce_state(variables).items()}
    generator = genforce.convert({"generator_smooth": state}, "memory", "small")
    assert isinstance(generator, StyleGAN1)
    return generator.to(dtype)


def small(dtype: torch.dtype = torch.float32) -> StyleGAN1:
    """Random weights, 32 px, 8 slots."""
    return network(random_variables((16, 12, 8, 6)), dtype)


@pytest.mark.parametrize("channels", ODD, ids=["32 px", "128 px"])
def test_agrees_with_the_reference(channels: tuple[int, ...]) -> None:
    variables = random_variables(channels)
    ws = torch.randn(2, 2 * len(channels), 24, dtype=torch.float64)
    expected = reference_synthesis(variables, ws)
    exact, single = network(variables, torch.float64).synthesis(ws), network(variables).synthesis(ws.float())
    # The gains were folded in in float32.
    torch.testing.assert_close(exact, expected, atol=float(2e-5 * expected.std()), rtol=0)
    assert (single - expected).abs().max() < 1e-4 * expected.std()


def test_supplied_noise_agrees_with_the_reference() -> None:
    variables = random_variables(ODD[0])
    generator = network(variables, torch.float64)
    assert generator.noise_sizes == (4, 4, 8, 8, 16, 16, 32, 32)
    ws, noise = torch.randn(2, 8, 24, dtype=torch.float64), generator.draw_noise(2, seed=3)
    expected = reference_synthesis(variables, ws, noise)
    torch.testing.assert_close(generator.synthesis(ws, None, noise), expected, atol=2e-5, rtol=0)
    assert (expected - reference_synthesis(variables, ws)).abs().max() > 0.1


def test_mapping_agrees_with_the_reference() -> None:
    variables = random_variables((6, 5), w_dim=20, mapping_layers=3)
    z = torch.randn(4, 20, dtype=torch.float64)
    expected = reference_mapping(variables, z)
    torch.testing.assert_close(network(variables).mapping(z.float()).double(), expected, atol=1e-5, rtol=1e-5)


def test_upsampling_is_one_transposed_convolution() -> None:
    x, weight = torch.randn(2, 5, 6, 8, dtype=torch.float64), torch.randn(3, 5, 3, 3, dtype=torch.float64)
    expected = F.conv2d(F.interpolate(x, scale_factor=2), weight, padding=1)
    found = F.conv_transpose2d(x, upsampling_kernel(weight), stride=2, padding=1)
    torch.testing.assert_close(found, expected)
    torch.testing.assert_close(fused_kernel(weight), upsampling_kernel(weight).flip(2, 3))


def test_the_paper_s_shape() -> None:
    with torch.device("meta"):
        generator = StyleGAN1()
    assert (generator.num_ws, generator.w_dim, generator.resolution) == (18, 512, 1024)
    assert generator.noise_sizes[-2:] == (1024, 1024)


@pytest.mark.parametrize("device", DEVICES)
def test_batch_does_not_matter(device: str) -> None:
    generator = small().to(device)
    ws, noise = torch.randn(3, 8, 24, device=device), generator.draw_noise(3)
    for maps in (None, noise):
        together = generator.synthesis(ws, None, maps)
        for i in range(3):
            one = None if maps is None else [map_[i : i + 1] for map_ in maps]
            torch.testing.assert_close(generator.synthesis(ws[i : i + 1], None, one)[0], together[i], atol=1e-4, rtol=0)
    strided = ws.repeat_interleave(2, 0)[::2]
    torch.testing.assert_close(generator.synthesis(strided), generator.synthesis(ws), atol=1e-4, rtol=0)


def test_smaller_pictures_are_box_means() -> None:
    generator, ws = small(), torch.randn(2, 8, 24)
    whole = generator.synthesis(ws)
    assert whole.shape == (2, 3, 32, 32)
    assert whole.is_contiguous()
    for resolution in (16, 4):
        expected = F.avg_pool2d(whole, 32 // resolution)
        torch.testing.assert_close(generator.synthesis(ws, resolution), expected, atol=1e-6, rtol=0)


@pytest.mark.parametrize("resolution", [32, 8])
def test_gradients(resolution: int) -> None:
    generator = small(torch.float64)
    ws = torch.randn(2, 8, 24, dtype=torch.float64, requires_grad=True)
    probe = torch.randn(2, 3, resolution, resolution, dtype=torch.float64)

    def loss(codes: Tensor) -> Tensor:
        return (generator.synthesis(codes, resolution) * probe).sum()

    value = loss(ws)
    (gradient,) = torch.autograd.grad(value, ws)
    assert (gradient.abs().amax((0, 2)) > 0).all()  # every slot reaches the picture
    direction, step = torch.randn_like(ws), 1e-6
    with torch.no_grad():
        # Without gradients, activations are overwritten: the same picture nevertheless.
        torch.testing.assert_close(loss(ws), value.detach(), rtol=1e-12, atol=1e-10)
        expected = (loss(ws + step * direction) - loss(ws - step * direction)) / (2 * step)
    torch.testing.assert_close((gradient * direction).sum(), expected, rtol=1e-5, atol=1e-7)


def test_gradients_of_weights() -> None:
    generator, ws = small(torch.float64).requires_grad_(True), torch.randn(1, 8, 24, dtype=torch.float64)
    generator.synthesis(ws).square().sum().backward()
    for name, value in generator.named_parameters():
        if not name.startswith("mapping"):
            assert value.grad is not None and value.grad.abs().sum() > 0, name


@pytest.mark.parametrize("dtype", LOW)
@pytest.mark.parametrize("channels", ODD, ids=["32 px", "128 px"])
def test_low_precision(dtype: torch.dtype, channels: tuple[int, ...]) -> None:
    variables = random_variables(channels)
    ws = torch.randn(2, 2 * len(channels), 24)
    expected = reference_synthesis(variables, ws.double())
    images = network(variables).set_precision(dtype).synthesis(ws)
    assert images.dtype == torch.float32
    error = (images - expected) / expected.std()
    mean = error.square().mean().sqrt()
    print(f"{dtype}, {images.shape[-1]} px: max abs {error.abs().max():.3g}, RMS {mean:.3g} of the picture's std")
    # Inputs and weights of each layer are rounded, one layer after the other.
    assert mean < 6 * torch.finfo(dtype).eps


def test_float16_stays_finite() -> None:
    variables = random_variables((16, 12, 8, 6))
    for name, value in variables.items():
        if name.endswith(("Conv1/weight", "Conv0_up/weight", "Conv/weight")):
            value *= 1e6  # the instance normalisation behind takes it out again
        elif name.endswith("StyleMod/weight"):
            value *= 1e5
    ws = torch.randn(2, 8, 24)
    expected, images = network(variables).synthesis(ws), network(variables).set_precision(torch.float16).synthesis(ws)
    assert images.isfinite().all()
    assert (images - expected).square().mean().sqrt() < 0.01 * expected.std()


@pytest.mark.parametrize("dtype", LOW)
def test_gradients_in_low_precision(dtype: torch.dtype) -> None:
    ws, probe = torch.randn(2, 8, 24, requires_grad=True), torch.randn(2, 3, 32, 32)
    gradients = [
        torch.autograd.grad((generator.synthesis(ws) * probe).sum(), ws)[0]
        for generator in (small(), small().set_precision(dtype))
    ]
    assert torch.cosine_similarity(gradients[0].flatten(), gradients[1].flatten(), dim=0) > 0.98


def test_truncation_of_the_first_slots() -> None:
    generator = small()
    ws, whole = generator.sample(2, seed=5, psi=0.5, cutoff=3), generator.sample(2, seed=5, psi=1)
    torch.testing.assert_close(ws[:, 3:], whole[:, 3:])
    mean = generator.w_mean
    torch.testing.assert_close(2 * (ws[:, :3] - mean), whole[:, :3] - mean, atol=1e-5, rtol=1e-5)


def test_folder(tmp_path: Path) -> None:
    generator, ws = small(), torch.randn(1, 8, 24)
    save_generator(tmp_path / "small", generator)
    loaded = load_generator(tmp_path / "small")
    assert isinstance(loaded, StyleGAN1)
    assert loaded.config() == generator.config()
    assert loaded.fingerprint() == generator.fingerprint()
    assert torch.equal(loaded.synthesis(ws), generator.synthesis(ws))


def test_empty_batch_and_wrong_shapes() -> None:
    generator = small()
    assert generator.synthesis(torch.empty(0, 8, 24)).shape == (0, 3, 32, 32)
    assert generator.mapping(torch.empty(0, 24)).shape == (0, 24)
    with pytest.raises(ValueError, match=r"\(1, 7, 24\), expected torch.float32 \(B, 8, 24\)"):
        generator.synthesis(torch.zeros(1, 7, 24))
    with pytest.raises(ValueError, match="resolution is 64"):
        generator.synthesis(torch.zeros(1, 8, 24), 64)
    with pytest.raises(ValueError, match="noise has shapes"):
        generator.synthesis(torch.zeros(1, 8, 24), None, generator.draw_noise(2))
    with pytest.raises(ValueError, match=r"z is .*\(24,\)"):
        generator.mapping(torch.zeros(24))
