"""Plain-torch ``mobile_synthesis``: MobileStyleGAN's synthesis network for one picture."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

from stylerig_fast.ops.reference.synthesis import SLOPE, four_pixels, inverse_haar

# In bfloat16 the blocks before this one (up to 16 px) stay float32: their errors decide what is drawn where.
FIRST_ROUNDED = 2


class FirstWeights(NamedTuple):
    """The learnt constant ``(1, C, 4, 4)`` and the dense 3x3 convolution."""

    constant: Tensor
    style_weight: Tensor  # (C, w_dim)
    style_bias: Tensor  # (C,)
    weight: Tensor  # (C, C, 3, 3)
    bias: Tensor  # (C,)
    noise: Tensor  # (4, 4, 1)


class ConvWeights(NamedTuple):
    """A depthwise 3x3 and a modulated 1x1 convolution of C to O channels."""

    style_weight: Tensor  # (C, w_dim)
    style_bias: Tensor  # (C,)
    depthwise: Tensor  # (C, 1, 3, 3)
    weight: Tensor  # (O, C)
    bias: Tensor  # (O,)
    noise: Tensor  # (side, side, 1)


class BlockWeights(NamedTuple):
    """Modulated inverse Haar transform and two convolutions."""

    style_weight: Tensor  # (C, w_dim)
    style_bias: Tensor  # (C,)
    conv1: ConvWeights
    conv2: ConvWeights


class PictureWeights(NamedTuple):
    """The modulated 1x1 convolution to the picture's four bands."""

    style_weight: Tensor  # (C, w_dim)
    style_bias: Tensor  # (C,)
    weight: Tensor  # (12, C)
    bias: Tensor  # (12,)


class MobileWeights(NamedTuple):
    """The tensors of a synthesis network, contiguous float32 on the CPU."""

    first: FirstWeights
    blocks: tuple[BlockWeights, ...]  # from 8 px on, each of twice the width of the one before it
    picture: PictureWeights

    @property
    def channels(self) -> tuple[int, ...]:
        """Of the features at 4 px, 8 px, ..."""
        return len(self.first.bias), *(len(block.conv2.bias) for block in self.blocks)

    @property
    def num_ws(self) -> int:
        """Slots of a code."""
        return 2 * len(self.blocks) + 2

    @property
    def w_dim(self) -> int:
        """Size of a slot."""
        return self.first.style_weight.shape[1]

    @property
    def resolution(self) -> int:
        """Width and height of the whole picture."""
        return 8 << len(self.blocks)

    def tensors(self) -> Iterator[Tensor]:
        """All of them, in the order in which the kernels pack them."""
        yield from self.first
        for block in self.blocks:
            yield from block[:2]
            yield from block.conv1
            yield from block.conv2
        yield from self.picture


def mobile_synthesis(ws: Tensor, weights: MobileWeights, resolution: int, dtype: torch.dtype = torch.float32) -> Tensor:
    """One picture.

    Args:
        ws: ``(num_ws, w_dim)``.
        weights: the network's.
        resolution: that of the whole picture, or half of it over a power of two: the box mean.
        dtype: bfloat16 rounds activations and weights from the block `FIRST_ROUNDED` on; styles and sums stay float32.

    Returns:
        ``(resolution, resolution, 3)`` RGB in about [-1, 1], not clamped.
    """
    first, picture = weights.first, weights.picture
    ws = ws.to(first.constant)

    def rounded(x: Tensor, block: int) -> Tensor:
        return x.to(dtype).to(x) if block >= FIRST_ROUNDED else x

    def style(slot: int, weight: Tensor, bias: Tensor) -> Tensor:
        return F.linear(ws[slot], weight, bias)

    def convolve(x: Tensor, block: int, slot: int, conv: ConvWeights) -> Tensor:
        depthwise = rounded(conv.depthwise * style(slot, *conv[:2])[:, None, None, None], block)
        x = F.conv2d(x.permute(0, 3, 1, 2), depthwise, padding=1, groups=len(depthwise)).permute(0, 2, 3, 1)
        x = F.linear(rounded(x, block), rounded(conv.weight, block)) + conv.noise + conv.bias
        return rounded(F.leaky_relu(x, SLOPE), block)

    x = F.conv2d(first.constant * style(0, *first[1:3])[:, None, None], first.weight, padding=1).permute(0, 2, 3, 1)
    x = F.leaky_relu(x + first.noise + first.bias, SLOPE)
    for i, block in enumerate(weights.blocks):
        x = rounded(x, i)
        x = rounded(inverse_haar(x * style(2 * i + 1, *block[:2])), i)
        x = convolve(x, i, 2 * i + 1, block.conv1)
        x = convolve(x, i, 2 * i + 2, block.conv2)
    last = len(weights.blocks) - 1
    weight, bias = picture.weight * style(-1, *picture[:2]), picture.bias
    if resolution > x.shape[2]:
        # The inverse Haar transform is linear, so it goes into the matrix.
        x = F.linear(x, rounded(four_pixels(weight), last), four_pixels(bias))[0]
        return x.unflatten(2, (2, 2, 3)).permute(0, 2, 1, 3, 4).reshape(resolution, resolution, 3)
    box = x.shape[2] // resolution
    x = F.avg_pool2d(x.permute(0, 3, 1, 2), box).permute(0, 2, 3, 1)
    return F.linear(rounded(x, last), rounded(weight[:3], last), bias[:3])[0]
