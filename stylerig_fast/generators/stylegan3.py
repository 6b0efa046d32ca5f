"""StyleGAN3 (Karras et al., arXiv 2106.12423), configurations T and R: the alias-free generator.

Nothing in it is tied to pixels. The first layer is a set of waves that each code shifts and turns as a whole, and every
non-linearity works between filters that keep what it adds within the band of its layer.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from contextlib import nullcontext
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from stylerig_fast.generators.base import Generator
from stylerig_fast.generators.layers import Mapping
from stylerig_fast.generators.precision import without_tf32
from stylerig_fast.generators.stylegan3_filters import Architecture, Signal
from stylerig_fast.generators.stylegan3_layer import FilteredLayer


class StyleGAN3(Generator):
    """The generator as one module: any batch, any device, differentiable in ``z`` and ``ws``.

    With the default architecture: 16 slots, 1024 px. Slot 0 moves the waves, slots 1 to 14 feed the layers, the last
    one the colours.

    Attributes:
        architecture: all that fixes shapes and filters.
        tile_bytes: on the CPU a layer works on tiles whose activations take about so many bytes at the rate of the
            non-linearity. Then they stay in the caches, the allocator hands the same memory out again where it would
            map fresh pages, and a gradient of a picture of 1024 px fits into 8 GB: tiles are computed again for it.
            None works on whole layers.
        tile_bytes_cuda: the same on other devices.
        allow_tf32: let cuDNN round the convolutions' inputs to 10 bits on NVIDIA GPUs, torch's own default. False keeps
            pictures the same on every device.
    """

    family = "stylegan3"
    tile_bytes: int | None = 20 << 20
    tile_bytes_cuda: int | None = 256 << 20
    allow_tf32: bool = False

    def __init__(self, *, name: str = "stylegan3", **architecture: Any) -> None:
        """Makes an untrained network.

        Args:
            name: see `Generator`.
            architecture: the fields of `Architecture`.

        Raises:
            ValueError: numbers that make no network.
        """
        super().__init__()
        self.name = name
        self.architecture = Architecture(**architecture)
        plans = self.architecture.layers()
        self.w_dim = self.architecture.w_dim
        self.num_ws = len(plans) + 1
        self.resolution = self.architecture.resolution
        self.register_buffer("w_mean", torch.zeros(self.w_dim))
        self.mapping_network = Mapping(self.w_dim, self.architecture.mapping_layers)
        self.waves = FourierFeatures(plans[0].before, self.w_dim)
        clamp, scale = self.architecture.conv_clamp, self.architecture.output_scale
        self.layers = nn.ModuleList(FilteredLayer(plan, self.w_dim, clamp) for plan in plans[:-1])
        self.colours = FilteredLayer(plans[-1], self.w_dim, None if clamp is None else clamp * scale, colours=True)

    def config(self) -> dict[str, object]:
        return {**dataclasses.asdict(self.architecture), "name": self.name}

    def mapping(self, z: Tensor) -> Tensor:
        self._check_z(z)
        return self.mapping_network(z)

    def synthesis(self, ws: Tensor, resolution: int | None = None, noise: Sequence[Tensor] | None = None) -> Tensor:
        resolution = self._check_ws(ws, resolution)
        self._check_noise(noise, ws.shape[0])
        if ws.shape[0] == 0:
            return ws.new_zeros(0, 3, resolution, resolution)
        first, *others = ws.unbind(1)
        tile = self.tile_bytes if ws.device.type == "cpu" else self.tile_bytes_cuda
        with without_tf32() if ws.is_cuda and not self.allow_tf32 else nullcontext():
            # Depthwise convolutions are fastest with channels last on the CPU, and with rows last elsewhere.
            layout = torch.channels_last if ws.device.type == "cpu" else torch.contiguous_format
            x = self.waves(first).contiguous(memory_format=layout)
            for layer, w in zip([*self.layers, self.colours], others, strict=True):
                x = layer(x, w, tile)
        image = x.to(ws.dtype)
        if resolution < self.resolution:
            image = F.avg_pool2d(image, self.resolution // resolution)
        return image.contiguous()

    def _round_weights(self, dtype: torch.dtype) -> None:
        # As in the published networks: the waves and the layers of low sampling rates stay in float32.
        for layer in [*self.layers, self.colours]:
            if isinstance(layer, FilteredLayer) and layer.plan.low_precision:
                layer.round_weights(dtype)


class FourierFeatures(nn.Module):
    """The input: one wave per channel, moved and turned as the code says, then mixed linearly.

    A code gives a rotation and a shift of the whole picture; ``transform`` is one more, the user's, that maps positions
    in the picture to positions in the waves. What it lifts above the band is faded out.

    Attributes:
        frequencies: ``(C, 2)`` buffer, cycles per picture width along x and y.
        phases: ``(C,)`` buffer, in cycles.
        transform: ``(3, 3)`` buffer, the identity by default.
        weight: ``(C, C)``, of the mixing, holding ``1 / √C``.
    """

    frequencies: Tensor
    phases: Tensor
    transform: Tensor

    def __init__(self, signal: Signal, w_dim: int) -> None:
        """Makes untrained features, ``signal.channels`` of ``signal.size`` px."""
        super().__init__()
        self.signal = signal
        channels = signal.channels
        # Uniform in a disc, faded towards its edge.
        direction = torch.randn(channels, 2)
        radius = direction.square().sum(1, keepdim=True)
        frequencies = direction * torch.exp(-radius / 4) / radius.sqrt() * signal.cutoff
        self.affine = nn.Linear(w_dim, 4)
        nn.init.zeros_(self.affine.weight)
        with torch.no_grad():
            self.affine.bias.copy_(torch.tensor([1.0, 0.0, 0.0, 0.0]))
        self.weight = nn.Parameter(torch.randn(channels, channels) / channels**0.5)
        self.register_buffer("frequencies", frequencies)
        self.register_buffer("phases", torch.rand(channels) - 0.5)
        self.register_buffer("transform", torch.eye(3))

    def forward(self, w: Tensor) -> Tensor:
        """``(B, w_dim)`` -> ``(B, C, size, size)``, channels last in memory."""
        t = self.affine(w)
        cosine, sine, right, down = (t / t[:, :2].norm(dim=1, keepdim=True)).unbind(1)
        zero, one = torch.zeros_like(cosine), torch.ones_like(cosine)
        rotation = torch.stack((cosine, -sine, zero, sine, cosine, zero, zero, zero, one), 1).view(-1, 3, 3)
        shift = torch.stack((one, zero, -right, zero, one, -down, zero, zero, one), 1).view(-1, 3, 3)
        moved = rotation @ shift @ self.transform
        phases = self.phases + (self.frequencies @ moved[:, :2, 2:]).squeeze(2)
        frequencies = self.frequencies @ moved[:, :2, :2]
        signal = self.signal
        above = (frequencies.norm(dim=2) - signal.cutoff) / (signal.rate / 2 - signal.cutoff)
        amplitudes = (1 - above).clamp(0, 1)
        # Sample positions in picture widths, the picture's centre at 0.
        at = (torch.arange(signal.size, dtype=w.dtype, device=w.device) - (signal.size - 1) / 2) / signal.rate
        along_x, along_y = (frequencies[:, None, :, axis] * at[:, None] for axis in (0, 1))
        cycles = along_x[:, None] + along_y[:, :, None] + phases[:, None, None]
        x = torch.sin(cycles * (2 * math.pi)) * amplitudes[:, None, None]
        return (x @ self.weight.mT).permute(0, 3, 1, 2)
