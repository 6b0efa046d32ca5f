"""MobileStyleGAN as a graph.

The eager module folds styles into the weights of 1x1 convolutions and works on strips of rows; here weights are
constant, styles scale the activations, and the activations are whole. The scale of the wavelet bands and the style of
the convolution behind the transform both multiply whole channels, which the transform keeps apart: they are one factor.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from stylerig_fast.generators.base import Generator
from stylerig_fast.generators.mobilestylegan import MobileStyleGAN

from ..graph import GraphBuilder, Value
from ..layers import conv, conv_transpose, gemm, leaky_relu, linear, per_channel, slot
from ..picture import resized

# The inverse Haar transform: what the low band and the differences of rows, of columns and of both add to the pixels of
# a 2x2 square.
HAAR = torch.tensor(
    [[[1.0, 1.0], [1.0, 1.0]], [[1.0, 1.0], [-1.0, -1.0]], [[1.0, -1.0], [1.0, -1.0]], [[1.0, -1.0], [-1.0, 1.0]]]
)


def synthesis(graph: GraphBuilder, generator: Generator, ws: Value, resolution: int) -> Value:
    """The picture ``(B, 3, resolution, resolution)`` in float32 of the codes ``ws``."""
    assert isinstance(generator, MobileStyleGAN)
    bands = resolution == generator.resolution
    codes = [slot(graph, ws, index) for index in range(generator.num_ws)]
    blocks: list[Any] = list(generator.blocks)
    last = generator.to_image
    with graph.scope("first"):
        x = _first(graph, generator.first, codes[0], _order(graph, generator.channels[0]))
    for i, block in enumerate(blocks):
        final = i == len(blocks) - 1
        order = torch.arange(block.channels) if final else _order(graph, block.channels)
        with graph.scope(f"blocks.{i}"):
            x = _block(graph, block, x, codes[2 * i + 1], codes[2 * i + 2], order)
    with graph.scope("to_image"):
        x = _modulate(graph, x, codes[-1], last.modulation)
        order = _order(graph, 12) if bands else torch.arange(3)
        x = graph.full(conv(graph, x, last.weight[order][:, :, None, None], last.bias[order]))
        if bands:
            x = _inverse_haar(graph, x, 12, torch.float32)
    side = generator.resolution // (1 if bands else 2)
    return resized(graph, x, side, resolution)


def _first(graph: GraphBuilder, layer: Any, w: Value, order: Tensor) -> Value:
    with graph.scope("modulation"):
        s = linear(graph, w, layer.modulation)
    x = graph.op("Mul", graph.constant("const", layer.const, graph.precision), per_channel(graph, s))
    x = conv(graph, x, layer.weight[order], layer.bias[order], padding=1)
    return _finish(graph, x, layer.noise)


def _block(graph: GraphBuilder, block: Any, x: Value, w1: Value, w2: Value, order: Tensor) -> Value:
    """Inverse Haar upsampling and two convolutions; ``order`` is that of the channels it gives out."""
    conv1, conv2 = block.conv1, block.conv2
    up, modulation = block.up, conv1.modulation
    below = up.out_features
    bands = _order(graph, below)
    with graph.scope("up"):
        scale = gemm(graph, w1, up.weight[bands], up.bias[bands])
        with graph.scope("modulation"):
            weight, bias = modulation.weight.repeat(4, 1)[bands], modulation.bias.repeat(4)[bands]
            style = gemm(graph, w1, weight, bias)
        x = graph.op("Mul", x, per_channel(graph, graph.op("Mul", scale, style)))
        x = _inverse_haar(graph, x, below, graph.precision)
    with graph.scope("conv1"):
        x = _convolve(graph, x, conv1, torch.arange(block.channels))
    with graph.scope("conv2"):
        x = _modulate(graph, x, w2, conv2.modulation)
        return _convolve(graph, x, conv2, order)


def _modulate(graph: GraphBuilder, x: Value, w: Value, affine: torch.nn.Linear) -> Value:
    with graph.scope("modulation"):
        return graph.op("Mul", x, per_channel(graph, linear(graph, w, affine)))


def _convolve(graph: GraphBuilder, x: Value, layer: Any, order: Tensor) -> Value:
    """Depthwise 3x3 and 1x1 convolution, noise, leaky ReLU, with the output channels in this order."""
    with graph.scope("depthwise"):
        x = conv(graph, x, layer.depthwise, padding=1, groups=layer.depthwise.shape[0])
    x = conv(graph, x, layer.weight[order][:, :, None, None], layer.bias[order])
    return _finish(graph, x, layer.noise)


def _finish(graph: GraphBuilder, x: Value, noise: Tensor) -> Value:
    """Noise ``(H, W, 1)`` and leaky ReLU."""
    return leaky_relu(graph, graph.op("Add", x, graph.constant("noise", noise[None, None, :, :, 0], graph.precision)))


def _transposed(graph: GraphBuilder) -> bool:
    """Which of the two forms of the inverse Haar transform: a transposed convolution, or sums and differences.

    The first takes about half of the second's time in ONNX Runtime on a CPU, where float32 runs. In lower precision,
    for GPUs, the second: it only moves bytes, whatever the runtime makes of convolutions with four channels to a group.
    """
    return graph.precision == torch.float32


def _order(graph: GraphBuilder, channels: int) -> Tensor:
    """In which order the transform wants the ``channels`` (low band, rows, columns, both) of its input."""
    order = torch.arange(channels)
    return order.view(4, -1).T.flatten() if _transposed(graph) else order


def _inverse_haar(graph: GraphBuilder, x: Value, channels: int, dtype: torch.dtype) -> Value:
    """``(B, channels, H, W)`` in `_order` -> ``(B, channels / 4, 2H, 2W)``; ``dtype`` is that of ``x``."""
    with graph.scope("haar"):
        if _transposed(graph):
            kernel = HAAR.repeat(channels // 4, 1, 1)[:, None]
            return conv_transpose(graph, x, kernel, (2, 2), groups=channels // 4)
        low, rows, columns, both = (
            graph.op("Slice", x, *(graph.integers(n) for n in (i * channels // 4, (i + 1) * channels // 4, 1)))
            for i in range(4)
        )
        top_low, bottom_low = graph.op("Add", low, rows), graph.op("Sub", low, rows)
        top_high, bottom_high = graph.op("Add", columns, both), graph.op("Sub", columns, both)
        pixels = [
            graph.op(kind, a, b) for a, b in ((top_low, top_high), (bottom_low, bottom_high)) for kind in ("Add", "Sub")
        ]
        return graph.op("DepthToSpace", graph.op("Concat", *pixels, axis=1), blocksize=2, mode="DCR")
