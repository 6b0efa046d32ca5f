"""StyleGAN (Karras et al., arXiv 1812.04948), the generator of the StyleRig paper: AdaIN after every convolution."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import nullcontext

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from stylerig_fast.generators.base import Generator
from stylerig_fast.generators.layers import EPSILON, Mapping, filter_taps, leaky_relu, upfirdn2d
from stylerig_fast.generators.precision import multiply, without_tf32

CHANNELS = (512, 512, 512, 512, 256, 128, 64, 32, 16)


class StyleGAN1(Generator):
    """The generator as one module: any batch, any device, differentiable in ``z`` and ``ws``.

    With the default channels: 18 slots, 1024 px. Of the two layers at each resolution, slot 2i feeds the first (at 4 px
    the learnt constant, from 8 px on the upsampling convolution) and slot 2i+1 the second. The picture comes from the
    last resolution: the other to-RGB layers of the original only serve its progressive growing.

    Truncation: the original truncates the first 8 slots by default, ``sample(..., psi=0.7, cutoff=8)``.

    Attributes:
        allow_tf32: let cuDNN round the convolutions' inputs to 10 bits on NVIDIA GPUs, torch's own default. False keeps
            pictures the same on every device.
    """

    family = "stylegan1"
    allow_tf32: bool = False

    def __init__(
        self,
        *,
        channels: Sequence[int] = CHANNELS,
        w_dim: int = 512,
        mapping_layers: int = 8,
        name: str = "stylegan1",
    ) -> None:
        """Makes an untrained network.

        Args:
            channels: of the layers at 4, 8, ... px; the picture is as wide as the last of these.
            w_dim: length of z and of the code of one slot.
            mapping_layers: fully connected layers from z to w.
            name: see `Generator`.
        """
        super().__init__()
        self.name = name
        self.channels = tuple(channels)
        self.w_dim = w_dim
        self.num_ws = 2 * len(channels)
        self.resolution = 2 * 2 ** len(channels)
        self.register_buffer("w_mean", torch.zeros(w_dim))
        self.mapping_network = Mapping(w_dim, mapping_layers)
        self.layers = nn.ModuleList()
        for i, above in enumerate(channels):
            side = 4 * 2**i
            self.layers.append(_UpConv(channels[i - 1], above, side, w_dim) if i else _Const(above, side, w_dim))
            self.layers.append(_Conv(above, above, side, w_dim))
        self.to_rgb = nn.Conv2d(channels[-1], 3, 1)

    def config(self) -> dict[str, object]:
        return {
            "channels": list(self.channels),
            "w_dim": self.w_dim,
            "mapping_layers": len(self.mapping_network),
            "name": self.name,
        }

    def mapping(self, z: Tensor) -> Tensor:
        self._check_z(z)
        return self.mapping_network(z)

    @property
    def noise_sizes(self) -> tuple[int, ...]:
        return tuple(4 * 2 ** (i // 2) for i in range(self.num_ws))

    def synthesis(self, ws: Tensor, resolution: int | None = None, noise: Sequence[Tensor] | None = None) -> Tensor:
        resolution = self._check_ws(ws, resolution)
        self._check_noise(noise, ws.shape[0])
        if ws.shape[0] == 0:
            return ws.new_zeros(0, 3, resolution, resolution)
        x = ws  # not read: the first layer begins with its constant
        with without_tf32() if ws.is_cuda and not self.allow_tf32 else nullcontext():
            for i, (layer, w) in enumerate(zip(self.layers, ws.unbind(1), strict=True)):
                x = layer(x, w, None if noise is None else noise[i])
            image = self.to_rgb(x)
        if resolution < self.resolution:
            image = F.avg_pool2d(image, self.resolution // resolution)
        return image.contiguous()

    def _round_weights(self, dtype: torch.dtype) -> None:
        for layer in self.layers:
            if isinstance(layer, _Conv):
                layer.round_weights(dtype)


class _Layer(nn.Module):
    """What every layer ends with: noise, bias, leaky ReLU and adaptive instance normalisation (the paper's equation 1).

    The style's scale is stored with the one that the original adds to it.
    """

    noise: Tensor

    def __init__(self, channels: int, side: int, w_dim: int) -> None:
        super().__init__()
        self.noise_strength = nn.Parameter(torch.zeros(channels))
        self.bias = nn.Parameter(torch.zeros(channels))
        self.style = nn.Linear(w_dim, 2 * channels)
        self.register_buffer("noise", torch.randn(1, 1, side, side))

    def finish(self, x: Tensor, w: Tensor, noise: Tensor | None) -> Tensor:
        """Ends the layer.

        Args:
            x: ``(B, C, H, W)`` in the dtype of ``w``, to be changed in place.
            w: ``(B, w_dim)``.
            noise: ``(B, 1, H, W)``, or the layer's own constant.
        """
        strength, bias = self.noise_strength[:, None, None], self.bias[:, None, None]
        x = leaky_relu(x.addcmul_(self.noise if noise is None else noise, strength).add_(bias))
        scale, shift = self.style(w)[:, :, None, None].chunk(2, dim=1)
        # In two passes: torch's own instance norm sums channels-last activations with errors of 1e-3.
        mean = x.mean((2, 3), keepdim=True)
        x = x - mean if x.requires_grad else x.sub_(mean)
        scale = scale * torch.rsqrt(x.square().mean((2, 3), keepdim=True) + EPSILON)
        return torch.addcmul(shift, x, scale) if x.requires_grad or scale.requires_grad else x.mul_(scale).add_(shift)


class _Const(_Layer):
    """The learnt constant at 4 px, as a layer."""

    def __init__(self, channels: int, side: int, w_dim: int) -> None:
        super().__init__(channels, side, w_dim)
        self.const = nn.Parameter(torch.ones(1, channels, side, side))

    def forward(self, _: Tensor, w: Tensor, noise: Tensor | None) -> Tensor:
        # Channels-last from here on: convolutions keep the format, and are 1.7 times as fast on the CPU.
        x = self.const.repeat(w.shape[0], 1, 1, 1).contiguous(memory_format=torch.channels_last)
        return self.finish(x, w, noise)


class _Conv(_Layer):
    """A 3x3 convolution.

    In bfloat16 and float16 only the convolution itself is: its result goes back to float32. In float16 the weights of
    each output are stored divided by `scale`, and inputs are divided by the largest of their sample; so no product and
    no sum can overflow, and both factors are put back in float32.
    """

    scale: Tensor | None
    outputs = 0  # which dimension of the weights it is

    def __init__(self, inputs: int, channels: int, side: int, w_dim: int) -> None:
        super().__init__(channels, side, w_dim)
        self.weight = nn.Parameter(self.initial(inputs, channels))
        self.register_buffer("scale", None, persistent=False)

    @staticmethod
    def initial(inputs: int, outputs: int) -> Tensor:
        return torch.randn(outputs, inputs, 3, 3) * (2 / (9 * inputs)) ** 0.5

    @staticmethod
    def convolve(x: Tensor, weight: Tensor) -> Tensor:
        return F.conv2d(x, weight, padding=1)

    def forward(self, x: Tensor, w: Tensor, noise: Tensor | None) -> Tensor:
        if self.scale is None:
            y = multiply(self.convolve, x, self.weight).to(w.dtype)
        else:
            largest = x.detach().abs().amax((1, 2, 3), keepdim=True).clamp_min(torch.finfo(x.dtype).tiny)
            y = multiply(self.convolve, x / largest, self.weight).to(w.dtype) * (largest * self.scale)
        return self.finish(self.smooth(y), w, noise)

    def smooth(self, x: Tensor) -> Tensor:
        return x

    @torch.no_grad()
    def round_weights(self, dtype: torch.dtype) -> None:
        weight = self.weight.detach()
        if dtype == torch.float16:
            others = [i for i in range(4) if i != self.outputs]
            largest = weight.abs().amax(others, keepdim=True).clamp_min(torch.finfo(torch.float32).tiny)
            scale = largest * (weight.numel() / weight.shape[self.outputs]) ** 0.5
            weight, self.scale = weight / scale, scale.view(1, -1, 1, 1)
        self.weight = nn.Parameter(weight.to(dtype), requires_grad=False)


class _UpConv(_Conv):
    """Upsampling by nearest neighbours, a 3x3 convolution, the filter [1, 2, 1]: (B, C, H, W) -> (B, C', 2H, 2W).

    Upsampling and convolution are one transposed convolution of a 4x4 kernel with stride 2 (`upsampling_kernel`), which
    takes 4 products where the two in turn take 9. The original has both ways, the fused one from 128 px on; its kernel
    is the mirror image of what the two in turn would need. The converter knows which kernel is which.
    """

    outputs = 1
    taps: Tensor

    def __init__(self, inputs: int, channels: int, side: int, w_dim: int) -> None:
        super().__init__(inputs, channels, side, w_dim)
        self.register_buffer("taps", filter_taps([1, 2, 1]), persistent=False)

    @staticmethod
    def initial(inputs: int, outputs: int) -> Tensor:
        return upsampling_kernel(_Conv.initial(inputs, outputs))

    @staticmethod
    def convolve(x: Tensor, weight: Tensor) -> Tensor:
        return F.conv_transpose2d(x, weight, stride=2, padding=1)

    def smooth(self, x: Tensor) -> Tensor:
        return upfirdn2d(x, self.taps, padding=(1, 1, 1, 1))


def upsampling_kernel(weight: Tensor) -> Tensor:
    """The kernel of the transposed convolution that upsamples by nearest neighbours and then convolves by ``weight``.

    Args:
        weight: ``(outputs, inputs, 3, 3)``, as ``conv2d`` takes it.

    Returns:
        ``(inputs, outputs, 4, 4)``, as ``conv_transpose2d`` takes it with stride 2 and padding 1. The borders are
        equal too.
    """
    return fused_kernel(weight.flip(2, 3))


def fused_kernel(weight: Tensor) -> Tensor:
    """The kernel of the original's fused upsampling convolution (its ``upscale2d_conv2d`` with ``fused_scale``).

    Args:
        weight: ``(outputs, inputs, 3, 3)``.

    Returns:
        ``(inputs, outputs, 4, 4)``: the sum of ``weight`` at its four positions within 4x4.
    """
    wide = F.pad(weight, (1, 1, 1, 1))
    summed = wide[:, :, 1:, 1:] + wide[:, :, :-1, 1:] + wide[:, :, 1:, :-1] + wide[:, :, :-1, :-1]
    return summed.transpose(0, 1).contiguous()
