"""MobileStyleGAN's kernels and synthesis on a GPU. Skipped where there is none."""

from __future__ import annotations

import pytest
import torch

from stylerig_fast import ops
from stylerig_fast.generators.compiled import MobileCudaSynthesis
from stylerig_fast.images import to_uint8
from stylerig_fast.ops import _library
from stylerig_fast.ops.reference import depthwise_layer, picture_layer
from tests.generators.compiled.test_mobilestylegan_cuda import SHAPES, as_pictures, error
from tests.ops.mobile_layers import (
    DTYPES,
    SIZES,
    in_double,
    layer_bound,
    layer_inputs,
    new_picture,
    picture_bound,
    picture_inputs,
)
from tests.ops.mobile_networks import codes, small

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA GPU"),
    pytest.mark.skipif(not _library.has_kernel("depthwise_layer", "cuda"), reason="the library was built without CUDA"),
]
# Layers of the real network, small and large ones too.
REAL = [(2, 4, 4, 128), (1, 32, 32, 512), (1, 258, 129, 64)]


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("bands", [False, True])
@pytest.mark.parametrize("size", [*SIZES, *REAL])
def test_depthwise_layer(size, bands, dtype):
    inputs = layer_inputs(size, dtype, bands, device="cuda")
    expected = depthwise_layer.depthwise_layer(**in_double(inputs), dtype=torch.float64)
    found = ops.depthwise_layer(**inputs, impl="cuda")
    assert ((found.cpu().double() - expected).abs() <= layer_bound(inputs, expected)).all()
    assert torch.equal(ops.depthwise_layer(**inputs, impl="cuda"), found)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("outputs", [3, 12])
@pytest.mark.parametrize("size", [*SIZES, *REAL])
def test_picture_layer(size, outputs, dtype):
    inputs = picture_inputs(size, dtype, outputs, device="cuda")
    expected = picture_layer.picture_layer(**in_double(inputs))
    pictures = [new_picture(inputs) for _ in range(2)]
    for picture in pictures:
        ops.picture_layer(**inputs, picture=picture, impl="cuda")
    assert (pictures[0].cpu().double() - expected).abs().max() <= picture_bound(inputs)
    assert torch.equal(*pictures)
    pixels = new_picture(inputs, torch.uint8)
    ops.picture_layer(**inputs, picture=pixels, impl="cuda")
    assert torch.equal(pixels, to_uint8(pictures[0]))


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("channels", SHAPES)
def test_synthesis(channels, dtype):
    generator = small(channels)
    ws = codes(generator, 3)
    expected = generator.synthesis(ws)
    generator.cuda()
    network = MobileCudaSynthesis(generator, dtype)
    assert network.kernels == "cuda"
    found = network.synthesis(ws.cuda()).cpu()
    assert torch.equal(network.pictures(ws.cuda()).cpu(), as_pictures(found))
    if dtype == torch.float32:
        assert (found - expected).abs().max() < 1e-5 * expected.abs().max()
        half = network.synthesis(ws.cuda(), generator.resolution // 4).cpu()
        assert (half - torch.nn.functional.avg_pool2d(expected, 4)).abs().max() < 1e-5 * expected.abs().max()
    else:
        generator.set_precision(dtype)
        assert error(found, expected) <= 1.2 * error(generator.synthesis(ws.cuda()).cpu(), expected)


def test_a_call_can_be_captured_and_waits_for_nothing():
    generator = small((64, 64, 32)).cuda()
    network, ws = MobileCudaSynthesis(generator, torch.float16), codes(generator, 2).cuda()
    expected = network.pictures(ws)
    side = torch.cuda.Stream()
    side.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(side):
        network.pictures(ws)
    torch.cuda.current_stream().wait_stream(side)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        captured = network.pictures(ws)
    graph.replay()
    assert torch.equal(captured, expected)
    torch.cuda.set_sync_debug_mode("error")
    try:
        network.pictures(ws)
        network.pictures(ws, 8)
    finally:
        torch.cuda.set_sync_debug_mode("default")
