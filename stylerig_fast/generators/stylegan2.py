"""StyleGAN2 (Karras et al., arXiv 1912.04958) with skip connections, the form of every published portrait generator."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import nullcontext

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from stylerig_fast.generators.base import Generator
from stylerig_fast.generators.layers import Mapping, ModulatedConv, filter_taps, leaky_relu, upfirdn2d
from stylerig_fast.generators.precision import without_tf32

# Channels at 4, 8, ... 1024 px. Config E has half of them from 64 px on.
CONFIG_F = (512, 512, 512, 512, 512, 256, 128, 64, 32)
CONFIG_E = (512, 512, 512, 512, 256, 128, 64, 32, 16)


class StyleGAN2(Generator):
    """The generator as one module: any batch, any device, differentiable in ``z`` and ``ws``.

    With the default channels (config F): 18 slots, 1024 px, 30 million parameters, 74.3 GMAC per picture. Slot 0 feeds
    the convolution at 4 px; of the block at the i-th resolution (8 px is the first), slot 2i-1 feeds the convolution
    that doubles the resolution, slot 2i the second one, and slot 2i+1 its picture, as well as the next block's first.

    Attributes:
        allow_tf32: let cuDNN round the convolutions' inputs to 10 bits on NVIDIA GPUs, torch's own default. False keeps
            pictures the same on every device.
    """

    family = "stylegan2"
    allow_tf32: bool = False

    def __init__(
        self,
        *,
        channels: Sequence[int] = CONFIG_F,
        w_dim: int = 512,
        mapping_layers: int = 8,
        resample_filter: Sequence[float] = (1, 3, 3, 1),
        clamp: float | None = None,
        name: str = "stylegan2",
    ) -> None:
        """Makes an untrained network.

        Args:
            channels: of the blocks at 4, 8, ... px; the last one is as wide as the picture.
            w_dim: length of z and of the code of one slot.
            mapping_layers: fully connected layers from z to w.
            resample_filter: taps of the low-pass filter that follows whatever doubles a resolution.
            clamp: activations and pictures of the blocks are cut off at ± this, in every precision: ``conv_clamp`` of
                StyleGAN2-ADA, there to keep float16 finite. None does not.
            name: see `Generator`.

        Raises:
            ValueError: a size is not positive.
        """
        super().__init__()
        if not channels or min(*channels, w_dim) < 1 or (clamp is not None and not clamp > 0):
            raise ValueError(f"channels are {channels}, w_dim is {w_dim}, clamp {clamp}; expected positive numbers")
        self.name = name
        self.channels = tuple(channels)
        self.w_dim = w_dim
        self.num_ws = 2 * len(channels)
        self.resolution = 4 * 2 ** (len(channels) - 1)
        self.resample_filter = tuple(float(tap) for tap in resample_filter)
        self.clamp = clamp
        self.register_buffer("w_mean", torch.zeros(w_dim))
        self.mapping_network = Mapping(w_dim, mapping_layers)
        self.const = nn.Parameter(torch.randn(channels[0], 4, 4))
        self.blocks = nn.ModuleList(
            _Block(below, above, 4 * 2**i, w_dim, self.resample_filter, clamp)
            for i, (below, above) in enumerate(zip((0, *channels[:-1]), channels, strict=True))
        )

    def config(self) -> dict[str, object]:
        return {
            "channels": list(self.channels),
            "w_dim": self.w_dim,
            "mapping_layers": len(self.mapping_network),
            "resample_filter": list(self.resample_filter),
            "clamp": self.clamp,
            "name": self.name,
        }

    def mapping(self, z: Tensor) -> Tensor:
        self._check_z(z)
        return self.mapping_network(z)

    @property
    def noise_sizes(self) -> tuple[int, ...]:
        return tuple(layer.noise.shape[-1] for layer in self.layers())

    def layers(self) -> Iterator[StyledConv]:
        """The convolutions with noise and activation, in order."""
        for block in self.blocks:
            yield from block.convs  # type: ignore[misc]

    def synthesis(self, ws: Tensor, resolution: int | None = None, noise: Sequence[Tensor] | None = None) -> Tensor:
        resolution = self._check_ws(ws, resolution)
        self._check_noise(noise, ws.shape[0])
        if ws.shape[0] == 0:
            return ws.new_zeros(0, 3, resolution, resolution)
        if ws.device.type == "cpu" and ws.shape[0] > 1:
            # One after the other: the layers of one picture are already more than the caches hold.
            each = [None] * len(ws) if noise is None else [[map_[i : i + 1] for map_ in noise] for i in range(len(ws))]
            images = [self._synthesis(one, resolution, maps) for one, maps in zip(ws.split(1), each, strict=True)]
            return torch.cat(images)
        with without_tf32() if ws.is_cuda and not self.allow_tf32 else nullcontext():
            return self._synthesis(ws, resolution, noise)

    def _synthesis(self, ws: Tensor, resolution: int, noise: Sequence[Tensor] | None) -> Tensor:
        w = ws.unbind(1)
        maps: list[Tensor | None] = [None] * len(self.noise_sizes) if noise is None else list(noise)
        x = self.const.expand(ws.shape[0], -1, -1, -1).contiguous(memory_format=torch.channels_last)
        image: Tensor | None = None
        for i, block in enumerate(self.blocks):
            x, image = block(x, image, w[max(2 * i - 1, 0) : 2 * i + 2], maps[max(2 * i - 1, 0) : 2 * i + 1])
        assert image is not None
        if self.resolution > resolution:
            image = F.avg_pool2d(image, self.resolution // resolution)
        return image.contiguous()

    def _round_weights(self, dtype: torch.dtype) -> None:
        self.const.data = self.const.data.to(dtype)
        for block in self.blocks:
            block.to_rgb.conv.round_weights(dtype)  # type: ignore[union-attr, operator]
        for layer in self.layers():
            layer.conv.round_weights(dtype)
            for value in (layer.bias, layer.noise_strength):
                value.data = value.data.to(dtype)
            layer.noise = layer.noise.to(dtype)


class StyledConv(nn.Module):
    """Modulated convolution, noise, bias, leaky ReLU. Bias and strength of the noise hold the activation's √2."""

    noise: Tensor

    def __init__(
        self, inputs: int, outputs: int, size: int, w_dim: int, up: Sequence[float] | None, clamp: float | None
    ) -> None:
        super().__init__()
        self.clamp = clamp
        self.conv = ModulatedConv(inputs, outputs, 3, w_dim, gain=2**0.5, up=up)
        self.bias = nn.Parameter(torch.zeros(outputs))
        self.noise_strength = nn.Parameter(torch.zeros(()))
        self.register_buffer("noise", torch.randn(size, size))

    def forward(self, x: Tensor, w: Tensor, noise: Tensor | None) -> Tensor:
        """``(B, inputs, H, W)`` -> ``(B, outputs, size, size)``."""
        noise = self.noise if noise is None else noise.to(x.dtype)
        # In place: the additions are cheap passes then, and need nothing that they overwrite for their gradients.
        x = self.conv(x, w).add_(noise * self.noise_strength).add_(self.bias[:, None, None])
        return leaky_relu(x, self.clamp)


class ToRGB(nn.Module):
    """The picture of one resolution: a 1x1 convolution, modulated and not demodulated."""

    def __init__(self, inputs: int, w_dim: int, clamp: float | None) -> None:
        super().__init__()
        self.clamp = clamp
        self.conv = ModulatedConv(inputs, 3, 1, w_dim, demodulate=False)
        self.bias = nn.Parameter(torch.zeros(3))

    def forward(self, x: Tensor, w: Tensor) -> Tensor:
        """``(B, inputs, H, W)`` -> ``(B, 3, H, W)`` in the dtype of ``w``."""
        image = self.conv(x, w) + self.bias[:, None, None]
        return image if self.clamp is None else image.clamp(-self.clamp, self.clamp)


class _Block(nn.Module):
    """One resolution: two convolutions, of which the first doubles it (at 4 px only the second), and a picture."""

    taps: Tensor

    def __init__(
        self, below: int, above: int, size: int, w_dim: int, resample_filter: Sequence[float], clamp: float | None
    ) -> None:
        super().__init__()
        first = [StyledConv(below, above, size, w_dim, resample_filter, clamp)] if below else []
        self.convs = nn.ModuleList([*first, StyledConv(above, above, size, w_dim, None, clamp)])
        self.to_rgb = ToRGB(above, w_dim, clamp)
        self.register_buffer("taps", filter_taps(resample_filter, 2), persistent=False)

    def forward(
        self, x: Tensor, image: Tensor | None, w: Sequence[Tensor], noise: Sequence[Tensor | None]
    ) -> tuple[Tensor, Tensor]:
        """Activations and picture of the resolution below -> those of this one; a code for each layer."""
        for conv, code, map_ in zip(self.convs, w, noise, strict=False):
            x = conv(x, code, map_)
        here = self.to_rgb(x, w[-1])
        if image is None:
            return x, here
        n = self.taps.shape[0]
        before, after = (n + 1) // 2, (n - 2) // 2
        return x, upfirdn2d(image, self.taps, up=2, padding=(before, after, before, after)).add_(here)
