"""StyleGAN2's kernels and synthesis on a GPU. Skipped where there is none: continuous integration has never run it."""

from __future__ import annotations

import pytest
import torch

from stylerig_fast import ops
from stylerig_fast.generators.compiled import StyleGAN2Synthesis
from stylerig_fast.ops import _library
from tests.generators.compiled.test_stylegan2 import SHAPES, as_bytes, codes, error, small
from tests.ops.styled import DTYPES, SIZES, TAPS, image_bound, rounding, styled_inputs, to_rgb

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA GPU"),
    pytest.mark.skipif(not _library.has_kernel("styled_epilogue", "cuda"), reason="the library was built without CUDA"),
]
# Multiplications and additions may be fused: rounding within a sum of three terms below about 10.
FUSED = 3 * 10 * torch.finfo(torch.float32).eps


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("size", [*SIZES, (2, 64, 4, 4), (1, 512, 8, 8), (1, 32, 1030, 1026)])
def test_the_ops_are_their_references(size, dtype):
    skip = size[2] % 2 == size[3] % 2 == 0
    results = []
    for device, impl in (("cpu", "reference"), ("cuda", "cuda")):
        inputs, rgb = styled_inputs(size, dtype, device=device), to_rgb(size, skip, device=device)
        image = torch.empty(size[0], *size[2:], 3, device=device)
        ops.styled_epilogue(**inputs, out=inputs["x"], rgb=rgb, image=image, impl=impl)
        wide = styled_inputs(size, dtype, margin=1, device=device)
        filtered = ops.upsample_filter(**wide, taps=TAPS.to(device), impl=impl)
        results.append((inputs["x"].cpu(), image.cpu(), filtered.cpu()))
    (out, image, filtered), (found, picture, sifted) = results
    assert ((found.float() - out.float()).abs() <= rounding(out, FUSED)).all()
    assert (picture - image).abs().max() < image_bound(to_rgb(size, skip))
    assert ((sifted.float() - filtered.float()).abs() <= rounding(filtered, 8 * FUSED)).all()


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("channels", SHAPES)
def test_synthesis(channels, dtype):
    generator = small(channels)
    ws = codes(generator, 3)
    expected = generator.synthesis(ws)
    generator.cuda()
    network = StyleGAN2Synthesis(generator, dtype)
    assert network.kernels == "cuda"
    found = network.synthesis(ws.cuda()).cpu()
    if dtype == torch.float32:
        # cuDNN adds in another order than the CPU, but TF32 is off.
        assert (found - expected).abs().max() < 1e-4 * max(1.0, float(expected.abs().max()))
        assert (network.pictures(ws.cuda()).cpu().int() - as_bytes(expected).int()).abs().max() <= 1
    else:
        generator.set_precision(dtype)
        assert error(found, expected) <= 1.2 * error(generator.synthesis(ws.cuda()).cpu(), expected)


def test_a_call_can_be_captured_and_waits_for_nothing():
    generator = small(SHAPES[1]).cuda()
    network, ws = StyleGAN2Synthesis(generator, torch.float16), codes(generator, 2).cuda()
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
    finally:
        torch.cuda.set_sync_debug_mode("default")
