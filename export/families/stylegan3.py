"""StyleGAN3 as a graph: whole layers, where the eager module works on tiles."""

from __future__ import annotations

import copy
import math
from typing import Any

import torch

from stylerig_fast.generators.base import Generator
from stylerig_fast.generators.stylegan3 import FourierFeatures, StyleGAN3
from stylerig_fast.generators.stylegan3_layer import FilteredLayer

from ..graph import GraphBuilder, Value
from ..layers import clip, conv, conv_transpose, gemm, leaky_relu, linear, pad, per_channel, slot, without_bfloat16
from ..picture import resized


def synthesis(graph: GraphBuilder, generator: Generator, ws: Value, resolution: int) -> Value:
    """The picture ``(B, 3, resolution, resolution)`` in float32 of the codes ``ws``."""
    assert isinstance(generator, StyleGAN3)
    net: Any = copy.deepcopy(generator).set_precision(graph.precision)
    with graph.scope("waves"), graph.in_precision(torch.float32):
        x = _waves(graph, net.waves, slot(graph, ws, 0))
    before = torch.float32
    for i, layer in enumerate([*net.layers, net.colours]):
        name = "colours" if layer.colours else f"layers.{i}"
        # Layers of low sampling rates stay in float32, as in the published networks.
        precision = layer.weight.dtype
        with graph.scope(name), graph.in_precision(precision):
            x = x if before == precision else graph.cast(x, precision)
            x = _layer(graph, layer, x, slot(graph, ws, i + 1))
        before = precision
    image = x if before == torch.float32 else graph.cast(x, torch.float32)
    return resized(graph, image, generator.resolution, resolution)


def _waves(graph: GraphBuilder, features: FourierFeatures, w: Value) -> Value:
    """The waves ``(B, C, size, size)`` of the code, mixed. See `FourierFeatures.forward`."""
    signal = features.signal
    moved = graph.op("MatMul", _movement(graph, features, w), graph.constant("transform", features.transform))
    moved = graph.op("MatMul", graph.constant("frequencies", features.frequencies), moved)  # (B, C, 3)
    frequencies, shift = (graph.op("Slice", moved, *(graph.integers(n) for n in cut)) for cut in ((0, 2, 2), (2, 3, 2)))
    with graph.scope("amplitudes"):
        norm = graph.op("ReduceSum", graph.op("Mul", frequencies, frequencies), graph.integers(2), keepdims=1)
        band = signal.rate / 2 - signal.cutoff
        scale, offset = (
            graph.constant(name, torch.tensor(value))
            for name, value in (("scale", -1 / band), ("offset", 1 + signal.cutoff / band))
        )
        amplitudes = graph.op("Add", graph.op("Mul", graph.op("Sqrt", norm), scale), offset)
        zero, one = (graph.constant(name, torch.tensor(value)) for name, value in (("zero", 0.0), ("one", 1.0)))
        amplitudes = graph.op("Unsqueeze", graph.op("Clip", amplitudes, zero, one), graph.integers(3))
    phases = graph.op("Add", shift, graph.constant("phases", features.phases[:, None]))
    at = (torch.arange(signal.size) - (signal.size - 1) / 2) / signal.rate
    along_x, along_y = (
        graph.op("Mul", _axis(graph, frequencies, axis), graph.constant("at", at.view(shape)))
        for axis, shape in ((0, (1, -1)), (1, (-1, 1)))
    )
    cycles = graph.op("Add", along_x, along_y)
    cycles = graph.op("Add", cycles, graph.op("Unsqueeze", phases, graph.integers(3)))
    x = graph.op("Sin", graph.op("Mul", cycles, graph.constant("turn", torch.tensor(2 * math.pi))))
    return conv(graph, graph.op("Mul", x, amplitudes), features.weight[:, :, None, None])


def _movement(graph: GraphBuilder, features: FourierFeatures, w: Value) -> Value:
    """The first two rows ``(B, 2, 3)`` of the code's shift followed by its rotation."""
    with graph.scope("affine"):
        t = linear(graph, w, features.affine)
        turn = graph.op("Slice", t, *(graph.integers(n) for n in (0, 2, 1)))
        norm = graph.op("ReduceSum", graph.op("Mul", turn, turn), graph.integers(1), keepdims=1)
        t = graph.op("Div", t, graph.op("Sqrt", norm))
        cosine, sine, right, down = (
            graph.op("Slice", t, *(graph.integers(n) for n in (i, i + 1, 1))) for i in range(4)
        )
        x = graph.op("Sub", graph.op("Mul", sine, down), graph.op("Mul", cosine, right))
        y = graph.op("Neg", graph.op("Add", graph.op("Mul", sine, right), graph.op("Mul", cosine, down)))
        rows = graph.op("Concat", cosine, graph.op("Neg", sine), x, sine, cosine, y, axis=1)
        return graph.op("Reshape", rows, graph.integers(-1, 2, 3))


def _axis(graph: GraphBuilder, frequencies: Value, axis: int) -> Value:
    """``(B, C, 2)`` -> those along x (0) or y (1), ``(B, C, 1, 1)``."""
    one = graph.op("Slice", frequencies, *(graph.integers(n) for n in (axis, axis + 1, 2)))
    return graph.op("Unsqueeze", one, graph.integers(3))


def _layer(graph: GraphBuilder, layer: FilteredLayer, x: Value, w: Value) -> Value:
    """Modulated convolution, upsampling, leaky ReLU, downsampling."""
    plan = layer.plan
    span = plan.span(0, plan.after.size)
    style, scale = _styles(graph, layer, w)
    x = graph.op("Mul", x, per_channel(graph, style))
    # The convolution sees all that its kernel reaches, less what the span leaves out.
    around = plan.kernel - 1 - span.low, plan.kernel - 1 - (plan.convolved - span.high)
    x = pad(graph, x, tuple(min(n, 0) for n in around * 2))  # type: ignore[arg-type]
    inside = tuple(max(n, 0) for n in around * 2)
    x = conv(graph, x, layer.weight, None if scale else layer.bias, padding=inside)  # type: ignore[arg-type]
    if scale is not None:
        x = graph.op("Mul", x, per_channel(graph, scale))
        x = graph.op("Add", x, graph.constant("bias", layer.bias[:, None, None], graph.precision))
    x = pad(graph, x, (span.zeros_before, span.zeros_after) * 2)
    channels = plan.after.channels
    if layer.up_taps is not None:
        with graph.scope("up"):
            x = without_bfloat16(graph, x, lambda y: _upsampled(graph, layer, y, span.crop))
    elif span.crop:
        x = pad(graph, x, (-span.crop,) * 4)
    if not layer.colours:
        x = leaky_relu(graph, x, layer.clamp)
    elif layer.clamp is not None:
        x = clip(graph, x, layer.clamp, graph.precision)
    if layer.down_taps is not None:
        with graph.scope("down"):
            taps, down = layer.down_taps, plan.down
            if taps.ndim == 2:
                x = conv(graph, x, taps.expand(channels, 1, -1, -1), stride=(down, down), groups=channels)
            else:
                taps = taps.expand(channels, 1, 1, -1)
                x = conv(graph, x, taps, stride=(1, down), groups=channels)
                x = conv(graph, x, taps.mT, stride=(down, 1), groups=channels)
    made = _made(layer)
    if made == plan.after.size:
        return x
    # One more sample than needed has been made, since crops are the same at both ends.
    return pad(graph, x, (0, plan.after.size - made) * 2)


def _upsampled(graph: GraphBuilder, layer: FilteredLayer, x: Value, crop: int) -> Value:
    """Zeros between samples, then the filter, along y and along x."""
    up, channels = layer.plan.up, layer.plan.after.channels
    assert layer.up_taps is not None
    taps = layer.up_taps.expand(channels, 1, 1, -1)
    x = conv_transpose(graph, x, taps.mT, (up, 1), (0, 0, crop, crop), groups=channels)
    return conv_transpose(graph, x, taps, (1, up), (crop, crop, 0, 0), groups=channels)


def _styles(graph: GraphBuilder, layer: FilteredLayer, w: Value) -> tuple[Value, Value | None]:
    """Factors of the input's and of the output's channels."""
    style = linear(graph, w, layer.affine)
    if layer.colours:
        return style, None
    with graph.scope("demodulate"):
        mean = graph.op("ReduceMean", graph.op("Mul", style, style), graph.integers(1), keepdims=1)
        style = graph.op("Div", style, graph.op("Sqrt", mean))
        epsilon = torch.full((len(layer.squares),), layer.epsilon)
        sums = gemm(graph, graph.op("Mul", style, style), layer.squares, epsilon)
        gain = graph.constant("gain", 2**0.5 * layer.input_gain)
        return style, graph.op("Div", gain, graph.op("Sqrt", sums))


def _made(layer: FilteredLayer) -> int:
    """How many samples the filters make in one direction."""
    plan = layer.plan
    span = plan.span(0, plan.after.size)
    taps_up, taps_down = plan.reach
    size = span.zeros_before + span.high - span.low + span.zeros_after
    size = (size - 1) * plan.up + taps_up - 2 * span.crop
    return (size - taps_down) // plan.down + 1
