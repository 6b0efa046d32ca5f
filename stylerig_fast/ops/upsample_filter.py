"""The low-pass filter behind StyleGAN2's transposed convolutions, and all that follows it, in one pass."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from stylerig_fast.ops import _library
from stylerig_fast.ops._checks import FLOAT32, refuse_gradients
from stylerig_fast.ops.reference import upsample_filter as reference
from stylerig_fast.ops.styled_epilogue import check_out, check_styled, pixels

_library.register_without_gradient("upsample_filter")


def upsample_filter(
    x: Tensor,
    taps: Tensor,
    demodulation: Tensor,
    bias: Tensor,
    *,
    noise: Tensor | None = None,
    style: Tensor | None = None,
    clamp: float | None = None,
    out: Tensor | None = None,
    impl: _library.Impl = "auto",
) -> Tensor:
    """Filters the result of a transposed convolution and finishes it as `styled_epilogue` does.

    ``out = clamp(lrelu(filtered x · demodulation + noise + bias)) · style``. Nothing is rounded in between.

    Args:
        x: ``(B, C, H + 1, W + 1)`` float32, bfloat16 or float16; channels-last is not copied.
        taps: ``(4,)`` float32, of the filter in one direction; their sum is 2 behind a convolution of stride 2.
        demodulation: ``(B, C)`` float32; rows may lie apart.
        bias: ``(C,)`` float32.
        noise: ``(H, W)`` float32, its strength in it.
        style: ``(B, C)`` float32, of the next layer; rows may lie apart.
        clamp: activations are cut off at ± this.
        out: ``(B, C, H, W)`` channels-last in the dtype of ``x``, to write to.
        impl: which implementation, see ``stylerig_fast.ops``.

    Returns:
        ``out``, or a new tensor like it.

    Raises:
        ValueError: shapes, dtypes, devices or memory formats that do not fit.
        NotImplementedError: something requires a gradient; there is none.
    """
    op = "upsample_filter"
    if x.ndim != 4 or min(x.shape[2:]) < 1:
        raise ValueError(f"{op}: x has shape {tuple(x.shape)}, expected (B, C, H + 1, W + 1)")
    batch, channels, height, width = x.shape[0], x.shape[1], x.shape[2] - 1, x.shape[3] - 1
    shapes = check_styled(op, x, ("B", "C", height + 1, width + 1), demodulation, bias, None, style, clamp)
    shapes.check("taps", taps, (4,), FLOAT32)
    if noise is not None:
        shapes.check("noise", noise, (height, width), FLOAT32)
    if not taps.is_contiguous() or not (noise is None or noise.is_contiguous()):
        raise ValueError(f"{op}: taps and noise have to be contiguous")
    refuse_gradients(op, x, demodulation, bias, style)
    if out is None:
        out = x.new_empty(batch, height, width, channels).permute(0, 3, 1, 2)
    check_out(shapes, out, (batch, channels, height, width), x.dtype)
    if _library.choose(op, impl, x.device) == "reference":
        return out.copy_(reference.upsample_filter(x, taps, demodulation, bias, noise, style, clamp))
    limit = math.inf if clamp is None else clamp
    there = out.permute(0, 2, 3, 1)
    torch.ops.stylerig.upsample_filter(pixels(x), taps, demodulation, noise, bias, style, limit, there)
    return out
