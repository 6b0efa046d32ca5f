"""StyleGAN 1 pickles of NVlabs' TensorFlow code, ``(G, D, Gs)``, as ``karras2019stylegan-ffhq-1024x1024.pkl``.

Built from documentation, no published file was at hand: names, shapes and arithmetic are those of
``training/networks_stylegan.py`` and ``dnnlib/tflib/network.py`` (versions 2 and 3 of its network records) of
https://github.com/NVlabs/stylegan, and agree with GenForce's converter from this format to its own.
"""

from __future__ import annotations

import numpy as np

from stylerig_fast.errors import CheckpointError
from stylerig_fast.generators.base import Generator
from stylerig_fast.generators.formats import tensorflow
from stylerig_fast.generators.formats.stylegan1 import (
    FUSED_FROM,
    MAPPING_MULTIPLIER,
    Names,
    check_filled,
    check_grown,
    read_stylegan1,
)
from stylerig_fast.generators.formats.stylegan2 import check_labels
from stylerig_fast.generators.formats.tensors import Tensors
from stylerig_fast.untrusted import Record, Tree

FORMAT = "StyleGAN 1 (TensorFlow)"
# What may be asked for, and the one value that can be converted; arguments that are not there have it by default.
ONLY: dict[str, object] = {
    "num_channels": 3,
    "normalize_latents": True,
    "mapping_nonlinearity": "lrelu",
    "nonlinearity": "lrelu",
    "use_styles": True,
    "const_input_layer": True,
    "use_noise": True,
    "use_pixel_norm": False,
    "use_instance_norm": True,
    "blur_filter": [1, 2, 1],
}
# What is taken account of, what tensors' shapes say too, and what is of no concern to a trained network.
KNOWN = {
    *("label_size", "mapping_lrmul", "use_wscale", "fused_scale"),
    *("latent_size", "dlatent_size", "dlatent_broadcast", "mapping_layers", "mapping_fmaps", "resolution"),
    *("fmap_base", "fmap_decay", "fmap_max", "dtype", "randomize_noise", "structure", "dlatent_avg_beta"),
    *("style_mixing_prob", "truncation_psi", "truncation_cutoff", "truncation_psi_val", "truncation_cutoff_val"),
}


def matches(tree: Tree) -> bool:
    """Whether this is a pickle with a StyleGAN 1 generator of NVlabs' TensorFlow code."""
    network = tensorflow.find_generator(tree)
    return network is not None and "synthesis/4x4/Conv/StyleMod/weight" in tensorflow.names(network)


def convert(tree: Tree, where: str, name: str) -> Generator:
    """The averaged generator, Gs, of a pickle.

    Args:
        tree: the pickle.
        where: the file, for messages.
        name: see `Generator`.

    Raises:
        CheckpointError: it takes labels, was still growing, was made with an option that is not known here, or its
            tensors are not exactly those of the architecture.
    """
    network = tensorflow.find_generator(tree)
    if network is None:
        raise CheckpointError(f"{where}: no generator of NVlabs' TensorFlow code in it")
    given = _arguments(network, where)
    arrays = tensorflow.variables(network, where)
    check_filled(arrays, where)
    with Tensors(arrays, where) as tensors:
        if "mapping/LabelConcat/weight" in tensors:
            check_labels(tensors.shape("mapping/LabelConcat/weight")[0], where)
        # The whole network's is what it runs with; it is copied to the synthesis network's.
        lod = "lod" if "lod" in tensors else "synthesis/lod"
        if lod in tensors:
            check_grown(float(tensors.take(lod, ())), lod, where)
        tensors.drop("synthesis/lod")
        count = 1
        while f"synthesis/{4 << count}x{4 << count}/Conv1/weight" in tensors:
            # Pictures of the lower resolutions, for progressive growing only.
            tensors.drop(f"synthesis/ToRGB_lod{count}/weight")
            tensors.drop(f"synthesis/ToRGB_lod{count}/bias")
            count += 1
        layers = ["synthesis/4x4/Const/", "synthesis/4x4/Conv/"]
        for i in range(1, count):
            layers += [f"synthesis/{4 << i}x{4 << i}/{layer}/" for layer in ("Conv0_up", "Conv1")]
        names = Names(
            dense="mapping/Dense{}/",
            layers=layers,
            noise=[f"synthesis/noise{i}" for i in range(2 * count)],
            strength="Noise/weight",
            style="StyleMod/",
            to_rgb="synthesis/ToRGB_lod0/",
            outputs_last=True,
        )
        return read_stylegan1(
            tensors,
            names,
            tensors.take("dlatent_avg", (None,)),
            name,
            float(given.get("mapping_lrmul", MAPPING_MULTIPLIER)),
            bool(given.get("use_wscale", True)),
            {True: 0, False: 1 << 30, "auto": FUSED_FROM}[given.get("fused_scale", "auto")],
        )


def _arguments(network: Record, where: str) -> dict[str, Tree]:
    """What the generator was made with, if it can be converted."""
    given: dict[str, Tree] = {}
    components = network.fields.get("components")
    parts = [part for part in components.values() if isinstance(part, Record)] if isinstance(components, dict) else []
    for part in (network, *parts):
        # The whole network's arguments are handed to its components, which were made with them and keep them.
        given |= tensorflow.arguments(part)
    check_labels(given.get("label_size"), where)
    for key, value in given.items():
        if key in ONLY and (isinstance(value, np.ndarray) or value != ONLY[key]):
            raise CheckpointError(f"{where}: {key} is {value!r:.60}; only {ONLY[key]!r} can be converted")
        if key not in ONLY and key not in KNOWN:
            raise CheckpointError(
                f"{where}: the generator was made with {key}={value!r:.60}, which NVlabs' code does not have; a fork's?"
            )
    for key, kinds, wanted in (
        ("mapping_lrmul", (int, float), "a number"),
        ("use_wscale", (bool,), "True or False"),
        ("fused_scale", (bool, str), "True, False or 'auto'"),
    ):
        value = given.get(key, "auto" if key == "fused_scale" else True)
        if not isinstance(value, kinds) or (isinstance(value, str) and value != "auto"):
            raise CheckpointError(f"{where}: {key} is {value!r:.60}, expected {wanted}")
    return given
