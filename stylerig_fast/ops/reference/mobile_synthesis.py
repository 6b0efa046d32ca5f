"""MobileStyleGAN's synthesis network for one picture, in plain torch: the specification of `ops.mobile_synthesis`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

from stylerig_fast.generators.mobilestylegan import SLOPE, MobileStyleGAN, inverse_haar


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
        dtype: bfloat16 rounds both sides of every matrix product before a picture's last one.

    Returns:
        ``(resolution, resolution, 3)`` RGB in about [-1, 1], not clamped.
    """
    ws = ws.to(network.first.constant)

    def product(x: Tensor, weight: Tensor) -> Tensor:
        return F.linear(x.to(dtype).to(x), weight.to(dtype).to(x))

    def style(slot: int, weight: Tensor, bias: Tensor) -> Tensor:
        return F.linear(ws[slot], weight, bias)

    def convolve(x: Tensor, slot: int, conv: Conv) -> Tensor:
        depthwise = conv.depthwise * style(slot, *conv[:2])[:, None, None, None]
        x = F.conv2d(x.permute(0, 3, 1, 2), depthwise, padding=1, groups=len(depthwise))
        x = product(x.permute(0, 2, 3, 1), conv.weight)
        return F.leaky_relu(x + conv.noise + conv.bias, SLOPE)

    first = network.first
    taps = F.unfold(first.constant * style(0, *first[1:3])[:, None, None], 3, padding=1).mT
    x = product(taps, first.weight.flatten(1)).unflatten(1, (4, 4))
    x = F.leaky_relu(x + first.noise + first.bias, SLOPE)
    for i, block in enumerate(network.blocks[: None if head is None else head + 1]):
        x = inverse_haar(x * style(2 * i + 1, *block[:2]))
        x = convolve(x, 2 * i + 1, block.conv1)
        x = convolve(x, 2 * i + 2, block.conv2)
    if head is None:
        picture = network.picture
        weight, bias = picture.weight * style(-1, *picture[:2]), picture.bias
    else:
        weight, bias = network.heads[head]
    if resolution > x.shape[2]:
        return inverse_haar(F.linear(x, weight, bias))[0]
    box = x.shape[2] // resolution
    return F.avg_pool2d(F.linear(x, weight[:3], bias[:3])[0].permute(2, 0, 1), box).permute(1, 2, 0)


def to_bytes(picture: Tensor) -> Tensor:
    """From [-1, 1] to uint8, halves to even."""
    return picture.add(1).mul(127.5).round().clamp(0, 255).byte()
