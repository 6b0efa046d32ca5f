"""StyleGAN 1 written down a second time, in float64 and without torch's convolutions, from NVlabs' TensorFlow code.

It works on variables as that code (``training/networks_stylegan.py`` of NVlabs/stylegan) names and stores them, gains
not folded in. `random_variables` makes them; ``stylegan1_checkpoints`` brings them into the checkpoint formats.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

Variables = dict[str, np.ndarray]


def random_variables(channels: Sequence[int], w_dim: int = 24, mapping_layers: int = 2, seed: int = 0) -> Variables:
    """Variables of a generator whose every tensor matters; ``channels`` at 4, 8, ... px."""
    draw = np.random.default_rng(seed)

    def normal(*shape: int, std: float = 1.0) -> np.ndarray:
        return (std * draw.standard_normal(shape)).astype(np.float32)

    made: Variables = {"lod": np.float32(0), "dlatent_avg": normal(w_dim, std=0.2)}  # type: ignore[dict-item]
    for i in range(mapping_layers):
        made[f"mapping/Dense{i}/weight"] = normal(w_dim, w_dim, std=100)
        made[f"mapping/Dense{i}/bias"] = normal(w_dim, std=9)
    made["synthesis/lod"] = np.float32(0)  # type: ignore[assignment]
    for i in range(2 * len(channels)):
        made[f"synthesis/noise{i}"] = normal(1, 1, 4 << i // 2, 4 << i // 2)
    for i, above in enumerate(channels):
        block, first, second = f"synthesis/{4 << i}x{4 << i}", "Conv0_up" if i else "Const", "Conv1" if i else "Conv"
        if i:
            made[f"{block}/{first}/weight"] = normal(3, 3, channels[i - 1], above)
        else:
            made[f"{block}/{first}/const"] = normal(1, above, 4, 4)
        made[f"{block}/{second}/weight"] = normal(3, 3, above, above)
        for layer in (first, second):
            made |= {
                f"{block}/{layer}/Noise/weight": normal(above, std=0.3),
                f"{block}/{layer}/bias": normal(above, std=0.3),
                f"{block}/{layer}/StyleMod/weight": normal(w_dim, 2 * above),
                f"{block}/{layer}/StyleMod/bias": normal(2 * above, std=0.3),
            }
        lod = len(channels) - 1 - i
        made |= {f"synthesis/ToRGB_lod{lod}/weight": normal(1, 1, above, 3)}
        made |= {f"synthesis/ToRGB_lod{lod}/bias": normal(3, std=0.1)}
    return made


def reference_mapping(variables: Variables, z: Tensor, multiplier: float = 0.01, wscale: bool = True) -> Tensor:
    """G_mapping: ``(B, w_dim)`` float64 -> the same."""
    x, i = z / (z.square().mean(1, keepdim=True) + 1e-8).sqrt(), 0
    while f"mapping/Dense{i}/weight" in variables:
        weight, bias = _get(variables, f"mapping/Dense{i}/weight"), _get(variables, f"mapping/Dense{i}/bias")
        he = (2 / weight.shape[0]) ** 0.5 if wscale else 1.0
        x = x @ (weight * he * multiplier) + bias * multiplier
        x, i = torch.maximum(x, 0.2 * x), i + 1
    return x


def reference_synthesis(
    variables: Variables,
    ws: Tensor,
    noise: Sequence[Tensor] | None = None,
    fused: bool | None = None,
    wscale: bool = True,
) -> Tensor:
    """G_synthesis at lod 0, one sample after the other.

    Args:
        variables: its own and those of its components.
        ws: ``(B, num_ws, w_dim)`` float64.
        noise: instead of the constant maps.
        fused: as ``fused_scale``; None is "auto".
        wscale: as ``use_wscale``.
    """
    images = []
    for b, codes in enumerate(ws):
        x, index = torch.empty(0), 0
        while f"synthesis/noise{index}" in variables:
            side = 4 << index // 2
            names = ("Const", "Conv") if side == 4 else ("Conv0_up", "Conv1")
            layer = f"synthesis/{side}x{side}/{names[index % 2]}"
            if index == 0:
                x = _get(variables, f"{layer}/const")[0]
            else:
                weight = _get(variables, f"{layer}/weight")
                weight = weight * (2 / weight[..., 0].numel()) ** 0.5 if wscale else weight
                if index % 2:
                    x = correlate(x, weight)
                elif fused if fused is not None else side >= 128:
                    x = blur(upscale_fused(x, weight))
                else:
                    x = blur(correlate(upscale(x), weight))
            plane = _get(variables, f"synthesis/noise{index}")[0] if noise is None else noise[index][b].double()
            x = x + plane * _get(variables, f"{layer}/Noise/weight")[:, None, None]
            x = x + _get(variables, f"{layer}/bias")[:, None, None]
            x = torch.maximum(x, 0.2 * x)
            x = x - x.mean((1, 2), keepdim=True)
            x = x / (x.square().mean((1, 2), keepdim=True) + 1e-8).sqrt()
            weight = _get(variables, f"{layer}/StyleMod/weight")
            weight = weight / weight.shape[0] ** 0.5 if wscale else weight
            style = codes[index] @ weight + _get(variables, f"{layer}/StyleMod/bias")
            scale, shift = style.reshape(2, -1, 1, 1)
            x, index = x * (scale + 1) + shift, index + 1
        weight = _get(variables, "synthesis/ToRGB_lod0/weight")
        weight = weight / weight.shape[2] ** 0.5 if wscale else weight
        images.append(correlate(x, weight) + _get(variables, "synthesis/ToRGB_lod0/bias")[:, None, None])
    return torch.stack(images)


def correlate(x: Tensor, weight: Tensor) -> Tensor:
    """TensorFlow's ``conv2d`` with SAME padding: ``x (C, H, W)``, ``weight (k, k, C, C')``."""
    k, (_, height, width) = weight.shape[0], x.shape
    padded = torch.zeros(x.shape[0], height + k - 1, width + k - 1, dtype=x.dtype)
    padded[:, k // 2 : k // 2 + height, k // 2 : k // 2 + width] = x
    terms = [
        torch.einsum("chw,co->ohw", padded[:, i : i + height, j : j + width], weight[i, j])
        for i in range(k)
        for j in range(k)
    ]
    return torch.stack(terms).sum(0)


def upscale(x: Tensor) -> Tensor:
    """Each pixel four times."""
    return x.repeat_interleave(2, 1).repeat_interleave(2, 2)


def upscale_fused(x: Tensor, weight: Tensor) -> Tensor:
    """``upscale2d_conv2d`` when fused: ``conv2d_transpose`` with stride 2, SAME, of the sum of four shifted kernels.

    Transposed: where the convolution reads input 2i + d - 1 for its output i, this one writes there.
    """
    wide = torch.zeros(5, 5, *weight.shape[2:], dtype=weight.dtype)
    wide[1:4, 1:4] = weight
    kernel = wide[1:, 1:] + wide[:-1, 1:] + wide[1:, :-1] + wide[:-1, :-1]
    height, width = x.shape[1:]
    y = torch.zeros(weight.shape[3], 2 * height + 2, 2 * width + 2, dtype=x.dtype)
    for i in range(4):
        for j in range(4):
            y[:, i : i + 2 * height : 2, j : j + 2 * width : 2] += torch.einsum("chw,co->ohw", x, kernel[i, j])
    return y[:, 1:-1, 1:-1]


def blur(x: Tensor) -> Tensor:
    """The filter [1, 2, 1] in both directions, zeros outside."""
    line = torch.tensor([0.25, 0.5, 0.25], dtype=x.dtype)
    weight = torch.outer(line, line)[:, :, None, None] * torch.eye(x.shape[0], dtype=x.dtype)
    return correlate(x, weight)


def _get(variables: Variables, name: str) -> Tensor:
    return torch.from_numpy(np.asarray(variables[name])).double()
