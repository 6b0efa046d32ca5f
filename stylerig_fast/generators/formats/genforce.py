"""GenForce checkpoints (https://github.com/genforce/genforce), ``.pth``: StyleGAN 1 and StyleGAN2 generators.

A file holds state dicts by the name of the model, in a training snapshot inside ``models``. Their tensors are what the
TensorFlow originals store, in torch's order of dimensions: gains are applied at run time. What no tensor tells is taken
to be the default of GenForce's code, with which all its published models were made: equalised learning rate, a
learning-rate multiplier of 0.01 in the mapping network, fused upsampling from 128 px on (StyleGAN 1).
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor

from stylerig_fast.errors import CheckpointError
from stylerig_fast.generators.base import Generator
from stylerig_fast.generators.formats import stylegan2
from stylerig_fast.generators.formats.stylegan1 import (
    MAPPING_MULTIPLIER,
    Names,
    check_filled,
    check_grown,
    read_stylegan1,
)
from stylerig_fast.generators.formats.tensors import Tensors
from stylerig_fast.generators.stylegan1 import StyleGAN1
from stylerig_fast.generators.stylegan2 import StyleGAN2
from stylerig_fast.untrusted import Tree

FORMAT = "GenForce (StyleGAN 1 and 2)"
# The averaged generator before the one that was being trained.
MODELS = ("generator_smooth", "generator")


def matches(tree: Tree) -> bool:
    """Whether this holds a generator of GenForce's code."""
    return _find(tree) is not None


def convert(tree: Tree, where: str, name: str) -> Generator:
    """The averaged generator of a checkpoint, or else the one that it has.

    Args:
        tree: the checkpoint.
        where: the file, for messages.
        name: see `Generator`.

    Raises:
        CheckpointError: it takes labels, was still growing, or its tensors are not exactly those of the architecture.
    """
    found = _find(tree)
    if found is None:
        raise CheckpointError(f"{where}: no generator of GenForce's code in it")
    check_filled(found, where)
    with Tensors(found, where) as tensors:
        for label, dimension in (("mapping.label_weight", 0), ("mapping.LabelEmbed.weight", 1)):
            if label in tensors:
                stylegan2.check_labels(tensors.shape(label)[dimension], where)
        tensors.shape("mapping.dense0.weight")  # or it is missing, which the count of these layers would not tell
        second = "synthesis.early_layer.const" in tensors
        generator: StyleGAN1 | StyleGAN2 = _stylegan2(tensors, name) if second else _stylegan1(tensors, name)
    _check_multiplier(generator.mapping_network.layers[0].weight, where)  # type: ignore[arg-type]
    return generator


def _find(tree: Tree) -> dict[str, np.ndarray] | None:
    """The state dict of the generator, a data-parallel one's prefix removed."""
    if isinstance(tree, dict) and isinstance(tree.get("models"), dict):
        tree = tree["models"]
    for model in MODELS:
        state = tree.get(model) if isinstance(tree, dict) else None
        if isinstance(state, dict) and state:
            arrays = {key.removeprefix("module."): value for key, value in state.items()}
            if "truncation.w_avg" in arrays and all(isinstance(value, np.ndarray) for value in arrays.values()):
                return arrays
    return None


def _stylegan1(tensors: Tensors, name: str) -> StyleGAN1:
    count = 0
    while f"synthesis.layer{2 * count}.bias" in tensors:
        count += 1
    if "synthesis.lod" in tensors:
        check_grown(float(tensors.take("synthesis.lod", ())), "synthesis.lod", tensors.where)
    layers = [f"synthesis.layer{i}." for i in range(2 * count)]
    for i in range(count):
        _check_blur(tensors, f"synthesis.layer{2 * i}.blur.kernel")
        # Pictures of the lower resolutions, for progressive growing only.
        if i < count - 1:
            tensors.drop(f"synthesis.output{i}.weight")
            tensors.drop(f"synthesis.output{i}.bias")
    names = Names(
        dense="mapping.dense{}.",
        layers=layers,
        noise=[f"{layer}apply_noise.noise" for layer in layers],
        strength="apply_noise.weight",
        style="style.",
        to_rgb=f"synthesis.output{count - 1}.",
        outputs_last=False,
    )
    return read_stylegan1(tensors, names, tensors.take("truncation.w_avg", (None,)), name)


def _stylegan2(tensors: Tensors, name: str) -> StyleGAN2:
    where = tensors.where
    w_mean = tensors.take("truncation.w_avg", (None,))
    state: dict[str, Tensor] = {"const": tensors.take("synthesis.early_layer.const", (1, None, 4, 4))[0]}
    channels = [int(state["const"].shape[0])]
    filters = [tensors.take("synthesis.upsample.kernel", (1, 1, None, None))[0, 0]]
    layers = 0
    while f"mapping.dense{layers}.weight" in tensors:
        source = f"mapping.dense{layers}"
        weight = tensors.take(f"{source}.weight", (None, None))
        bias = tensors.take(f"{source}.bias", (weight.shape[0],))
        state |= stylegan2.dense_state(layers, weight, bias, MAPPING_MULTIPLIER)
        layers += 1

    def affine(source: str) -> tuple[Tensor, Tensor]:
        weight = tensors.take(f"{source}.style.weight", (None, w_mean.shape[0]))
        return weight / weight.shape[1] ** 0.5, tensors.take(f"{source}.style.bias", (weight.shape[0],)) + 1

    i = 0
    while f"synthesis.layer{i}.weight" in tensors:
        source, side = f"synthesis.layer{i}", 4 << (i + 1) // 2
        weight = tensors.take(f"{source}.weight", (None, channels[-1], 3, 3))
        outputs = int(weight.shape[0])
        if i % 2:
            filters.append(tensors.take(f"{source}.filter.kernel", (1, 1, None, None))[0, 0])
            channels.append(outputs)
            weight = weight.flip(2, 3)  # the transposed convolution is given the mirror image
        state |= stylegan2.conv_state(
            i,
            weight / (9 * weight.shape[1]) ** 0.5,
            affine(source),
            tensors.take(f"{source}.bias", (outputs,)),
            tensors.take(f"{source}.noise_strength", ()),
            tensors.take(f"{source}.noise", (1, 1, side, side)),
        )
        i += 1
    for i, inputs in enumerate(channels):
        source = f"synthesis.output{i}"
        weight, bias = tensors.take(f"{source}.weight", (3, inputs, 1, 1)), tensors.take(f"{source}.bias", (3,))
        state |= stylegan2.rgb_state(i, weight, affine(source), bias)
    config: dict[str, Any] = {"channels": channels, "w_dim": int(w_mean.shape[0]), "mapping_layers": layers}
    taps = stylegan2.common_filter(filters, where)
    return stylegan2.build(state, w_mean, where, resample_filter=taps, name=name, **config)


def _check_multiplier(weight: Tensor, where: str) -> None:
    """Refuses mapping networks whose weights cannot be those of the multiplier that no tensor tells.

    In the file, weights begin with a standard deviation of one over the multiplier, and training changes it by little.

    Args:
        weight: of the first layer, gains folded in.
        where: the file.
    """
    spread = float(weight.std()) * (weight.shape[1] / 2) ** 0.5 / MAPPING_MULTIPLIER
    if spread < 0.1 / MAPPING_MULTIPLIER:
        raise CheckpointError(
            f"{where}: mapping.dense0.weight has a standard deviation of {spread:.3g}, expected about "
            f"{1 / MAPPING_MULTIPLIER:g}: made with another mapping_lr_mul than 0.01, or the weights hold the gains "
            "already; only the layout of GenForce's own code can be converted"
        )


def _check_blur(tensors: Tensors, name: str) -> None:
    if name in tensors:
        line = torch.tensor([1.0, 2.0, 1.0]) / 4
        kernel = tensors.take(name, (None, 1, 3, 3))
        if not torch.allclose(kernel, torch.outer(line, line).expand_as(kernel), atol=1e-6):
            raise CheckpointError(f"{tensors.where}: {name} is another filter than [1, 2, 1], the only one known here")
