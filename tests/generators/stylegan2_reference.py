"""StyleGAN2 written down once more, straight from the paper's equations, in float64: what ours is held against.

Weights are modulated and demodulated for each sample and applied by a grouped convolution; what doubles the resolution
inserts zeros, convolves and filters. Names and gains of the tensors are those of NVlabs' PyTorch code.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor
from torch.nn import functional as F


def mapping(net: Mapping[str, Tensor], z: Tensor, multiplier: float = 0.01) -> Tensor:
    net = {name: value.double() for name, value in net.items()}
    x = z.double() / (z.double().square().mean(1, keepdim=True) + 1e-8).sqrt()
    i = 0
    while f"mapping.fc{i}.weight" in net:
        weight, bias = net[f"mapping.fc{i}.weight"], net[f"mapping.fc{i}.bias"]
        x = _activation(x @ weight.T * multiplier / weight.shape[1] ** 0.5 + bias * multiplier)
        i += 1
    return x


def synthesis(
    net: Mapping[str, Tensor], ws: Tensor, noise: Sequence[Tensor] | None = None, clamp: float | None = None
) -> Tensor:
    """``ws (B, num_ws, w_dim)``; ``noise`` one ``(B, 1, side, side)`` for each layer, else the constant maps."""
    net = {name: value.double() for name, value in net.items()}
    limit = float("inf") if clamp is None else clamp
    ws = ws.double()
    x = net["synthesis.b4.const"].expand(len(ws), -1, -1, -1)
    image, slot, layer, side = None, 0, 0, 4
    while f"synthesis.b{side}.conv1.weight" in net:
        for conv in ("conv0", "conv1") if side > 4 else ("conv1",):
            name = f"synthesis.b{side}.{conv}"
            map_ = net[f"{name}.noise_const"] if noise is None else noise[layer].double()
            up = net[f"{name}.resample_filter"] if conv == "conv0" else None
            weight = _modulated(net, name, ws[:, slot])
            weight = weight / (weight.square().sum((2, 3, 4), keepdim=True) + 1e-8).sqrt()
            x = _per_sample(x, weight, up) + map_ * net[f"{name}.noise_strength"]
            x = _activation(x + net[f"{name}.bias"][:, None, None]).clamp(-limit, limit)
            slot, layer = slot + 1, layer + 1
        name = f"synthesis.b{side}.torgb"
        weight = _modulated(net, name, ws[:, slot])
        here = _per_sample(x, weight / weight.shape[2] ** 0.5, None) + net[f"{name}.bias"][:, None, None]
        here = here.clamp(-limit, limit)
        image = here if image is None else _upsample(image, net[f"synthesis.b{side}.resample_filter"]) + here
        side *= 2
    assert image is not None
    return image


def _activation(x: Tensor) -> Tensor:
    return torch.where(x > 0, x, 0.2 * x) * 2**0.5


def _modulated(net: Mapping[str, Tensor], name: str, w: Tensor) -> Tensor:
    """``(B, outputs, inputs, k, k)``."""
    affine = net[f"{name}.affine.weight"]
    styles = w @ affine.T / affine.shape[1] ** 0.5 + net[f"{name}.affine.bias"]
    return net[f"{name}.weight"][None] * styles[:, None, :, None, None]


def _per_sample(x: Tensor, weight: Tensor, up: Tensor | None) -> Tensor:
    batch, outputs, _, k, _ = weight.shape
    if up is None:
        y = F.conv2d(x.reshape(1, -1, *x.shape[2:]), weight.flatten(0, 1), padding=k // 2, groups=batch)
        return y.reshape(batch, outputs, *y.shape[2:])
    # NVlabs' order: zeros between the samples, the kernel (flipped), the filter; the border lies outside of both.
    x = F.pad(_insert_zeros(x), (k - 1, k - 2, k - 1, k - 2))
    y = F.conv2d(x.reshape(1, -1, *x.shape[2:]), weight.flip(3, 4).flatten(0, 1), groups=batch)
    return _filter(y.reshape(batch, outputs, *y.shape[2:]), up, up.shape[0] // 2 - 1)


def _upsample(image: Tensor, up: Tensor) -> Tensor:
    return _filter(F.pad(_insert_zeros(image), (1, 0, 1, 0)), up, up.shape[0] // 2 - 1)


def _insert_zeros(x: Tensor) -> Tensor:
    y = x.new_zeros(*x.shape[:2], 2 * x.shape[2], 2 * x.shape[3])
    y[:, :, ::2, ::2] = x
    return y


def _filter(x: Tensor, kernel: Tensor, padding: int) -> Tensor:
    """Filters with four times the kernel."""
    channels = x.shape[1]
    return F.conv2d(x, 4 * kernel.flip(0, 1).expand(channels, 1, -1, -1), padding=padding, groups=channels)
