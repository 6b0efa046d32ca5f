"""MobileStyleGAN's weights as `MobileCudaSynthesis` keeps them, and what a code makes of them in two products."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

from stylerig_fast.generators.compiled.mobilestylegan import weights_of
from stylerig_fast.generators.mobilestylegan import MobileStyleGAN
from stylerig_fast.ops.reference.mobile_synthesis import ConvWeights
from stylerig_fast.ops.reference.synthesis import four_pixels


class PackedLayer(NamedTuple):
    """Constants of a depthwise and a 1x1 convolution."""

    depthwise: Tensor  # (3, 3, C)
    weight: Tensor  # (O, C) in the precision of the product
    bias: Tensor  # (O,)
    noise: Tensor  # (side, side), its strength in it


class LayerScales(NamedTuple):
    """What a code makes of a layer: the scales of its input channels, and of the bands in front of it."""

    style: Tensor  # (B, C)
    bands: Tensor | None  # (B, 4C), of the first layer of a block


class CodeTables:
    """What is linear in the code: the activations at 4 px and all styles.

    The first layer convolves a constant times a style; both are linear in the code of slot 0, and so is what they make:
    one matrix, computed in float64. The styles of the other slots are products of one size, padded to the longest.
    """

    def __init__(self, generator: MobileStyleGAN) -> None:
        parts = weights_of(generator)
        first, picture = parts.first, parts.picture
        self._channels = generator.channels
        # Columns of this matrix are codes, and one more, the part that no code changes.
        styles = torch.cat([first.style_weight, first.style_bias[:, None]], 1).double()
        inputs = first.constant.double() * styles.mT[:, :, None, None]
        made = F.conv2d(inputs, first.weight.double(), padding=1).permute(0, 2, 3, 1).flatten(1).float()
        self._first = made[:-1].contiguous(), made[-1].contiguous()  # (w_dim, 16 C), (16 C,)
        rows: list[list[Sequence[Tensor]]] = []  # per slot from 1 on: matrices and biases of its styles
        for block in parts.blocks:
            rows += [[block[:2], block.conv1[:2]], [block.conv2[:2]]]
        rows.append([picture[:2]])
        self._sizes = [[len(bias) for _, bias in styles] for styles in rows]
        # Whole packs of four, so that every style starts at one if the channels are such packs.
        most = -(-max(map(sum, self._sizes)) // 4) * 4
        matrices = [torch.cat([matrix for matrix, _ in styles]) for styles in rows]
        biases = [torch.cat([bias for _, bias in styles]) for styles in rows]
        self._weight = torch.stack([F.pad(m, (0, 0, 0, most - len(m))) for m in matrices]).mT.contiguous()
        self._bias = torch.stack([F.pad(b, (0, most - len(b))) for b in biases])[:, None]

    def first(self, ws: Tensor) -> Tensor:
        """The activations at 4 px of codes ``(B, num_ws, w_dim)``, without noise and bias: ``(B, 4, 4, C)``."""
        matrix, constant = self._first
        return torch.addmm(constant, ws[:, 0], matrix).view(len(ws), 4, 4, self._channels[0])

    def scales(self, ws: Tensor) -> Iterator[LayerScales]:
        """Those of every layer, in order, and of the picture; one product for all of them."""
        styles = torch.baddbmm(self._bias, ws[:, 1:].transpose(0, 1), self._weight)  # (slots, B, most)
        for row, sizes in zip(styles, self._sizes, strict=True):
            last = row[:, sum(sizes[:-1]) : sum(sizes)]
            yield LayerScales(last, row[:, : sizes[0]] if len(sizes) == 2 else None)


def pack(generator: MobileStyleGAN, dtype: torch.dtype) -> list[PackedLayer]:
    """The layers behind the one at 4 px, two per block."""
    return [_packed(conv, dtype) for block in weights_of(generator).blocks for conv in (block.conv1, block.conv2)]


def pack_picture(generator: MobileStyleGAN) -> dict[int, tuple[Tensor, Tensor]]:
    """The last layer's weights ``(O, C)`` and biases ``(O,)`` by O: 12, and 3 for the mean of the four pixels."""
    picture = weights_of(generator).picture
    four = four_pixels(picture.weight), four_pixels(picture.bias)
    return {12: four, 3: (picture.weight[:3].clone(), picture.bias[:3].clone())}


def _packed(conv: ConvWeights, dtype: torch.dtype) -> PackedLayer:
    depthwise = conv.depthwise[:, 0].permute(1, 2, 0).contiguous()
    # Copies: later changes to the generator are not seen.
    return PackedLayer(depthwise, conv.weight.to(dtype, copy=True), conv.bias.clone(), conv.noise[:, :, 0].clone())
