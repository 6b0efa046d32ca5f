"""Plain-torch ``styled_epilogue``."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

from stylerig_fast.images import to_uint8

SLOPE = 0.2


class ToRgb(NamedTuple):
    """The picture of a resolution: a 1x1 convolution of the activations, on top of the doubled picture below.

    Attributes:
        weight: ``(B, 3, C)`` float32, the style in it.
        bias: ``(3,)`` float32.
        skip: ``(B, H / 2, W / 2, 3)`` float32, the picture below; None at the lowest resolution.
        taps: ``(4,)`` float32, the filter of the doubling in one direction, its sum 2.
    """

    weight: Tensor
    bias: Tensor
    skip: Tensor | None
    taps: Tensor


def activate(x: Tensor, demodulation: Tensor, noise: Tensor | None, bias: Tensor, clamp: float | None) -> Tensor:
    """Demodulation, noise, bias, leaky ReLU and cut-off of ``x (B, C, H, W)``, in float32."""
    x = x.float() * demodulation[:, :, None, None]
    x = (x if noise is None else x + noise) + bias[:, None, None]
    x = F.leaky_relu(x, SLOPE)
    return x if clamp is None else x.clamp(-clamp, clamp)


def double(skip: Tensor, taps: Tensor) -> Tensor:
    """A picture ``(B, h, w, 3)`` at twice the resolution: zeros between the pixels, then the filter."""
    kernel = torch.outer(taps, taps).expand(3, 1, 4, 4)
    # As if padded by 3 on all sides, of which the filter needs 2 and 1.
    wide = F.conv_transpose2d(skip.permute(0, 3, 1, 2), kernel, stride=2, groups=3)
    return wide[:, :, 1:-1, 1:-1].permute(0, 2, 3, 1)


def styled_epilogue(
    x: Tensor,
    demodulation: Tensor,
    bias: Tensor,
    noise: Tensor | None,
    style: Tensor | None,
    clamp: float | None,
    rgb: ToRgb | None,
) -> tuple[Tensor, Tensor | None]:
    """See ``stylerig_fast.ops.styled_epilogue``; returns what goes to ``out``, and the picture as float32."""
    y = activate(x, demodulation, noise, bias, clamp)
    image = None
    if rgb is not None:
        image = torch.einsum("bchw,bkc->bhwk", y, rgb.weight) + rgb.bias
        if clamp is not None:
            image = image.clamp(-clamp, clamp)
        if rgb.skip is not None:
            image = image + double(rgb.skip, rgb.taps)
    return (y if style is None else y * style[:, :, None, None]).to(x.dtype), image


def to_bytes(image: Tensor) -> Tensor:
    """From [-1, 1] to uint8, halves to even, NaN to 0."""
    return to_uint8(image)
