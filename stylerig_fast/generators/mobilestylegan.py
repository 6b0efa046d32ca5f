"""MobileStyleGAN (Belousov et al., arXiv 2104.04767): a small student of StyleGAN2 that draws wavelet bands.

Activations are channels-last, ``(B, H, W, C)``: a 1x1 convolution is then one matrix product, and on the CPU a
depthwise one needs no reordering. Demodulation is static in this network, so a code only scales the input channels of a
layer; a depthwise convolution passes that scale on, and it is folded into the 1x1 weights behind it, where it costs no
pass over the activations.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import nullcontext
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from stylerig_fast.generators.base import Generator
from stylerig_fast.generators.precision import multiply, without_tf32
from stylerig_fast.ops.reference.synthesis import SLOPE, inverse_haar

CHANNELS = (512, 512, 512, 512, 512, 256, 128, 64)


class MobileStyleGAN(Generator):
    """The generator as one module: any batch, any device, differentiable in ``z`` and ``ws``.

    With the default channels: 16 slots, 1024 px, 7.2 GMAC per picture. Slot 0 feeds the convolution at 4 px; of block
    i, slot 2i+1 feeds the upsampling and the first convolution, slot 2i+2 the second; the last slot feeds the picture.

    The published weights hold each layer's noise map already multiplied by the layer's strength, which is nowhere else.
    Noise handed to `synthesis` is multiplied by the root mean square of the stored map instead: the strength up to a
    relative error of about 1/√(2n) for n values, 18 % at 4 px and 0.14 % at 512 px.

    In less than float32, convolutions and activations are in low precision; styles, modulation and the layer that makes
    the picture stay in float32.

    Attributes:
        strip_bytes: on the CPU a block works on strips of rows whose activations take about so many bytes. They stay in
            the caches, and the allocator hands the same memory out again, where it would map (and fault in) fresh pages
            for every whole layer: 1.6 times as fast on two cores. None works on whole layers, as on other devices.
        allow_tf32: let cuDNN round the convolutions' inputs to 10 bits on NVIDIA GPUs, torch's own default. False keeps
            pictures the same on every device.
    """

    family = "mobilestylegan"
    strip_bytes: int | None = 8 << 20
    allow_tf32: bool = False

    def __init__(
        self,
        channels: Sequence[int] = CHANNELS,
        w_dim: int = 512,
        mapping_layers: int = 8,
        name: str = "mobilestylegan-ffhq",
    ) -> None:
        """Makes an untrained network.

        Args:
            channels: of the layers at 4, 8, ... px; the picture is twice as wide as the last of these.
            w_dim: length of z and of the code of one slot.
            mapping_layers: fully connected layers from z to w.
            name: see `Generator`.
        """
        super().__init__()
        self.name = name
        self.channels = tuple(channels)
        self.w_dim = w_dim
        self.num_ws = 2 * len(channels)
        self.resolution = 4 * 2 ** len(channels)
        self.register_buffer("w_mean", torch.zeros(w_dim))
        self.mapping_layers = nn.ModuleList(nn.Linear(w_dim, w_dim) for _ in range(mapping_layers))
        self.first = _FirstConv(channels[0], w_dim)
        self.blocks = nn.ModuleList(
            _Block(channels[i], channels[i + 1], 2 ** (i + 3), w_dim) for i in range(len(channels) - 1)
        )
        self.to_image = _ToImage(channels[-1], w_dim)

    def config(self) -> dict[str, object]:
        return {
            "channels": list(self.channels),
            "w_dim": self.w_dim,
            "mapping_layers": len(self.mapping_layers),
            "name": self.name,
        }

    def mapping(self, z: Tensor) -> Tensor:
        self._check_z(z)
        x = z * torch.rsqrt(z.square().mean(1, keepdim=True) + 1e-8)
        for layer in self.mapping_layers:
            x = F.leaky_relu(layer(x), SLOPE) * 2**0.5
        return x

    @property
    def noise_sizes(self) -> tuple[int, ...]:
        return tuple(layer.noise.shape[0] for layer in self._noisy())

    def synthesis(self, ws: Tensor, resolution: int | None = None, noise: Sequence[Tensor] | None = None) -> Tensor:
        resolution = self._check_ws(ws, resolution)
        self._check_noise(noise, ws.shape[0])
        if ws.shape[0] == 0:
            return ws.new_zeros(0, 3, resolution, resolution)
        maps = None if noise is None else [layer.scaled(map_) for layer, map_ in zip(self._noisy(), noise, strict=True)]
        if ws.device.type == "cpu" and ws.shape[0] > 1:
            # One after the other: the layers of one picture are already more than the caches hold.
            each = [None if maps is None else [map_[i, None] for map_ in maps] for i in range(ws.shape[0])]
            pairs = zip(ws.split(1), each, strict=True)
            return torch.cat([self._synthesis(one, resolution, its) for one, its in pairs])
        with without_tf32() if ws.is_cuda and not self.allow_tf32 else nullcontext():
            return self._synthesis(ws, resolution, maps)

    def _synthesis(self, ws: Tensor, resolution: int, maps: list[Tensor] | None = None) -> Tensor:
        w = ws.unbind(1)
        bands = resolution == self.resolution
        x = self.first(w[0], None if maps is None else maps[0])
        for i, module in enumerate(self.blocks):
            block: _Block = module  # type: ignore[assignment]
            weights = block.modulate(w[2 * i + 1], w[2 * i + 2])
            noise = (None, None) if maps is None else (maps[2 * i + 1], maps[2 * i + 2])
            strips = [block(x, weights, top, bottom, noise) for top, bottom in self._strips(x, block)]
            if i == len(self.blocks) - 1:
                weight = self.to_image.modulate(w[-1])
                strips = [self.to_image(strip, weight, bands) for strip in strips]
            x = strips[0] if len(strips) == 1 else torch.cat(strips, dim=1)
        image = x.permute(0, 3, 1, 2)
        if image.shape[-1] > resolution:
            image = F.avg_pool2d(image, image.shape[-1] // resolution)
        return image.contiguous()

    def _noisy(self) -> Iterator[_Noisy]:
        """The layers with noise, in order."""
        yield self.first
        for block in self.blocks:
            yield block.conv1  # type: ignore[misc]
            yield block.conv2  # type: ignore[misc]

    def _round_weights(self, dtype: torch.dtype) -> None:
        for layer in self._noisy():
            layer.round_weights(dtype)

    def _strips(self, x: Tensor, block: _Block) -> list[tuple[int, int]]:
        """The rows of ``x`` that `block` works on at a time, as (top, bottom)."""
        rows = x.shape[1]
        count = 1
        if self.strip_bytes is not None and x.device.type == "cpu":
            layer = 4 * x.shape[1] * x.shape[2] * block.channels * x.element_size()
            count = min(max(1, round(layer / self.strip_bytes)), max(1, rows // 2))
        cuts = [rows * i // count for i in range(count + 1)]
        return list(pairwise(cuts))


class _Noisy(nn.Module):
    """A layer with noise."""

    noise: Tensor  # (side, side, 1), the layer's strength in it
    rounded: tuple[str, ...]  # parameters that are kept in low precision

    def scaled(self, noise: Tensor) -> Tensor:
        """Unit normal noise ``(B, 1, side, side)`` as this layer adds it, ``(B, side, side, 1)``."""
        strength = self.noise.to(noise.dtype).square().mean().sqrt()
        return (noise.permute(0, 2, 3, 1) * strength).to(self.noise.dtype)

    def round_weights(self, dtype: torch.dtype) -> None:
        self.noise = self.noise.to(dtype)
        for name in self.rounded:
            value = getattr(self, name)
            value.data = value.data.to(dtype)


class _FirstConv(_Noisy):
    """The learnt constant at 4 px and the one dense, modulated 3x3 convolution."""

    rounded = ("weight", "bias")

    def __init__(self, channels: int, w_dim: int) -> None:
        super().__init__()
        self.const = nn.Parameter(torch.randn(1, channels, 4, 4))
        self.modulation = nn.Linear(w_dim, channels)
        self.weight = nn.Parameter(torch.randn(channels, channels, 3, 3) / (9 * channels) ** 0.5)
        self.bias = nn.Parameter(torch.zeros(channels))
        self.register_buffer("noise", torch.zeros(4, 4, 1))

    def forward(self, w: Tensor, noise: Tensor | None) -> Tensor:
        """``(B, w_dim)`` -> ``(B, 4, 4, C)``."""
        x = multiply(self._convolve, self.const * self.modulation(w)[:, :, None, None], self.weight)
        return F.leaky_relu(x.permute(0, 2, 3, 1) + (self.noise if noise is None else noise), SLOPE)

    def _convolve(self, x: Tensor, weight: Tensor) -> Tensor:
        return F.conv2d(x, weight, self.bias.to(weight.dtype), padding=1)


class _Pointwise(nn.Module):
    """A modulated 1x1 convolution."""

    def __init__(self, inputs: int, outputs: int, w_dim: int) -> None:
        super().__init__()
        self.modulation = nn.Linear(w_dim, inputs)
        self.weight = nn.Parameter(torch.randn(outputs, inputs) / inputs**0.5)
        self.bias = nn.Parameter(torch.zeros(outputs))

    def modulate(self, w: Tensor) -> Tensor:
        """The weights for the codes ``w (B, w_dim)``, in the precision of the bias: ``(B, outputs, inputs)``."""
        return (self.weight * self.modulation(w)[:, None]).to(self.bias.dtype)

    def apply_weight(self, x: Tensor, weight: Tensor) -> Tensor:
        """``(B, H, W, inputs)`` -> ``(B, H, W, outputs)`` in the dtype of ``weight``, without the bias."""
        if weight.shape[0] == 1:
            return multiply(F.linear, x, weight[0])
        return multiply(torch.bmm, x.flatten(1, 2), weight.mT).unflatten(1, x.shape[1:3])


class _StyledConv(_Pointwise, _Noisy):
    """Depthwise 3x3 and modulated 1x1 convolution, noise, leaky ReLU."""

    rounded = ("depthwise", "bias")

    def __init__(self, inputs: int, outputs: int, size: int, w_dim: int) -> None:
        super().__init__(inputs, outputs, w_dim)
        self.depthwise = nn.Parameter(torch.randn(inputs, 1, 3, 3) / 3)
        self.register_buffer("noise", torch.zeros(size, size, 1))

    def forward(self, x: Tensor, weight: Tensor, top: int, noise: Tensor | None) -> Tensor:
        """``x (B, rows, W, inputs)`` holds the rows from ``top`` on; the picture is zero outside of them."""
        x = multiply(self._filter, x.permute(0, 3, 1, 2), self.depthwise)
        x = self.apply_weight(x.permute(0, 2, 3, 1), weight)
        bottom = top + x.shape[1]
        # In place, and two cheap passes: neither addition needs what it overwrites for its gradient.
        x = x.add_(self.noise[top:bottom] if noise is None else noise[:, top:bottom]).add_(self.bias)
        return F.leaky_relu_(x, SLOPE)

    @staticmethod
    def _filter(x: Tensor, weight: Tensor) -> Tensor:
        return F.conv2d(x, weight, padding=1, groups=weight.shape[0])


class _Block(nn.Module):
    """Modulated inverse Haar upsampling and two styled convolutions: ``(B, H, W, below)`` -> ``(B, 2H, 2W, above)``."""

    def __init__(self, below: int, above: int, size: int, w_dim: int) -> None:
        super().__init__()
        self.channels = above
        self.up = nn.Linear(w_dim, below)
        self.conv1 = _StyledConv(below // 4, above, size, w_dim)
        self.conv2 = _StyledConv(above, above, size, w_dim)

    def modulate(self, w1: Tensor, w2: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Scale of the bands and the weights of the two convolutions, for `forward`."""
        return self.up(w1)[:, None, None], self.conv1.modulate(w1), self.conv2.modulate(w2)

    def forward(
        self,
        x: Tensor,
        weights: tuple[Tensor, Tensor, Tensor],
        top: int,
        bottom: int,
        noise: tuple[Tensor | None, Tensor | None] = (None, None),
    ) -> Tensor:
        """The rows 2 top to 2 bottom of the output."""
        scale, weight1, weight2 = weights
        # Each of the two convolutions sees zeros beyond a cut and so makes one row there wrong: one row of x more, two
        # rows of output, is dropped again. At the picture's edges the zeros are right.
        first, last = max(top - 1, 0), min(bottom + 1, x.shape[1])
        y = inverse_haar(x[:, first:last] * scale.to(x.dtype))
        y = self.conv1(y, weight1, 2 * first, noise[0])
        y = self.conv2(y, weight2, 2 * first, noise[1])
        return y[:, 2 * (top - first) : 2 * (bottom - first)]


class _ToImage(_Pointwise):
    """The wavelet bands of the picture, and the picture."""

    def __init__(self, inputs: int, w_dim: int) -> None:
        super().__init__(inputs, 12, w_dim)

    def forward(self, x: Tensor, weight: Tensor, bands: bool) -> Tensor:
        """``(B, H, W, inputs)`` -> ``(B, 2H, 2W, 3)`` RGB, or without ``bands`` its 2x2 box mean ``(B, H, W, 3)``."""
        if bands:
            return inverse_haar(self.apply_weight(x, weight) + self.bias)
        return self.apply_weight(x, weight[:, :3]) + self.bias[:3]
