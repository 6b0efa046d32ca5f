"""Rows of the ops that make pictures, one function for each op: single pictures, inference, float32."""

from __future__ import annotations

import math
from collections.abc import Iterator
from itertools import pairwise

import torch
from torch import Tensor

from stylerig_fast import ops
from stylerig_fast.generators.mobilestylegan import CHANNELS, MobileStyleGAN
from stylerig_fast.ops._library import Impl
from stylerig_fast.ops.mobile_cuda_synthesis import MobileCudaSynthesis
from stylerig_fast.ops.mobile_synthesis import MobileSynthesis
from stylerig_fast.ops.reference.mobile_synthesis import Head
from stylerig_fast.ops.reference.styled_epilogue import ToRgb

from .measure import MachineRates, OpCost, OpRow, largest_difference
from .scene import Scene

# Of a layer of StyleGAN2 (config f) at 256 px.
STYLED_CHANNELS = 128
# Widths in pixels at which features are timed, besides the whole picture: they divide the network's time well.
WIDTHS = (32, 64, 128, 256)


def styled_epilogue(scene: Scene, machine: MachineRates) -> Iterator[OpRow]:
    """What follows the second convolution of a resolution: activations and the picture."""
    layer, side = _Layer(scene), 2 * scene.size
    x = layer.normal(1, STYLED_CHANNELS, side, side).contiguous(memory_format=torch.channels_last)
    rgb = ToRgb(
        layer.normal(1, 3, STYLED_CHANNELS), layer.normal(3), layer.normal(1, side // 2, side // 2, 3), layer.taps
    )
    results = {impl: (torch.empty_like(x), x.new_empty(1, side, side, 3)) for impl in ("auto", "reference")}

    def call(impl: Impl) -> list[Tensor]:
        out, image = results[impl]
        ops.styled_epilogue(
            x, layer.scale, layer.bias, noise=layer.noise, style=layer.scale, out=out, rgb=rgb, image=image, impl=impl
        )
        return [out, image]

    ours, reference = machine.timer.medians(lambda: call("auto"), lambda: call("reference"))
    image = results["auto"][1]
    moved = 2 * x.nbytes + layer.noise.nbytes + image.nbytes + image.nbytes // 4
    cost = OpCost(moved, 2 * 3 * x.numel())
    parity = largest_difference(call("auto"), call("reference"))
    yield OpRow(f"styled_epilogue, {_named(side)}", ours, reference, machine.floor(cost), parity)


def upsample_filter(scene: Scene, machine: MachineRates) -> Iterator[OpRow]:
    """What follows the transposed convolution of a resolution."""
    layer, side = _Layer(scene), 2 * scene.size
    x = layer.normal(1, STYLED_CHANNELS, side + 1, side + 1).contiguous(memory_format=torch.channels_last)
    shape = (1, STYLED_CHANNELS, side, side)
    results = {impl: x.new_empty(shape).contiguous(memory_format=torch.channels_last) for impl in ("auto", "reference")}

    def call(impl: Impl) -> list[Tensor]:
        ops.upsample_filter(
            x,
            layer.taps,
            layer.scale,
            layer.bias,
            noise=layer.noise,
            style=layer.scale,
            out=results[impl],
            impl=impl,
        )
        return [results[impl]]

    ours, reference = machine.timer.medians(lambda: call("auto"), lambda: call("reference"))
    cost = OpCost(x.nbytes + results["auto"].nbytes + layer.noise.nbytes)
    parity = largest_difference(call("auto"), call("reference"))
    yield OpRow(f"upsample_filter, {_named(side)}", ours, reference, machine.floor(cost), parity)


def mobile_synthesis(scene: Scene, machine: MachineRates) -> Iterator[OpRow]:
    """MobileStyleGAN from the code to the features of a width, shown by a preview head, and to the whole picture.

    The op runs on the CPU. Differences between rows are the times of the blocks. On CUDA, the network of two ops per
    layer instead.
    """
    if scene.device.type != "cpu":
        yield from mobile_cuda_synthesis(scene, machine)
        return
    levels = min(len(CHANNELS), max(3, int(math.log2(2 * scene.size))))
    torch.manual_seed(0)
    generator = MobileStyleGAN(CHANNELS[:levels], mapping_layers=1).eval().requires_grad_(False)
    blocks = {8 << block: block for block in range(levels - 1)}
    draw = torch.Generator().manual_seed(1)
    heads = {
        blocks[width]: Head(torch.randn(3, generator.channels[blocks[width] + 1], generator=draw), torch.zeros(3))
        for width in WIDTHS
        if width in blocks
    }
    compiled, plain = (MobileSynthesis(generator, heads=heads, impl=impl) for impl in ("auto", "reference"))
    ws = torch.randn(1, generator.num_ws, generator.w_dim, generator=draw)
    for resolution in (*compiled.previews, generator.resolution):
        preview = resolution in compiled.previews
        last = blocks[resolution] if preview else levels - 2
        ours, reference = machine.timer.medians(
            lambda r=resolution, p=preview: compiled.synthesis(ws, r, preview=p),  # type: ignore[misc]
            lambda r=resolution, p=preview: plain.synthesis(ws, r, preview=p),  # type: ignore[misc]
            runs=5,
        )
        images, expected = (network.synthesis(ws, resolution, preview=preview) for network in (compiled, plain))
        floor = machine.floor(_products(generator, last, resolution))
        what = f"to {resolution} px" if preview else f"picture of {resolution} px"
        yield OpRow(f"mobile_synthesis, {what}", ours, reference, floor, largest_difference([images], [expected]))


def mobile_cuda_synthesis(scene: Scene, machine: MachineRates) -> Iterator[OpRow]:
    """MobileStyleGAN from the code to the whole picture, by ops and products that all read and write activations."""
    levels = min(len(CHANNELS), max(3, int(math.log2(2 * scene.size))))
    torch.manual_seed(0)
    generator = MobileStyleGAN(CHANNELS[:levels], mapping_layers=1).eval().requires_grad_(False).to(scene.device)
    compiled, plain = (MobileCudaSynthesis(generator, impl=impl) for impl in ("auto", "reference"))
    ws = torch.randn(1, generator.num_ws, generator.w_dim, generator=torch.Generator().manual_seed(1)).to(scene.device)
    ours, reference = machine.timer.medians(lambda: compiled.synthesis(ws), lambda: plain.synthesis(ws), runs=5)
    products = _products(generator, levels - 2, generator.resolution)
    moved = products.bytes + 4 * generator.channels[-1] * (generator.resolution // 2) ** 2
    for block, (below, above) in enumerate(pairwise(generator.channels)):
        # Two ops and two products, each reads and writes: the bands and what is made of them, then four times the rest.
        moved += 4 * (8 << block) ** 2 * (3 * below // 4 + 5 * above)
    parity = largest_difference([compiled.synthesis(ws)], [plain.synthesis(ws)])
    floor = machine.floor(OpCost(moved, products.operations))
    yield OpRow(f"mobile_cuda_synthesis, picture of {generator.resolution} px", ours, reference, floor, parity)


class _Layer:
    """Random constants of a StyleGAN2 layer, and the style of one code."""

    def __init__(self, scene: Scene) -> None:
        self._draw = torch.Generator().manual_seed(0)
        self._device = scene.device
        self.scale = self.normal(1, STYLED_CHANNELS)
        self.bias = self.normal(STYLED_CHANNELS)
        self.noise = self.normal(2 * scene.size, 2 * scene.size)
        self.taps = torch.tensor([0.25, 0.75, 0.75, 0.25], device=scene.device)

    def normal(self, *shape: int) -> Tensor:
        return torch.randn(shape, generator=self._draw).to(self._device)


def _named(side: int) -> str:
    return f"{STYLED_CHANNELS} channels, {side} px"


def _products(generator: MobileStyleGAN, last: int, resolution: int) -> OpCost:
    """The dense convolutions and matrix products up to the block ``last``; weights that are read; the picture."""
    channels = generator.channels
    operations, weights = 2 * 16 * 9 * channels[0] ** 2, 9 * channels[0] ** 2
    for block, (below, above) in enumerate(pairwise(channels[: last + 2])):
        matrices = (below // 4 + above) * above
        operations += 2 * (8 << block) ** 2 * matrices
        weights += matrices + (8 << block) ** 2 * 2 + generator.w_dim * (below + below // 4 + above)
    return OpCost(4 * (weights + 3 * resolution**2), operations)


SYNTHESIS_OPS = (styled_epilogue, upsample_filter, mobile_synthesis)
