"""StyleGAN2Synthesis against the generator that it was packed from."""

from __future__ import annotations

import threading

import pytest
import torch
from torch.nn import functional as F

from stylerig_fast.engine.backends.base import BackendSpec
from stylerig_fast.engine.backends.torch_backend import CompiledBackend, EagerBackend, make
from stylerig_fast.face.model_io import open_face_model
from stylerig_fast.generators.compiled import StyleGAN2Synthesis
from stylerig_fast.generators.formats import stylegan2_ada
from stylerig_fast.generators.mobilestylegan import MobileStyleGAN
from stylerig_fast.generators.stylegan2 import StyleGAN2
from stylerig_fast.ops import _library
from stylerig_fast.rignet import RigConfig, build
from stylerig_fast.untrusted import read_pickle
from tests.ops.meshes import needs_kernels

IMPLS = ["reference", pytest.param("cpu", marks=needs_kernels)]
# Widths that are no whole vectors, whole ones, one resolution.
SHAPES = [(10, 12, 6, 5), (64, 48, 32, 16, 8), (7,)]


def small(channels=SHAPES[0], clamp=None, **other):
    """Random weights; noise and biases are not zero either."""
    torch.manual_seed(0)
    generator = StyleGAN2(channels=channels, w_dim=24, mapping_layers=1, clamp=clamp, **other)
    for name, value in generator.named_parameters():
        if "noise_strength" in name or name.endswith(("convs.0.bias", "convs.1.bias", "to_rgb.bias")):
            value.data.normal_().mul_(0.5)
        if name.endswith("affine.bias"):
            value.data.add_(1)
    return generator.requires_grad_(False)


def codes(generator, batch=1, seed=1):
    draw = torch.Generator().manual_seed(seed)
    return torch.randn(batch, generator.num_ws, generator.w_dim, generator=draw)


def as_bytes(image):
    return ((image + 1) * 127.5).round().clamp(0, 255).permute(0, 2, 3, 1).byte()


def error(found, expected):
    """Root mean square, against the spread of the picture."""
    return float((found - expected).square().mean().sqrt() / expected.std())


@pytest.mark.parametrize("impl", IMPLS)
@pytest.mark.parametrize("clamp", [None, 0.8])
@pytest.mark.parametrize("channels", SHAPES)
def test_float32_is_the_generator(channels, clamp, impl):
    generator = small(channels, clamp)
    ws = codes(generator, 3)
    network, expected = StyleGAN2Synthesis(generator, impl=impl), generator.synthesis(ws)
    found = network.synthesis(ws)
    assert found.shape == expected.shape and found.dtype == torch.float32
    assert (found - expected).abs().max() < 1e-5 * max(1.0, float(expected.abs().max()))
    difference = network.pictures(ws).int() - as_bytes(expected).int()
    assert difference.abs().max() <= 1 and (difference != 0).float().mean() < 1e-3


@pytest.mark.parametrize("impl", IMPLS)
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
@pytest.mark.parametrize("channels", SHAPES)
def test_lower_precision_is_no_worse_than_the_generators(channels, dtype, impl):
    """It rounds in fewer places: less error than the generator has at the same precision, both against float32."""
    generator = small(channels)
    ws = codes(generator, 4)
    found = StyleGAN2Synthesis(generator, dtype, impl=impl).synthesis(ws)
    expected = generator.synthesis(ws)
    assert error(found, expected) <= error(generator.set_precision(dtype).synthesis(ws), expected)


@pytest.mark.parametrize("impl", IMPLS)
def test_the_golden_checkpoint(shared, impl, capsys):
    path = shared / "goldens" / "stylegan2_ada_64.pkl"
    generator = stylegan2_ada.convert(read_pickle(path), str(path), "golden")
    ws = generator.sample(2, seed=3)
    expected = generator.synthesis(ws)
    for dtype, bound in ((torch.float32, 0.0), (torch.bfloat16, 0.02), (torch.float16, 0.003)):
        found = StyleGAN2Synthesis(generator, dtype, impl=impl).synthesis(ws)
        worst, spread = float((found - expected).abs().max()), error(found, expected)
        with capsys.disabled():
            print(f"\nstylegan2_ada_64, {impl}, {dtype}: max abs {worst:.1e}, rms / std {spread:.1e}")
        assert worst <= 1e-4 if dtype == torch.float32 else spread < bound


@pytest.mark.parametrize("impl", IMPLS)
def test_smaller_pictures_and_previews(impl):
    generator = small()
    ws, network = codes(generator, 2), StyleGAN2Synthesis(generator, impl=impl)
    assert network.previews == (4, 8, 16)
    for resolution in (4, 8, 16, 32):
        expected = generator.synthesis(ws, resolution)
        torch.testing.assert_close(network.synthesis(ws, resolution), expected, atol=1e-4, rtol=1e-5)
        assert (network.pictures(ws, resolution).int() - as_bytes(expected).int()).abs().max() <= 1
        # The network's own picture: that of a generator that ends there.
        shorter = small(SHAPES[0][: network.previews.index(resolution) + 1] if resolution < 32 else SHAPES[0])
        state = generator.state_dict()
        shorter.load_state_dict({name: state[name] for name in shorter.state_dict()})
        own = shorter.synthesis(ws[:, : shorter.num_ws])
        found = network.synthesis(ws, resolution, preview=True)
        torch.testing.assert_close(found, own, atol=1e-4, rtol=1e-5)
        assert (network.pictures(ws, resolution, preview=True).int() - as_bytes(own).int()).abs().max() <= 1


@needs_kernels
def test_the_batch_at_once_as_on_an_accelerator(monkeypatch):
    """The CPU takes pictures one by one; the same network, all at once."""
    generator = small(SHAPES[1])
    ws, network = codes(generator, 5), StyleGAN2Synthesis(generator)
    monkeypatch.setattr(network, "_room", lambda *_: None)
    out = torch.empty(5, 64, 64, 3)
    with torch.no_grad():
        network._draw(ws, out, False)
    torch.testing.assert_close(out.permute(0, 3, 1, 2), generator.synthesis(ws), atol=1e-4, rtol=1e-5)


@needs_kernels
def test_out_threads_and_nothing():
    generator = small()
    network, ws = StyleGAN2Synthesis(generator), codes(generator, 6)
    expected, out = network.pictures(ws), torch.empty(6, 32, 32, 3, dtype=torch.uint8)
    assert network.pictures(ws, out=out) is out
    assert torch.equal(out, expected)
    assert network.pictures(ws[:0]).shape == (0, 32, 32, 3)
    assert torch.equal(network.pictures(ws.repeat_interleave(2, 0)[::2]), expected)
    found = [None] * 6
    threads = [
        threading.Thread(target=lambda i=i: found.__setitem__(i, network.pictures(ws[i : i + 1]))) for i in range(6)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert torch.equal(torch.cat(found), expected)


def test_later_changes_to_the_generator_are_not_seen():
    generator = small()
    network, ws = StyleGAN2Synthesis(generator), codes(generator)
    expected = network.pictures(ws)
    for value in generator.state_dict().values():
        value.zero_()
    assert torch.equal(network.pictures(ws), expected)


def test_mistakes_are_named():
    generator = small()
    network, ws = StyleGAN2Synthesis(generator), codes(generator)
    for wrong in (ws[:, 1:], ws.double(), ws[0], ws.to("meta")):
        with pytest.raises(ValueError, match=r"ws is .* expected torch.float32 \(B, 8, 24\) on cpu"):
            network.pictures(wrong)
    for resolution in (2, 12, 64):
        with pytest.raises(ValueError, match="a power of two from 4 to 32"):
            network.pictures(ws, resolution)
    with pytest.raises(ValueError, match="out is torch.float32"):
        network.pictures(ws, out=torch.empty(1, 32, 32, 3))
    with pytest.raises(NotImplementedError, match="no gradient"):
        network.synthesis(ws.requires_grad_())
    with pytest.raises(ValueError, match="dtype is torch.float64"):
        StyleGAN2Synthesis(generator, torch.float64)
    with pytest.raises(ValueError, match="generator is a MobileStyleGAN"):
        StyleGAN2Synthesis(MobileStyleGAN(channels=(8, 8), w_dim=24, mapping_layers=1))
    with pytest.raises(ValueError, match="has 6 taps"):
        StyleGAN2Synthesis(small(resample_filter=(1, 2, 3, 3, 2, 1)))
    with pytest.raises(ValueError, match=r"weights are .*bfloat16"):
        StyleGAN2Synthesis(small().set_precision(torch.bfloat16))


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
def test_the_torch_backend_uses_it(dtype, monkeypatch):
    generator = small()
    rig = build(RigConfig(8, open_face_model().sizes, components=8, rank=2))
    setting, ws = BackendSpec(generator, rig, torch.device("cpu"), dtype), codes(generator, 2)
    backend = make(setting)
    if _library.has_kernel("styled_epilogue", "cpu"):
        assert isinstance(backend, CompiledBackend) and backend.describe() == {"synthesis": "compiled, cpu"}
    for resolution in (32, 8):  # box means, not the network's own small pictures
        wanted = F.avg_pool2d(generator.synthesis(ws), 32 // resolution)
        difference = backend.pictures(ws, resolution).int() - as_bytes(wanted).int()
        assert difference.abs().max() <= (1 if dtype == torch.float32 else 12)
    monkeypatch.setattr(_library, "_library", _library.KernelLibrary(problem="a test took it away", tried=True))
    assert isinstance(make(setting), EagerBackend)
