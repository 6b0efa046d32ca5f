"""What the two formats of StyleGAN 1 have in common: the same tensors by other names, and gains applied at run time."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from stylerig_fast.errors import CheckpointError
from stylerig_fast.generators.formats.tensors import Tensors
from stylerig_fast.generators.stylegan1 import StyleGAN1, fused_kernel, upsampling_kernel

# From this resolution on, upsampling and convolution are one operation (the original's ``fused_scale="auto"``).
FUSED_FROM = 128
MAPPING_MULTIPLIER = 0.01


@dataclass(frozen=True)
class Names:
    """How a format calls its tensors, and in which order it stores their dimensions.

    Attributes:
        dense: prefix of a layer of the mapping network, with its number to be filled in.
        layers: prefixes of the synthesis layers, from the constant on.
        noise: names of their noise maps.
        strength: after a layer's prefix, its per-channel strength of the noise.
        style: after a layer's prefix, the prefix of its affine map.
        to_rgb: prefix of the last to-RGB layer.
        outputs_last: weights are (height, width, inputs, outputs) and (inputs, outputs), as in TensorFlow; otherwise
            as in torch.
    """

    dense: str
    layers: Sequence[str]
    noise: Sequence[str]
    strength: str
    style: str
    to_rgb: str
    outputs_last: bool


@torch.no_grad()
def read_stylegan1(
    tensors: Tensors,
    names: Names,
    w_mean: Tensor,
    name: str,
    multiplier: float = MAPPING_MULTIPLIER,
    equalised: bool = True,
    fused_from: int = FUSED_FROM,
) -> StyleGAN1:
    """Takes out the tensors of a generator and folds the run-time gains into them.

    Args:
        tensors: they are taken out of these.
        names: how they are called there.
        w_mean: ``(w_dim,)``.
        name: `Generator.name`.
        multiplier: learning-rate multiplier of the mapping network.
        equalised: weights are multiplied by He's standard deviation at run time (equalised learning rate).
        fused_from: resolution from which upsampling and convolution are fused.

    Raises:
        CheckpointError: a tensor is missing or of another shape.
    """
    w_dim = w_mean.shape[0]

    def weight(prefix: str, gain: float, kernel: int | None, inputs: int | None = None) -> Tensor:
        """A weight with ``gain / √(fan in)`` in it, (outputs, inputs[, height, width])."""
        space = () if kernel is None else (kernel, kernel)
        shape = (*space, inputs, None) if names.outputs_last else (None, inputs, *space)
        value = tensors.take(f"{prefix}weight", shape)
        if names.outputs_last:
            value = value.movedim((-1, -2), (0, 1))
        return value * (gain / value[0].numel() ** 0.5 if equalised else 1.0)

    state = {"w_mean": w_mean}
    count = 0
    while any(f"{names.dense.format(count)}{part}" in tensors for part in ("weight", "bias")):
        prefix, target = names.dense.format(count), f"mapping_network.layers.{count}"
        # The base class draws z as long as w, and no published network has other widths in between.
        value = weight(prefix, 2**0.5, None, w_dim)
        if value.shape[0] != w_dim:
            raise CheckpointError(f"{tensors.where}: {prefix}weight has {value.shape[0]} outputs, expected {w_dim}")
        state[f"{target}.weight"] = value * multiplier
        state[f"{target}.bias"] = tensors.take(f"{prefix}bias", (w_dim,)) * multiplier
        count += 1
    channels: list[int] = []
    for i, (prefix, noise) in enumerate(zip(names.layers, names.noise, strict=True)):
        target, side = f"layers.{i}", 4 * 2 ** (i // 2)
        if i == 0:
            value = tensors.take(f"{prefix}const", (1, None, 4, 4))
            state[f"{target}.const"] = value
            outputs = value.shape[1]
        else:
            value = weight(prefix, 2**0.5, 3, channels[-1])
            outputs = value.shape[0]
            if i % 2 == 0:
                value = fused_kernel(value) if side >= fused_from else upsampling_kernel(value)
            state[f"{target}.weight"] = value
        state[f"{target}.bias"] = tensors.take(f"{prefix}bias", (outputs,))
        state[f"{target}.noise_strength"] = tensors.take(f"{prefix}{names.strength}", (outputs,))
        state[f"{target}.noise"] = tensors.take(noise, (1, 1, side, side))
        style, bias = weight(f"{prefix}{names.style}", 1.0, None, w_dim), f"{prefix}{names.style}bias"
        if style.shape[0] != 2 * outputs:
            raise CheckpointError(
                f"{tensors.where}: {prefix}{names.style}weight has {style.shape[0]} outputs, expected {2 * outputs}"
            )
        state[f"{target}.style.weight"] = style
        # The first half scales, by one more than what is stored.
        state[f"{target}.style.bias"] = tensors.take(bias, (2 * outputs,)) + (torch.arange(2 * outputs) < outputs)
        channels.append(outputs)
    if channels[0::2] != channels[1::2]:
        raise CheckpointError(f"{tensors.where}: layers of one resolution differ in their channels: {channels}")
    rgb = weight(names.to_rgb, 1.0, 1, channels[-1])
    if rgb.shape[0] != 3:
        raise CheckpointError(f"{tensors.where}: {names.to_rgb}weight makes {rgb.shape[0]} channels, expected RGB")
    state["to_rgb.weight"], state["to_rgb.bias"] = rgb, tensors.take(f"{names.to_rgb}bias", (3,))
    generator = StyleGAN1(channels=channels[0::2], w_dim=w_dim, mapping_layers=count, name=name)
    generator.load_state_dict(state)
    return generator.eval().requires_grad_(False)


def check_filled(arrays: Mapping[str, np.ndarray], where: str) -> None:
    """Raises CheckpointError for tensors without any value: no network has them, and sizes are divided by."""
    empty = [name for name, value in arrays.items() if value.size == 0]
    if empty:
        raise CheckpointError(f"{where}: {empty[0]} has shape {arrays[empty[0]].shape}, no value at all; it is damaged")


def check_grown(lod: float, name: str, where: str) -> None:
    """Raises CheckpointError for a network that was still growing: its last resolutions were never trained.

    Args:
        lod: the "level of detail" of progressive growing, 0 when it is over.
        name: of the tensor that says so.
        where: the file.
    """
    if lod != 0:
        raise CheckpointError(
            f"{where}: {name} is {lod:g}, expected 0: progressive growing had not reached the full resolution; take a "
            "later snapshot"
        )
