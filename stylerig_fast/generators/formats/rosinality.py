"""StyleGAN2 checkpoints of https://github.com/rosinality/stylegan2-pytorch: the state dict of its ``Generator``."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from stylerig_fast.errors import CheckpointError
from stylerig_fast.generators.base import Generator
from stylerig_fast.generators.formats.stylegan2 import build, common_filter, conv_state, dense_state, rgb_state
from stylerig_fast.generators.formats.tensors import Tensors
from stylerig_fast.untrusted import Tree

FORMAT = "StyleGAN2 (rosinality)"
MULTIPLIER = 0.01  # of the learning rate of the mapping network: `lr_mlp`, which no checkpoint holds


def matches(tree: Tree) -> bool:
    """Whether this is such a checkpoint, or only its state dict."""
    state = _state(tree)
    return all(name in state for name in ("input.input", "conv1.conv.modulation.weight", "to_rgb1.conv.weight"))


def convert(tree: Tree, where: str, name: str) -> Generator:
    """The averaged generator, ``g_ema``, of a checkpoint.

    Args:
        tree: the checkpoint.
        where: the file, for messages.
        name: see `Generator`.

    Raises:
        CheckpointError: its tensors are not exactly those of the architecture.
    """
    arrays = {key: value for key, value in _state(tree).items() if isinstance(value, np.ndarray)}
    w_mean = tree.get("latent_avg") if isinstance(tree, dict) else None
    with Tensors(arrays, where) as tensors:
        tensors.drop("latent_avg")  # beside the tensors, where the checkpoint is nothing but the state dict
        state: dict[str, Tensor] = {}
        layers = 0
        while layers == 0 or f"style.{layers + 1}.weight" in tensors:  # style.0 is the normalisation
            weight = tensors.take(f"style.{layers + 1}.weight", (None, None))
            bias = tensors.take(f"style.{layers + 1}.bias", (weight.shape[0],))
            state |= dense_state(layers, weight, bias, MULTIPLIER)
            layers += 1
        state["const"] = tensors.take("input.input", (1, None, 4, 4))[0]
        # Some versions draw the noise of every picture and keep none.
        noisy = any(key.startswith("noises.") for key in tensors)
        draw = torch.Generator().manual_seed(0)
        filters: list[Tensor] = []
        state |= _conv(tensors, 0, "conv1", filters, None if noisy else draw)
        state |= _rgb(tensors, 0, "to_rgb1", filters)
        channels = [int(state["const"].shape[0])]
        while f"to_rgbs.{len(channels) - 1}.conv.weight" in tensors:
            i = len(channels)
            for layer in (2 * i - 1, 2 * i):
                state |= _conv(tensors, layer, f"convs.{layer - 1}", filters, None if noisy else draw)
            state |= _rgb(tensors, i, f"to_rgbs.{i - 1}", filters)
            channels.append(int(state[f"blocks.{i}.convs.0.bias"].shape[0]))
    if w_mean is not None and not isinstance(w_mean, np.ndarray):
        raise CheckpointError(f"{where}: latent_avg is {w_mean!r:.60}, expected a tensor; the file is damaged")
    return build(
        state,
        None if w_mean is None else torch.from_numpy(np.array(w_mean, np.float32)),
        where,
        channels=channels,
        w_dim=int(state["blocks.0.to_rgb.conv.affine.weight"].shape[1]),
        mapping_layers=layers,
        resample_filter=common_filter(filters, where),
        name=name,
    )


def _state(tree: Tree) -> dict[str, Tree]:
    state = tree.get("g_ema", tree) if isinstance(tree, dict) else {}
    return state if isinstance(state, dict) else {}


def _affine(tensors: Tensors, source: str) -> tuple[Tensor, Tensor]:
    """Weight ``(inputs, w_dim)`` and bias of a style; the bias holds the one around which styles vary."""
    weight = tensors.take(f"{source}.conv.modulation.weight", (None, None))
    bias = tensors.take(f"{source}.conv.modulation.bias", (weight.shape[0],))
    return weight / weight.shape[1] ** 0.5, bias


def _conv(
    tensors: Tensors, layer: int, source: str, filters: list[Tensor], draw: torch.Generator | None
) -> dict[str, Tensor]:
    weight = tensors.take(f"{source}.conv.weight", (1, None, None, 3, 3))[0]
    if f"{source}.conv.blur.kernel" in tensors:
        filters.append(tensors.take(f"{source}.conv.blur.kernel", (None, None)))
    side = 4 << (layer + 1) // 2
    if draw is None:
        noise = tensors.take(f"noises.noise_{layer}", (1, 1, side, side))
    else:
        noise = torch.randn(side, side, generator=draw)
    return conv_state(
        layer,
        weight / (9 * weight.shape[1]) ** 0.5,
        _affine(tensors, source),
        tensors.take(f"{source}.activate.bias", (weight.shape[0],)),
        tensors.take(f"{source}.noise.weight", (1,)),
        noise,
    )


def _rgb(tensors: Tensors, block: int, source: str, filters: list[Tensor]) -> dict[str, Tensor]:
    weight = tensors.take(f"{source}.conv.weight", (1, 3, None, 1, 1))[0]
    if f"{source}.upsample.kernel" in tensors:
        filters.append(tensors.take(f"{source}.upsample.kernel", (None, None)))
    return rgb_state(block, weight, _affine(tensors, source), tensors.take(f"{source}.bias", (1, 3, 1, 1)))
