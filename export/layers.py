"""Layers that graphs are made of. Weights are always initializers, laid out as ONNX wants them.

Activations are ``(B, C, H, W)`` in the graph's precision; codes, styles and demodulation are float32.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from stylerig_fast.generators.layers import EPSILON, ModulatedConv
from stylerig_fast.ops.reference.synthesis import SLOPE

from .graph import GraphBuilder, Value

Padding = tuple[int, int, int, int]


def gemm(graph: GraphBuilder, x: Value, weight: Tensor, bias: Tensor | None = None) -> Value:
    """``x (B, N)`` times ``weight (M, N)`` transposed, plus ``bias (M,)``, in float32: ``(B, M)``."""
    inputs = [x, graph.constant("weight", weight)]
    if bias is not None:
        inputs.append(graph.constant("bias", bias))
    return graph.op("Gemm", *inputs, transB=1)


def linear(graph: GraphBuilder, x: Value, layer: nn.Linear) -> Value:
    """A linear layer of ``(B, C)``."""
    return gemm(graph, x, layer.weight, layer.bias)


def slot(graph: GraphBuilder, ws: Value, index: int) -> Value:
    """The code of one slot: ``(B, num_ws, w_dim)`` -> ``(B, w_dim)``."""
    with graph.scope("ws"):
        row = graph.op("Slice", ws, *(graph.integers(n) for n in (index, index + 1, 1)))
        return graph.op("Squeeze", row, graph.integers(1))


def per_channel(graph: GraphBuilder, values: Value) -> Value:
    """Float32 ``(B, C)`` as factors of an activation: ``(B, C, 1, 1)`` in the graph's precision."""
    return graph.op("Unsqueeze", graph.low(values), graph.integers(2, 3))


def conv(
    graph: GraphBuilder,
    x: Value,
    weight: Tensor,
    bias: Tensor | None = None,
    padding: Padding | int = 0,
    stride: tuple[int, int] = (1, 1),
    groups: int = 1,
) -> Value:
    """A convolution with ``weight (outputs, inputs / groups, kh, kw)``; padding as left, right, top, bottom."""
    left, right, top, bottom = (padding,) * 4 if isinstance(padding, int) else padding
    inputs = [x, graph.constant("weight", weight, graph.precision)]
    if bias is not None:
        inputs.append(graph.constant("bias", bias, graph.precision))
    kernel = list(weight.shape[2:])
    pads = [top, left, bottom, right]
    return graph.op("Conv", *inputs, group=groups, kernel_shape=kernel, pads=pads, strides=list(stride))


def conv_transpose(
    graph: GraphBuilder,
    x: Value,
    weight: Tensor,
    stride: tuple[int, int],
    crop: Padding | int = 0,
    groups: int = 1,
) -> Value:
    """A transposed convolution with ``weight (inputs, outputs / groups, kh, kw)``; crop as left, right, top, bottom.

    In bfloat16 it is written without ConvTranspose, which TensorRT for RTX does not have in that type: dense ones with
    the same stride both ways as a convolution that makes all samples between two of the input's (`_subpixel_conv`),
    others, which are filters of single channels, in float32.
    """
    if graph.precision == torch.bfloat16:
        if groups == 1 and stride[0] == stride[1]:
            return _subpixel_conv(graph, x, weight, stride[0], crop)
        return without_bfloat16(graph, x, lambda y: conv_transpose(graph, y, weight, stride, crop, groups))
    left, right, top, bottom = (crop,) * 4 if isinstance(crop, int) else crop
    inputs = (x, graph.constant("weight", weight, graph.precision))
    kernel = list(weight.shape[2:])
    pads = [top, left, bottom, right]
    return graph.op("ConvTranspose", *inputs, group=groups, kernel_shape=kernel, pads=pads, strides=list(stride))


def without_bfloat16(graph: GraphBuilder, x: Value, layer: Callable[[Value], Value]) -> Value:
    """``layer(x)`` in the graph's precision, in place of bfloat16 in float32.

    What follows each other belongs into one call: TensorRT for RTX 1.7 builds StyleGAN3 in two seconds so, and had not
    built it after three minutes with bfloat16 between the filters along y and along x.
    """
    if graph.precision != torch.bfloat16:
        return layer(x)
    with graph.in_precision(torch.float32):
        y = layer(graph.cast(x, torch.float32))
    return graph.low(y)


def _subpixel_conv(graph: GraphBuilder, x: Value, weight: Tensor, stride: int, crop: Padding | int) -> Value:
    """`conv_transpose` as a convolution with ``stride`` squared times the outputs, laid out in space.

    Sample ``stride * q + r`` is the sum over j of ``x[q - j] weight[stride * j + r]``: one kernel for each r.
    """
    left, right, top, bottom = (crop,) * 4 if isinstance(crop, int) else crop
    inputs, outputs, kh, kw = weight.shape
    high, wide = -(-kh // stride), -(-kw // stride)
    # Taps that are missing in the last kernels are zeros, and so is what they make behind the last sample.
    more_y, more_x = stride * high - kh, stride * wide - kw
    phases = F.pad(weight, (0, more_x, 0, more_y)).view(inputs, outputs, high, stride, wide, stride)
    kernel = phases.permute(3, 5, 1, 0, 2, 4).flip(4, 5).reshape(-1, inputs, high, wide)
    x = conv(graph, x, kernel, padding=(wide - 1, wide - 1, high - 1, high - 1))
    x = graph.op("DepthToSpace", x, blocksize=stride, mode="DCR")
    return pad(graph, x, (-left, -right - more_x, -top, -bottom - more_y))


def leaky_relu(graph: GraphBuilder, x: Value, clamp: float | None = None) -> Value:
    """The leaky ReLU of StyleGAN, clamped on request."""
    x = graph.op("LeakyRelu", x, alpha=SLOPE)
    return x if clamp is None else clip(graph, x, clamp, graph.precision)


def clip(graph: GraphBuilder, x: Value, bound: float, dtype: torch.dtype) -> Value:
    """Cuts off at ± ``bound``."""
    bounds = (graph.constant(name, torch.tensor(value), dtype) for name, value in (("min", -bound), ("max", bound)))
    return graph.op("Clip", x, *bounds)


def upfirdn2d(
    graph: GraphBuilder,
    x: Value,
    channels: int,
    taps: Tensor,
    up: int = 1,
    down: int = 1,
    padding: Padding = (0, 0, 0, 0),
) -> Value:
    """`generators.layers.upfirdn2d` of a value with so many channels, as depthwise (transposed) convolutions."""
    left, right, top, bottom = padding
    if taps.ndim == 2:
        return _filter(graph, x, channels, taps, (up, up), (down, down), padding)
    x = _filter(graph, x, channels, taps[None], (1, up), (1, down), (left, right, 0, 0))
    return _filter(graph, x, channels, taps[:, None], (up, 1), (down, 1), (0, 0, top, bottom))


def _filter(
    graph: GraphBuilder,
    x: Value,
    channels: int,
    taps: Tensor,
    up: tuple[int, int],
    down: tuple[int, int],
    padding: Padding,
) -> Value:
    left, right, top, bottom = padding
    kh, kw = taps.shape
    with graph.scope("filter"):
        if up == (1, 1):
            x, inner = _crop(graph, x, padding)
            kernel = taps.flip(0, 1).expand(channels, 1, kh, kw)
            return conv(graph, x, kernel, padding=inner, stride=down, groups=channels)
        # The transposed convolution is as if padded by k - 1 on all sides, and leaves out the zeros behind the last
        # sample.
        kernel = taps.expand(channels, 1, kh, kw)
        crop = (kw - 1 - left, kw - up[1] - right, kh - 1 - top, kh - up[0] - bottom)
        if min(crop) < 0:
            x = conv_transpose(graph, x, kernel, up, groups=channels)
            x = pad(graph, x, (-crop[0], -crop[1], -crop[2], -crop[3]))
        else:
            x = conv_transpose(graph, x, kernel, up, crop, groups=channels)
        if down == (1, 1):
            return x
        end = 2**62
        return graph.op(
            "Slice", x, graph.integers(0, 0), graph.integers(end, end), graph.integers(2, 3), graph.integers(*down)
        )


def _crop(graph: GraphBuilder, x: Value, padding: Padding) -> tuple[Value, Padding]:
    """What a convolution can still pad itself; negative padding is cropped before it."""
    if min(padding) >= 0:
        return x, padding
    return pad(graph, x, padding), (0, 0, 0, 0)


def pad(graph: GraphBuilder, x: Value, padding: Padding) -> Value:
    """Zeros around (left, right, top, bottom); negative numbers crop."""
    if not any(padding):
        return x
    left, right, top, bottom = padding
    return graph.op("Pad", x, graph.integers(0, 0, top, left, 0, 0, bottom, right), mode="constant")


def modulated_conv(graph: GraphBuilder, x: Value, w: Value, layer: ModulatedConv) -> Value:
    """`generators.layers.ModulatedConv` of the code ``w``.

    Args:
        graph: its precision is that of the layer's weights (`ModulatedConv.round_weights`).
        x: activation with one dimension per input channel.
        w: ``(B, w_dim)``.
        layer: its weights stay constant, styles and demodulation scale the activations.

    Returns:
        In the graph's precision if demodulated, else in float32.
    """
    s = linear(graph, w, layer.affine)
    factor: Value | None = None
    if layer.demodulate:
        with graph.scope("demodulate"):
            sums = gemm(graph, graph.op("Mul", s, s), layer.squares, torch.full((len(layer.squares),), EPSILON))
            constant = graph.constant("gain", torch.tensor(layer.gain))
            factor = graph.op("Div", constant, graph.op("Sqrt", sums))
    if layer.scale is not None:
        with graph.scope("range"):
            s, largest = normalised(graph, s)
            gain = 1.0 if layer.demodulate else layer.gain
            back = graph.op("Mul", largest, graph.constant("scale", layer.scale * gain))
            factor = back if factor is None else graph.op("Mul", back, factor)
    elif factor is None and layer.gain != 1:
        factor = graph.constant("gain", torch.full((1, layer.weight.shape[0]), layer.gain))
    x = graph.op("Mul", x, per_channel(graph, s))
    if layer.taps is None:
        x = conv(graph, x, layer.weight, padding=layer.padding)
    else:
        x = conv_transpose(graph, x, layer.weight, (2, 2))
        x = upfirdn2d(graph, x, layer.weight.shape[1], layer.taps, padding=layer._around)
    if layer.demodulate:
        assert factor is not None
        return graph.op("Mul", x, per_channel(graph, factor))
    x = graph.full(x)
    return x if factor is None else graph.op("Mul", x, graph.op("Unsqueeze", factor, graph.integers(2, 3)))


def normalised(graph: GraphBuilder, x: Value, axes: Sequence[int] = (1,)) -> tuple[Value, Value]:
    """A float32 value divided by its largest magnitude per sample, and that magnitude: fit for float16."""
    largest = graph.op("ReduceMax", graph.op("Abs", x), graph.integers(*axes), keepdims=1)
    tiny = graph.constant("tiny", torch.tensor(torch.finfo(torch.float32).tiny))
    largest = graph.op("Max", largest, tiny)
    return graph.op("Div", x, largest), largest
