"""StyleGAN 1 as a graph: the eager module as it is. Only convolutions are in lower precision, as there."""

from __future__ import annotations

import copy
from typing import Any

import torch

from stylerig_fast.generators.base import Generator
from stylerig_fast.generators.layers import EPSILON
from stylerig_fast.generators.stylegan1 import StyleGAN1

from ..graph import GraphBuilder, Value
from ..layers import conv, conv_transpose, gemm, leaky_relu, normalised, slot, upfirdn2d
from ..picture import resized


def synthesis(graph: GraphBuilder, generator: Generator, ws: Value, resolution: int) -> Value:
    """The picture ``(B, 3, resolution, resolution)`` in float32 of the codes ``ws``."""
    assert isinstance(generator, StyleGAN1)
    net: Any = copy.deepcopy(generator).set_precision(graph.precision)
    x: Value | None = None
    for i, layer in enumerate(net.layers):
        w = slot(graph, ws, i)
        with graph.scope(f"layers.{i}"):
            x = _constant(graph, layer) if x is None else _convolve(graph, x, layer)
            x = _finish(graph, x, w, layer)
    assert x is not None
    with graph.scope("to_rgb"), graph.in_precision(torch.float32):
        image = conv(graph, x, net.to_rgb.weight, net.to_rgb.bias)
    return resized(graph, image, generator.resolution, resolution)


def _constant(graph: GraphBuilder, layer: Any) -> Value:
    """The learnt constant, a batch of one: the rest of the layer brings the batch."""
    return graph.constant("const", layer.const)


def _convolve(graph: GraphBuilder, x: Value, layer: Any) -> Value:
    """The convolution of a layer, float32 to float32."""
    largest: Value | None = None
    if layer.scale is not None:
        with graph.scope("range"):
            x, largest = normalised(graph, x, axes=(1, 2, 3))
    x, weight = graph.low(x), layer.weight
    if layer.outputs == 0:
        x = graph.full(conv(graph, x, weight, padding=1))
    else:
        x = graph.full(conv_transpose(graph, x, weight, (2, 2), crop=1))
    if largest is not None:
        with graph.scope("range"):
            x = graph.op("Mul", x, graph.op("Mul", largest, graph.constant("scale", layer.scale)))
    if layer.outputs == 0:
        return x
    with graph.in_precision(torch.float32):
        return upfirdn2d(graph, x, weight.shape[1], layer.taps, padding=(1, 1, 1, 1))


def _finish(graph: GraphBuilder, x: Value, w: Value, layer: Any) -> Value:
    """Noise, bias, leaky ReLU and adaptive instance normalisation."""
    strength, scale, shift = _style(graph, w, layer)
    x = graph.op("Add", x, graph.op("Mul", graph.constant("noise", layer.noise), strength))
    x = graph.op("Add", x, graph.constant("bias", layer.bias[:, None, None]))
    with graph.in_precision(torch.float32):
        x = leaky_relu(graph, x)
    with graph.scope("normalise"):
        space = graph.integers(2, 3)
        x = graph.op("Sub", x, graph.op("ReduceMean", x, space, keepdims=1))
        variance = graph.op("ReduceMean", graph.op("Mul", x, x), space, keepdims=1)
        std = graph.op("Sqrt", graph.op("Add", variance, graph.constant("epsilon", torch.tensor(EPSILON))))
        x = graph.op("Mul", x, graph.op("Div", scale, std))
    return graph.op("Add", x, shift)


def _style(graph: GraphBuilder, w: Value, layer: Any) -> list[Value]:
    """Strength of the noise, scale and shift, each ``(B, C, 1, 1)``.

    The strength is constant, and so is the noise: runtimes would multiply them once and keep C maps in place of one,
    256 MB at 1024 px. So it comes out of the affine layer too, from rows of zeros.
    """
    affine, channels = layer.style, len(layer.noise_strength)
    with graph.scope("style"):
        weight = torch.cat([torch.zeros_like(affine.weight[:channels]), affine.weight])
        bias = torch.cat([layer.noise_strength, affine.bias])
        style = graph.op("Unsqueeze", gemm(graph, w, weight, bias), graph.integers(2, 3))
        cuts = [(i * channels, (i + 1) * channels, 1) for i in range(3)]
        return [graph.op("Slice", style, *(graph.integers(n) for n in cut)) for cut in cuts]
