from __future__ import annotations

import copy
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from stylerig_fast.generators.folder import load_generator, save_generator
from stylerig_fast.generators.formats import stylegan3
from stylerig_fast.generators.stylegan3 import StyleGAN3
from tests.generators import stylegan3_nvlabs as nvlabs

RADIAL = {"conv_kernel": 1, "use_radial_filters": True}
# Sizes and widths that the goldens do not have.
T32 = {"img_resolution": 32, "num_layers": 5, "channel_base": 290, "channel_max": 19}
R128 = {"img_resolution": 128, "num_layers": 7, "channel_base": 900, "channel_max": 21, **RADIAL}
ODD = {
    **T32,
    "num_critical": 1,
    "first_cutoff": 1.5,
    "first_stopband": 4.0,
    "last_stopband_rel": 1.4,
    "margin_size": 7,
    "output_scale": 0.5,
    "conv_kernel": 5,
    "filter_size": 4,
    "lrelu_upsampling": 4,
    "conv_clamp": 0.7,
    "mapping_kwargs": {"num_layers": 3, "lr_multiplier": 0.1},
}
PLAIN = {**T32, "lrelu_upsampling": 1, "conv_clamp": None, "margin_size": 0, "filter_size": 5}


def small(seed: int = 0, **arguments: Any) -> StyleGAN3:
    torch.manual_seed(seed)  # for what a test draws
    generator = stylegan3.convert({"G_ema": nvlabs.make(seed, **(arguments or T32))}, "small.pkl", "small")
    assert isinstance(generator, StyleGAN3)
    return generator


def codes(generator: StyleGAN3, n: int = 2, seed: int = 1) -> Tensor:
    draw = torch.Generator().manual_seed(seed)
    return torch.randn(n, generator.num_ws, generator.w_dim, generator=draw)


@pytest.mark.parametrize("arguments", [T32, R128, ODD, PLAIN], ids=["T 32 px", "R 128 px", "odd", "plain"])
def test_reference_parity(arguments: dict) -> None:
    torch.manual_seed(0)
    record = nvlabs.make(3, **arguments)
    generator = stylegan3.convert(record, "small.pkl", "small")
    assert isinstance(generator, StyleGAN3)
    ws = codes(generator)
    expected = nvlabs.synthesis(record, ws.double())
    image = generator.synthesis(ws)
    assert (image - expected).abs().max() < 2e-5 * expected.std()
    # In float64 only what is stored in float32 differs.
    in_double = generator.double().synthesis(ws.double())
    assert (in_double - expected).abs().max() < 1e-5 * expected.std()
    z = torch.randn(3, 24, dtype=torch.float64)
    torch.testing.assert_close(generator.mapping(z), nvlabs.mapping(record, z), atol=1e-6, rtol=1e-6)


@pytest.mark.parametrize("arguments", [T32, {**R128, "num_layers": 5}, ODD], ids=["T", "R", "odd"])
def test_tiles_change_nothing(arguments: dict) -> None:
    generator = small(**arguments).double()
    ws = codes(generator).double().requires_grad_()
    probe = torch.randn(2, 3, generator.resolution, generator.resolution, dtype=torch.float64)
    results = []
    for tile_bytes in (None, 1, 2_000_000):
        generator.tile_bytes = tile_bytes
        image = generator.synthesis(ws)
        (gradient,) = torch.autograd.grad((image * probe).sum(), ws)
        with torch.no_grad():
            torch.testing.assert_close(generator.synthesis(ws), image, atol=1e-12, rtol=0)
        results.append((image, gradient))
    for image, gradient in results[1:]:
        torch.testing.assert_close(image, results[0][0], atol=1e-11, rtol=0)
        torch.testing.assert_close(gradient, results[0][1], atol=1e-9, rtol=1e-9)


@pytest.mark.parametrize("tile_bytes", [None, 1])
def test_gradients(tile_bytes: int | None) -> None:
    generator = small(**{**R128, "img_resolution": 32, "num_layers": 5}).double()
    generator.tile_bytes = tile_bytes
    ws = codes(generator).double().requires_grad_()
    probe = torch.randn(2, 3, 16, 16, dtype=torch.float64)

    def loss(ws: Tensor) -> Tensor:
        return (generator.synthesis(ws, 16) * probe).sum()

    (gradient,) = torch.autograd.grad(loss(ws), ws)
    assert (gradient.abs().amax((0, 2)) > 0).all()  # every slot reaches the picture
    direction = torch.randn_like(ws)
    with torch.no_grad():
        step = 1e-7  # smaller, and fewer non-linearities bend within it
        expected = (loss(ws + step * direction) - loss(ws - step * direction)) / (2 * step)
    torch.testing.assert_close((gradient * direction).sum(), expected, rtol=1e-3, atol=1e-6)


def test_gradients_of_weights_do_not_depend_on_tiles() -> None:
    generator = small().double().requires_grad_()
    ws = codes(generator).double()
    found = []
    for tile_bytes in (None, 1):
        generator.tile_bytes = tile_bytes
        generator.zero_grad()
        generator.synthesis(ws).square().sum().backward()
        found.append(
            {name: value.grad.clone() for name, value in generator.named_parameters() if value.grad is not None}
        )
    assert {name for name in found[0] if "mapping" not in name} == found[1].keys()
    assert "layers.2.weight" in found[0]
    for name, gradient in found[0].items():
        torch.testing.assert_close(found[1][name], gradient, atol=1e-9, rtol=1e-8)


def test_second_derivatives_through_tiles_are_refused() -> None:
    generator = small()
    generator.tile_bytes = 1
    ws = codes(generator).requires_grad_()
    (gradient,) = torch.autograd.grad(generator.synthesis(ws).square().sum(), ws, create_graph=True)
    with pytest.raises(RuntimeError, match="once_differentiable"):
        gradient.sum().backward()


def test_batch_does_not_matter() -> None:
    generator = small()
    ws = codes(generator, 5)
    together = generator.synthesis(ws)
    alone = torch.cat([generator.synthesis(one) for one in ws.split(1)])
    torch.testing.assert_close(together, alone, atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(generator.synthesis(ws.repeat_interleave(2, 0)[::2]), alone, atol=1e-5, rtol=1e-5)
    assert together.is_contiguous()
    assert generator.synthesis(ws[:0], 8).shape == (0, 3, 8, 8)


def test_smaller_pictures_are_box_means() -> None:
    generator = small()
    ws = codes(generator)
    whole = generator.synthesis(ws)
    torch.testing.assert_close(generator.synthesis(ws, 8), F.avg_pool2d(whole, 4))


@pytest.mark.parametrize(("dtype", "bound"), [(torch.bfloat16, 0.15), (torch.float16, 0.02)])
@pytest.mark.parametrize("arguments", [T32, R128], ids=["T", "R"])
def test_lower_precision(arguments: dict, dtype: torch.dtype, bound: float) -> None:
    generator = small(**arguments)
    ws = codes(generator)
    expected = generator.synthesis(ws)
    fingerprint = generator.fingerprint()
    rounded = copy.deepcopy(generator).set_precision(dtype)
    image = rounded.synthesis(ws)
    assert image.dtype == torch.float32
    # In units of the picture's standard deviation.
    error = float((image - expected).abs().max() / expected.std())
    print(f"{dtype}: {error:.4f} of the standard deviation")
    assert 1e-5 < error < bound
    assert generator.fingerprint() == fingerprint
    ws = ws.requires_grad_()
    (gradient,) = torch.autograd.grad(rounded.synthesis(ws).square().sum(), ws)
    (wanted,) = torch.autograd.grad(generator.synthesis(ws).square().sum(), ws)
    assert F.cosine_similarity(gradient.flatten(), wanted.flatten(), 0) > 0.99


def test_half_precision_does_not_overflow() -> None:
    record = nvlabs.make(0, **T32)
    network = nvlabs.sub(record, "synthesis")
    for name, layer in network.fields["_modules"].items():
        if name.startswith("L"):
            # Weights and styles of any scale give the same picture: both are normalised.
            last = name.startswith("L5")
            layer.fields["_parameters"]["weight"] *= 1.0 if last else 1e5
            affine = nvlabs.sub(layer, "affine").fields["_parameters"]
            affine["weight"], affine["bias"] = (affine[key] * (1.0 if last else 1e3) for key in ("weight", "bias"))
    generator = stylegan3.convert(record, "small.pkl", "small")
    expected = small()
    assert isinstance(generator, StyleGAN3)
    ws = codes(generator)
    image = generator.set_precision(torch.float16).synthesis(ws)
    torch.testing.assert_close(image, expected.synthesis(ws), atol=0.02 * float(image.std()), rtol=0)


def test_waves_move_with_the_transform() -> None:
    generator = small(img_resolution=64, num_layers=3, channel_base=700, channel_max=12, margin_size=26).double()
    ws = codes(generator, 1).double()
    generator.waves.transform.copy_(torch.eye(3))
    before = generator.synthesis(ws)
    # One sample of the lowest rate is four pixels. What the code itself turns comes after this move.
    generator.waves.transform[0, 2] = -1 / 16
    moved = generator.synthesis(ws)
    centre = slice(24, 40)
    expected = before[:, :, centre, 20:36]
    assert (moved[:, :, centre, centre] - expected).std() < 0.02 * expected.std()
    assert (before[:, :, centre, centre] - expected).std() > 0.2 * expected.std()


def test_folder(tmp_path: Path) -> None:
    generator = small(**ODD)
    save_generator(tmp_path / "g", generator)
    again = load_generator(tmp_path / "g")
    assert isinstance(again, StyleGAN3)
    assert again.config() == generator.config() == json.loads(json.dumps(generator.config()))
    assert again.fingerprint() == generator.fingerprint()
    ws = codes(generator)
    assert torch.equal(again.synthesis(ws), generator.synthesis(ws))
    assert again.noise_sizes == ()
    assert again.sample(2, seed=3).shape == (2, 7, 24)


def test_refusals() -> None:
    generator = small()
    with pytest.raises(ValueError, match=r"expected torch.float32 \(B, 7, 24\)"):
        generator.synthesis(torch.zeros(1, 6, 24))
    with pytest.raises(ValueError, match="power of two from 4 to 32"):
        generator.synthesis(codes(generator), 64)
    with pytest.raises(ValueError, match="noise has shapes"):
        generator.synthesis(codes(generator), noise=[torch.zeros(2, 1, 4, 4)])
    with pytest.raises(ValueError, match=r"expected torch.float32 \(B, 24\)"):
        generator.mapping(torch.zeros(1, 25))
    with pytest.raises(TypeError, match="channels"):
        StyleGAN3(channels=3)


REAL_SIZE = """
import json, torch
from stylerig_fast.generators.stylegan3 import StyleGAN3
torch.manual_seed(0)
torch.set_num_threads(1)
generator = StyleGAN3(conv_kernel=1, channel_base=65536, channel_max=1024, use_radial_filters=True)
generator.eval().requires_grad_(False).waves.affine.weight.normal_().mul_(0.01)
ws = torch.randn(1, 16, 512, requires_grad=True)
image = generator.synthesis(ws)
image.square().mean().backward()
peak = int(open("/proc/self/status").read().partition("VmHWM:")[2].split()[0]) * 1024
finite = bool(image.isfinite().all() and ws.grad.isfinite().all())
print(json.dumps([peak, list(image.shape), finite, float(ws.grad.abs().amax((0, 2)).min())]))
"""


@pytest.mark.exhaustive
@pytest.mark.skipif(sys.platform != "linux", reason="measures memory as Linux reports it")
def test_gradient_at_real_size_fits_into_8_gb() -> None:
    """R at 1024 px, random weights; measured 3.7 GB and less than a minute on one core."""
    done = subprocess.run([sys.executable, "-c", REAL_SIZE], capture_output=True, text=True, check=True, timeout=900)
    peak, shape, finite, smallest = json.loads(done.stdout)
    assert shape == [1, 3, 1024, 1024]
    assert finite
    assert smallest > 0
    assert peak < 6e9
