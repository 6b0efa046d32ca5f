"""StyleGAN2's weights as `StyleGAN2Synthesis` keeps them, and the styles of all layers in a few products."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

from stylerig_fast.generators.layers import EPSILON, ModulatedConv
from stylerig_fast.generators.stylegan2 import StyledConv, StyleGAN2


class LayerStyles(NamedTuple):
    """What a code makes of a convolution: scales before and behind it, and the weights of the picture behind it."""

    style: Tensor  # (B, inputs)
    demodulation: Tensor  # (B, outputs)
    rgb: Tensor | None  # (B, 3, outputs), behind the second convolution of a resolution


class LayerConstants(NamedTuple):
    """What is the same for every code."""

    weight: Tensor  # in the precision of the convolution, channels-last
    bias: Tensor  # (outputs,)
    noise: Tensor  # (side, side), its strength in it


def pack(layer: StyledConv, dtype: torch.dtype) -> LayerConstants:
    """A layer's constants; in float16, the weights are those that `ModulatedConv.round_weights` makes."""
    weight = _rounded(layer.conv, dtype).weight.detach()
    noise = (layer.noise * layer.noise_strength).detach()
    return LayerConstants(weight.contiguous(memory_format=torch.channels_last), layer.bias.detach().clone(), noise)


class StyleTables:
    """The affine layers and the tables of demodulation, padded to one size, so that a product takes all at once."""

    def __init__(self, generator: StyleGAN2, dtype: torch.dtype) -> None:
        convs = [layer.conv for layer in generator.layers()]
        pictures: list[ModulatedConv] = [block.to_rgb.conv for block in generator.blocks]  # type: ignore[union-attr, misc]
        most = max(generator.channels)
        self._inputs = [conv.affine.out_features for conv in convs]
        self._outputs = [conv.squares.shape[0] for conv in convs]
        affines = [conv.affine for conv in (*convs, *pictures)]
        # Slot k feeds convolution k, slot 2 i + 1 the picture of resolution i.
        slots = [*range(len(convs)), *range(1, 2 * len(pictures), 2)]
        self._slots = torch.tensor(slots, device=generator.w_mean.device)
        self._weight = torch.stack(
            [_padded(affine.weight, most, generator.w_dim) for affine in affines]
        ).mT.contiguous()
        self._bias = torch.stack([_padded(affine.bias[None], 1, most) for affine in affines])
        self._squares = torch.stack([_padded(conv.squares, most, most) for conv in convs]).mT.contiguous()
        gains = [torch.full_like(conv.squares[:, 0], conv.gain) for conv in convs]
        self._normalised = dtype == torch.float16
        if self._normalised:
            scales = [_rounded(conv, dtype).scale for conv in convs]
            gains = [gain * scale for gain, scale in zip(gains, scales, strict=True) if scale is not None]
        self._gains = torch.stack([_padded(gain[None], 1, most) for gain in gains])
        self._rgb = torch.stack([_padded(conv.weight[:, :, 0, 0], 3, most) for conv in pictures])[:, None]

    def layers(self, ws: Tensor) -> Iterator[LayerStyles]:
        """The layers of codes ``(B, num_ws, w_dim)``, in order; with six small operations for all of them."""
        count = len(self._outputs)
        codes = ws.index_select(1, self._slots).transpose(0, 1)
        styles = torch.baddbmm(self._bias, codes, self._weight)  # (layers and pictures, B, inputs)
        rgb = styles[count:, :, None] * self._rgb
        styles = styles[:count]
        factors = torch.bmm(styles.square(), self._squares).add_(EPSILON).rsqrt_().mul_(self._gains)
        if self._normalised:
            largest = styles.abs().amax(2, keepdim=True).clamp_min_(torch.finfo(torch.float32).tiny)
            styles, factors = styles / largest, factors.mul_(largest)
        for i, (inputs, outputs) in enumerate(zip(self._inputs, self._outputs, strict=True)):
            picture = rgb[i // 2, :, :, :outputs] if i % 2 == 0 else None
            yield LayerStyles(styles[i, :, :inputs], factors[i, :, :outputs], picture)


def _rounded(conv: ModulatedConv, dtype: torch.dtype) -> ModulatedConv:
    """A copy whose weights are rounded."""
    conv = copy.deepcopy(conv)
    conv.round_weights(dtype)
    return conv


@torch.no_grad()
def _padded(values: Tensor, rows: int, columns: int) -> Tensor:
    return F.pad(values, (0, columns - values.shape[1], 0, rows - values.shape[0]))
