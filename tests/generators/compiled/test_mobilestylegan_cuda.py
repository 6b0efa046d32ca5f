"""MobileCudaSynthesis in plain torch, which runs anywhere, against the generator; what it refuses."""

from __future__ import annotations

import math

import pytest
import torch

from stylerig_fast.engine.backends import torch_backend
from stylerig_fast.engine.backends.base import BackendSpec
from stylerig_fast.face.model_io import open_face_model
from stylerig_fast.generators import load_pretrained
from stylerig_fast.generators.compiled import MobileCudaSynthesis
from stylerig_fast.generators.stylegan2 import StyleGAN2
from stylerig_fast.images import to_uint8
from stylerig_fast.ops import _library
from stylerig_fast.rignet import RigConfig, build
from tests.ops.mobile_networks import codes, small

SHAPES = [(64, 64, 32), (20, 12, 24, 8), (8, 8, 8, 8)]


def network_of(generator, dtype=torch.float32):
    return MobileCudaSynthesis(generator, dtype, impl="reference")


def as_pictures(image):
    return to_uint8(image.permute(0, 2, 3, 1))


def error(found, expected):
    """Root mean square, against the spread of the picture."""
    return float((found - expected).square().mean().sqrt() / expected.std())


@pytest.mark.parametrize("channels", SHAPES)
def test_float32_is_the_generator(channels):
    generator = small(channels)
    ws, network = codes(generator, 3), network_of(generator)
    expected = generator.synthesis(ws)
    found = network.synthesis(ws)
    assert found.shape == expected.shape and found.dtype == torch.float32
    assert (found - expected).abs().max() < 1e-5 * expected.abs().max()
    assert torch.equal(network.pictures(ws), as_pictures(found))


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
@pytest.mark.parametrize("channels", SHAPES)
def test_lower_precision_is_no_worse_than_the_generators(channels, dtype):
    """It rounds in fewer places: less error than the generator has at the same precision, both against float32."""
    generator = small(channels)
    ws = codes(generator, 4)
    expected, found = generator.synthesis(ws), network_of(generator, dtype).synthesis(ws)
    assert error(found, expected) <= error(generator.set_precision(dtype).synthesis(ws), expected)


def test_the_pretrained_network_in_low_precision():
    generator = load_pretrained("mobilestylegan-ffhq").requires_grad_(False)
    ws = generator.sample(1, seed=0)
    expected = generator.synthesis(ws).add(1).mul(127.5).clamp(0, 255)
    for dtype, decibels in ((torch.float16, 60), (torch.bfloat16, 45)):
        found = network_of(generator, dtype).synthesis(ws).add(1).mul(127.5).clamp(0, 255)
        assert 10 * math.log10(255**2 / float((found - expected).square().mean())) > decibels


def test_smaller_pictures_are_box_means():
    generator = small()
    ws, network = codes(generator, 2), network_of(generator)
    for resolution in (4, 8, 16, 32):
        expected, found = generator.synthesis(ws, resolution), network.synthesis(ws, resolution)
        assert (found - expected).abs().max() < 1e-5 * expected.abs().max()
        assert torch.equal(network.pictures(ws, resolution), as_pictures(found))


def test_out_more_pictures_than_at_a_time_and_nothing():
    generator = small((8, 8))
    network, ws = network_of(generator), codes(generator, 19)
    out = torch.empty(19, 16, 16, 3, dtype=torch.uint8)
    assert network.pictures(ws, out=out) is out
    assert torch.equal(out[17:], network.pictures(ws[17:]))
    assert network.pictures(ws[:0]).shape == (0, 16, 16, 3)
    assert network.previews == ()


def test_later_changes_to_the_generator_are_not_seen():
    generator = small()
    network, ws = network_of(generator), codes(generator)
    expected = network.pictures(ws)
    for value in generator.state_dict().values():
        value.zero_()
    assert torch.equal(network.pictures(ws), expected)


def test_mistakes_of_the_network_are_named():
    generator = small()
    network, ws = network_of(generator), codes(generator)
    for wrong in (ws[:, 1:], ws.double(), ws[0], ws.to("meta")):
        with pytest.raises(ValueError, match=r"ws is .* expected torch.float32 \(B, 6, 40\) on cpu"):
            network.pictures(wrong)
    for resolution in (2, 12, 64):
        with pytest.raises(ValueError, match="a power of two from 4 to 32"):
            network.pictures(ws, resolution)
    with pytest.raises(ValueError, match="out is torch.float32"):
        network.pictures(ws, out=torch.empty(1, 32, 32, 3))
    with pytest.raises(ValueError, match="there are no previews"):
        network.pictures(ws, 8, preview=True)
    with pytest.raises(NotImplementedError, match="no gradient"):
        network.synthesis(ws.requires_grad_())
    with pytest.raises(ValueError, match="dtype is torch.float64"):
        network_of(generator, torch.float64)
    with pytest.raises(ValueError, match="generator is a StyleGAN2"):
        network_of(StyleGAN2(channels=(8,), w_dim=24, mapping_layers=1))
    with pytest.raises(ValueError, match=r"weights are .*bfloat16"):
        network_of(small().set_precision(torch.bfloat16))


def test_the_backends_take_it_on_cuda(monkeypatch):
    generator = small()
    rig = build(RigConfig(generator.num_ws, open_face_model().sizes, components=8, rank=2))
    monkeypatch.setattr(_library, "has_kernel", lambda _op, device: device == "cuda")
    monkeypatch.setattr(_library, "_refusal", lambda _device: "")
    monkeypatch.setattr(_library, "choose", lambda *_: "cuda")
    for dtype in (torch.float32, torch.float16, torch.bfloat16):
        network = torch_backend.compiled(BackendSpec(generator, rig, torch.device("cuda"), dtype))
        assert isinstance(network, MobileCudaSynthesis) and network.dtype == dtype
    monkeypatch.setattr(_library, "has_kernel", lambda *_: False)
    assert torch_backend.compiled(BackendSpec(generator, rig, torch.device("cuda"))) is None
