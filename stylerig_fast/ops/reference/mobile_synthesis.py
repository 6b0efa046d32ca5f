"""MobileStyleGAN's synthesis network for one picture, in plain torch: the specification of `ops.mobile_synthesis`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

from stylerig_fast.generators.mobilestylegan import SLOPE, MobileStyleGAN, inverse_haar
from stylerig_fast.images import to_uint8

# In bfloat16 the blocks before this one (up to 16 px) stay float32: their errors decide what is drawn where.
FIRST_ROUNDED = 2


class First(NamedTuple):
    """The learnt constant ``(1, C, 4, 4)`` and the dense 3x3 convolution."""

    constant: Tensor
    style_weight: Tensor  # (C, w_dim)
    style_bias: Tensor  # (C,)
    weight: Tensor  # (C, C, 3, 3)
    bias: Tensor  # (C,)
    noise: Tensor  # (4, 4, 1)


class Conv(NamedTuple):
    """A depthwise 3x3 and a modulated 1x1 convolution of C to O channels."""

    style_weight: Tensor  # (C, w_dim)
    style_bias: Tensor  # (C,)
    depthwise: Tensor  # (C, 1, 3, 3)
    weight: Tensor  # (O, C)
    bias: Tensor  # (O,)
    noise: Tensor  # (side, side, 1)


class Block(NamedTuple):
    """Modulated inverse Haar transform and two convolutions."""

    style_weight: Tensor  # (C, w_dim)
    style_bias: Tensor  # (C,)
    conv1: Conv
    conv2: Conv


class Picture(NamedTuple):
    """The modulated 1x1 convolution to the picture's four bands."""

    style_weight: Tensor  # (C, w_dim)
    style_bias: Tensor  # (C,)
    weight: Tensor  # (12, C)
    bias: Tensor  # (12,)


class Head(NamedTuple):
    """A 1x1 convolution that makes a small picture of the features behind a block: 3 colours, or their four bands.

    It takes the features as they are, without a style.
    """

    weight: Tensor  # (3 or 12, C)
    bias: Tensor  # (3 or 12,)


class Network(NamedTuple):
    """The tensors of a synthesis network, float32 on the CPU."""

    first: First
    blocks: tuple[Block, ...]
    picture: Picture
    heads: Mapping[int, Head]  # by the block behind which they stand

    def tensors(self) -> Iterator[Tensor]:
        """All of them, in the order in which the kernels pack them."""
        yield from self.first
        for block in self.blocks:
            yield from block[:2]
            yield from block.conv1
            yield from block.conv2
        yield from self.picture
        for index in sorted(self.heads):
            yield from self.heads[index]


def network_of(generator: MobileStyleGAN, heads: Mapping[int, Head] | None = None) -> Network:
    """A generator's tensors by what they are for; views, where they are contiguous float32 already."""
    state = {name: value.detach().float().contiguous() for name, value in generator.state_dict().items()}

    def style(name: str) -> tuple[Tensor, Tensor]:
        return state[f"{name}.weight"], state[f"{name}.bias"]

    def conv(name: str) -> Conv:
        parts = [state[f"{name}.{part}"] for part in ("depthwise", "weight", "bias", "noise")]
        return Conv(*style(f"{name}.modulation"), *parts)

    first = [state[f"first.{part}"] for part in ("weight", "bias", "noise")]
    blocks = [f"blocks.{i}" for i in range(len(generator.channels) - 1)]
    return Network(
        First(state["first.const"], *style("first.modulation"), *first),
        tuple(Block(*style(f"{name}.up"), conv(f"{name}.conv1"), conv(f"{name}.conv2")) for name in blocks),
        Picture(*style("to_image.modulation"), *style("to_image")),
        {i: Head(*(part.detach().float().contiguous() for part in head)) for i, head in (heads or {}).items()},
    )


def mobile_synthesis(
    ws: Tensor, network: Network, resolution: int, head: int | None = None, dtype: torch.dtype = torch.float32
) -> Tensor:
    """One picture.

    Args:
        ws: ``(num_ws, w_dim)``.
        network: see `network_of`.
        resolution: twice the width of the last features, or that width over a power of two: the box mean.
        head: the block whose preview head makes the picture; None for the network's own last layer.
        dtype: bfloat16 rounds activations and weights from the block `FIRST_ROUNDED` on; styles and sums stay float32.

    Returns:
        ``(resolution, resolution, 3)`` RGB in about [-1, 1], not clamped.
    """
    ws = ws.to(network.first.constant)

    def rounded(x: Tensor, block: int) -> Tensor:
        return x.to(dtype).to(x) if block >= FIRST_ROUNDED else x

    def style(slot: int, weight: Tensor, bias: Tensor) -> Tensor:
        return F.linear(ws[slot], weight, bias)

    def convolve(x: Tensor, block: int, slot: int, conv: Conv) -> Tensor:
        depthwise = rounded(conv.depthwise * style(slot, *conv[:2])[:, None, None, None], block)
        x = F.conv2d(x.permute(0, 3, 1, 2), depthwise, padding=1, groups=len(depthwise)).permute(0, 2, 3, 1)
        x = F.linear(rounded(x, block), rounded(conv.weight, block)) + conv.noise + conv.bias
        return rounded(F.leaky_relu(x, SLOPE), block)

    first = network.first
    x = F.conv2d(first.constant * style(0, *first[1:3])[:, None, None], first.weight, padding=1).permute(0, 2, 3, 1)
    x = F.leaky_relu(x + first.noise + first.bias, SLOPE)
    last = len(network.blocks) - 1 if head is None else head
    for i, block in enumerate(network.blocks[: last + 1]):
        x = rounded(x, i)
        x = rounded(inverse_haar(x * style(2 * i + 1, *block[:2])), i)
        x = convolve(x, i, 2 * i + 1, block.conv1)
        x = convolve(x, i, 2 * i + 2, block.conv2)
    if head is None:
        picture = network.picture
        weight, bias = picture.weight * style(-1, *picture[:2]), picture.bias
    else:
        weight, bias = network.heads[head]
    if resolution > x.shape[2]:
        # The inverse Haar transform is linear, so it goes into the matrix.
        x = F.linear(x, rounded(four_pixels(weight), last), four_pixels(bias))[0]
        return x.unflatten(2, (2, 2, 3)).permute(0, 2, 1, 3, 4).reshape(resolution, resolution, 3)
    box = x.shape[2] // resolution
    x = F.avg_pool2d(x.permute(0, 3, 1, 2), box).permute(0, 2, 3, 1)
    return F.linear(rounded(x, last), rounded(weight[:3], last), bias[:3])[0]


def four_pixels(bands: Tensor) -> Tensor:
    """Twelve bands' rows of a matrix to the rows of four pixels: upper left, upper right, lower left, lower right."""
    low, rows, columns, both = bands.chunk(4)
    return torch.cat(
        [
            low + rows + columns + both,
            low + rows - columns - both,
            low - rows + columns - both,
            low - rows - columns + both,
        ]
    )


def to_bytes(picture: Tensor) -> Tensor:
    """From [-1, 1] to uint8, halves to even, NaN to 0."""
    return to_uint8(picture)
