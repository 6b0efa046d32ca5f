"""Rows of the ops that make pictures, one function for each op: single pictures, inference, float32."""

from __future__ import annotations

import math
from collections.abc import Iterator
from itertools import pairwise

import torch
from torch import Tensor

from stylerig_fast import ops
from stylerig_fast.generators.compiled import MobileCudaSynthesis, MobileSynthesis
from stylerig_fast.generators.mobilestylegan import CHANNELS, MobileStyleGAN
from stylerig_fast.ops._library import Impl
from stylerig_fast.ops.reference.styled_epilogue import ToRgb

from .measure import MachineRates, OpCost, OpRow, largest_difference
from .scene import Scene

# Of a layer of StyleGAN2 (config f) at 256 px.
STYLED_CHANNELS = 128
# Of the whole network and of so many that end earlier a row each.
FEWER_LEVELS = 4


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
    """MobileStyleGAN from the code to the whole picture, and networks of its first levels.

    The op runs on the CPU. Differences between rows are the times of the blocks. On CUDA, the network of two ops per
    layer instead.
    """
    if scene.device.type != "cpu":
        yield from mobile_cuda_synthesis(scene, machine)
        return
    most = _levels(scene)
    for levels in range(max(3, most - FEWER_LEVELS), most + 1):
        torch.manual_seed(0)
        generator = MobileStyleGAN(CHANNELS[:levels], mapping_layers=1).eval().requires_grad_(False)
        compiled, plain = (MobileSynthesis(generator, impl=impl) for impl in ("auto", "reference"))
        ws = torch.randn(1, generator.num_ws, generator.w_dim, generator=torch.Generator().manual_seed(1))
        ours, reference = machine.timer.medians(
            lambda c=compiled, w=ws: c.synthesis(w),  # type: ignore[misc]
            lambda p=plain, w=ws: p.synthesis(w),  # type: ignore[misc]
            runs=5,
        )
        parity = largest_difference([compiled.synthesis(ws)], [plain.synthesis(ws)])
        floor = machine.floor(_products(generator))
        yield OpRow(f"mobile_synthesis, picture of {generator.resolution} px", ours, reference, floor, parity)


def mobile_cuda_synthesis(scene: Scene, machine: MachineRates) -> Iterator[OpRow]:
    """MobileStyleGAN from the code to the whole picture, by ops and products that all read and write activations."""
    torch.manual_seed(0)
    generator = MobileStyleGAN(CHANNELS[: _levels(scene)], mapping_layers=1).to(scene.device)
    generator.eval().requires_grad_(False)
    compiled, plain = (MobileCudaSynthesis(generator, impl=impl) for impl in ("auto", "reference"))
    ws = torch.randn(1, generator.num_ws, generator.w_dim, generator=torch.Generator().manual_seed(1)).to(scene.device)
    ours, reference = machine.timer.medians(lambda: compiled.synthesis(ws), lambda: plain.synthesis(ws), runs=5)
    products = _products(generator)
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


def _levels(scene: Scene) -> int:
    """Levels of the whole network: all of them at the default size, fewer for a small scene."""
    return min(len(CHANNELS), max(3, int(math.log2(2 * scene.size))))


def _products(generator: MobileStyleGAN) -> OpCost:
    """The dense convolutions and matrix products; weights that are read; the picture."""
    channels = generator.channels
    operations, weights = 2 * 16 * 9 * channels[0] ** 2, 9 * channels[0] ** 2
    for block, (below, above) in enumerate(pairwise(channels)):
        matrices = (below // 4 + above) * above
        operations += 2 * (8 << block) ** 2 * matrices
        weights += matrices + (8 << block) ** 2 * 2 + generator.w_dim * (below + below // 4 + above)
    return OpCost(4 * (weights + 3 * generator.resolution**2), operations)


SYNTHESIS_OPS = (styled_epilogue, upsample_filter, mobile_synthesis)
