"""Generators as checkpoint folders, ``config.json`` + ``model.safetensors``: all that is ever loaded from disk."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import torch

from stylerig_fast.checkpoint import load_checkpoint, save_checkpoint
from stylerig_fast.generators.base import Generator
from stylerig_fast.generators.mobilestylegan import MobileStyleGAN
from stylerig_fast.generators.stylegan1 import StyleGAN1
from stylerig_fast.generators.stylegan2 import StyleGAN2
from stylerig_fast.generators.stylegan3 import StyleGAN3

KIND = "generator"
FAMILIES: dict[str, type[Generator]] = {
    family.family: family for family in (MobileStyleGAN, StyleGAN1, StyleGAN2, StyleGAN3)
}


def save_generator(folder: str | Path, generator: Generator, **origin: object) -> None:
    """Writes a generator.

    Args:
        folder: created if needed.
        generator: in float32.
        origin: where it comes from, kept in the config and returned by nobody: for people to read.

    Raises:
        ValueError: its weights have been rounded (`Generator.set_precision`).
    """
    if generator.precision != torch.float32:
        raise ValueError(f"the weights of {generator.name} have been rounded to {generator.precision}; load it again")
    config = {"family": generator.family, "arguments": generator.config(), "origin": origin}
    save_checkpoint(folder, KIND, config, generator.state_dict())


def load_generator(folder: str | Path, device: str | torch.device = "cpu") -> Generator:
    """Reads a folder written by `save_generator`: frozen and in eval mode.

    Raises:
        CheckpointError: missing, damaged, of a family that this version does not know, or tensors that do not fit.
    """
    return load_checkpoint(folder, KIND, build).to(device)


def build(config: Mapping[str, object]) -> Generator:
    """The untrained network of a checkpoint's config.

    Raises:
        ValueError: an unknown family, or arguments that are no object.
    """
    family, arguments = config["family"], config["arguments"]
    if family not in FAMILIES:
        raise ValueError(f"family {family!r} is none of {', '.join(FAMILIES)}")
    if not isinstance(arguments, dict):
        raise ValueError(f"arguments are {arguments!r}, expected an object")
    return FAMILIES[str(family)](**arguments)
