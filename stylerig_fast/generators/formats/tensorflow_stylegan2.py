"""StyleGAN2 pickles of NVlabs' TensorFlow code: stylegan2 and stylegan2-ada, ``(G, D, Gs)``.

Names after ``training/networks_stylegan2.py`` of https://github.com/NVlabs/stylegan2; the rules agree with NVlabs' own
converter, ``legacy.py`` of https://github.com/NVlabs/stylegan2-ada-pytorch.
"""

from __future__ import annotations

import re

import numpy as np
from torch import Tensor

from stylerig_fast.errors import CheckpointError
from stylerig_fast.generators.base import Generator
from stylerig_fast.generators.formats import tensorflow
from stylerig_fast.generators.formats.stylegan2 import (
    build,
    check_labels,
    check_sizes,
    conv_state,
    dense_state,
    rgb_state,
    separate_filter,
)
from stylerig_fast.generators.formats.tensors import Tensors
from stylerig_fast.untrusted import Record, Tree

FORMAT = "StyleGAN2 (TensorFlow)"
# What may be asked for, and the one value that can be converted; arguments that are not there have it by default.
ONLY: dict[str, object] = {
    "architecture": "skip",
    "nonlinearity": "lrelu",
    "mapping_nonlinearity": "lrelu",
    "num_channels": 3,
    "normalize_latents": True,
    "use_noise": True,
    "fmap_decay": 1.0,
}
# What says nothing that the tensors' shapes do not say too, or what is of no concern to a trained network.
HARMLESS = {
    *("latent_size", "dlatent_size", "mapping_layers", "mapping_fmaps", "label_fmaps", "resolution"),
    *("fmap_base", "fmap_min", "fmap_max", "truncation_psi", "truncation_cutoff", "truncation_psi_val"),
    *("truncation_cutoff_val", "dlatent_avg_beta", "w_avg_beta", "style_mixing_prob", "structure", "dtype"),
    *("randomize_noise", "fused_modconv", "num_fp16_res", "conditioning", "mapping_func", "synthesis_func", "impl"),
}


def matches(tree: Tree) -> bool:
    """Whether this is a pickle with a StyleGAN2 generator of NVlabs' TensorFlow code."""
    network = tensorflow.find_generator(tree)
    return network is not None and "synthesis/4x4/Conv/mod_weight" in tensorflow.names(network)


def convert(tree: Tree, where: str, name: str) -> Generator:
    """The averaged generator, Gs, of a pickle.

    Args:
        tree: the pickle.
        where: the file, for messages.
        name: see `Generator`.

    Raises:
        CheckpointError: it takes labels, is of another than the skip architecture, or its tensors are not exactly
            those of the architecture.
    """
    network = tensorflow.find_generator(tree)
    if network is None:
        raise CheckpointError(f"{where}: no generator of NVlabs' TensorFlow code in it")
    given = _arguments(network, where)
    multiplier = given.get("mapping_lrmul", 0.01)
    clamp = given.get("conv_clamp")
    if not _is_number(multiplier) or not (clamp is None or _is_number(clamp)):
        raise CheckpointError(
            f"{where}: mapping_lrmul is {multiplier!r:.60}, conv_clamp {clamp!r:.60}; expected finite numbers"
        )
    with Tensors(tensorflow.variables(network, where), where) as tensors:
        tensors.drop("lod")
        state: dict[str, Tensor] = {}
        layers = 0
        while layers == 0 or f"mapping/Dense{layers}/weight" in tensors:
            weight = tensors.take(f"mapping/Dense{layers}/weight", (None, None)).mT.contiguous()
            bias = tensors.take(f"mapping/Dense{layers}/bias", (weight.shape[0],))
            state |= dense_state(layers, weight, bias, multiplier)
            layers += 1
        state["const"] = tensors.take("synthesis/4x4/Const/const", (1, None, 4, 4))[0]
        state |= _conv(tensors, 0, "4x4/Conv")
        channels = [int(state["const"].shape[0])]
        while f"synthesis/{4 << len(channels)}x{4 << len(channels)}/Conv0_up/weight" in tensors:
            i = len(channels)
            block = f"{4 << i}x{4 << i}"
            state |= _conv(tensors, 2 * i - 1, f"{block}/Conv0_up") | _conv(tensors, 2 * i, f"{block}/Conv1")
            channels.append(int(state[f"blocks.{i}.convs.0.bias"].shape[0]))
        for i in range(len(channels)):
            source = f"synthesis/{4 << i}x{4 << i}/ToRGB"
            weight = tensors.take(f"{source}/weight", (1, 1, None, 3)).permute(3, 2, 0, 1).contiguous()
            state |= rgb_state(i, weight, _affine(tensors, source), tensors.take(f"{source}/bias", (3,)))
        w_mean = tensors.take("dlatent_avg", (None,)) if "dlatent_avg" in tensors else None
    check_sizes(given.get("resolution", 1024), channels, given.get("mapping_layers", 8), layers, where)
    taps = given.get("resample_kernel")
    return build(
        state,
        w_mean,
        where,
        channels=channels,
        w_dim=int(state["blocks.0.to_rgb.conv.affine.weight"].shape[1]),
        mapping_layers=layers,
        resample_filter=_filter(taps, where) if taps is not None else (1, 3, 3, 1),
        clamp=clamp,
        name=name,
    )


def _arguments(network: Record, where: str) -> dict[str, Tree]:
    """What the network was made with, if it can be converted."""
    given = tensorflow.arguments(network)
    check_labels(given.get("label_size"), where)
    for key, value in given.items():
        if key in ONLY and value is not None and (isinstance(value, np.ndarray) or value != ONLY[key]):
            raise CheckpointError(f"{where}: {key} is {value!r:.60}; only {ONLY[key]!r} can be converted")
        if key not in ONLY and key not in HARMLESS and key not in _USED:
            raise CheckpointError(
                f"{where}: the generator was made with {key}={value!r:.60}, which NVlabs' code does not have; a fork's?"
            )
    return given


_USED = {"label_size", "mapping_lrmul", "conv_clamp", "resample_kernel"}


def _is_number(value: Tree) -> bool:
    return isinstance(value, (int, float)) and abs(value) < 1e30


def _filter(taps: Tree, where: str) -> tuple[float, ...]:
    if not isinstance(taps, list) or not taps or not all(_is_number(tap) for tap in taps):
        raise CheckpointError(f"{where}: resample_kernel is {taps!r:.60}, expected a list of numbers")
    return separate_filter(Tensor(taps), where)


def _affine(tensors: Tensors, source: str) -> tuple[Tensor, Tensor]:
    """Weight ``(inputs, w_dim)`` and bias of a style."""
    weight = tensors.take(f"{source}/mod_weight", (None, None)).mT.contiguous()
    return weight / weight.shape[1] ** 0.5, tensors.take(f"{source}/mod_bias", (weight.shape[0],)) + 1


def _conv(tensors: Tensors, layer: int, name: str) -> dict[str, Tensor]:
    source = f"synthesis/{name}"
    weight = tensors.take(f"{source}/weight", (3, 3, None, None))
    if re.search("_up$", name):
        # TensorFlow's transposed convolution is the gradient of a correlation with the flipped kernel.
        weight = weight.flip(0, 1)
    weight = weight.permute(3, 2, 0, 1).contiguous()
    side = 4 << (layer + 1) // 2
    return conv_state(
        layer,
        weight / (9 * weight.shape[1]) ** 0.5,
        _affine(tensors, source),
        tensors.take(f"{source}/bias", (weight.shape[0],)),
        tensors.take(f"{source}/noise_strength", ()),
        tensors.take(f"synthesis/noise{layer}", (1, 1, side, side)),
    )
