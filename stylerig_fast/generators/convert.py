"""Other projects' checkpoints to our generators: which format a file is in, and reading it without executing it."""

from __future__ import annotations

from pathlib import Path

import torch

from stylerig_fast.errors import CheckpointError
from stylerig_fast.generators.base import Generator
from stylerig_fast.generators.formats import (
    genforce,
    rosinality,
    stylegan2_ada,
    stylegan3,
    tensorflow_stylegan1,
    tensorflow_stylegan2,
)
from stylerig_fast.untrusted import Limits, read_pickle

FORMATS = (stylegan2_ada, stylegan3, tensorflow_stylegan2, tensorflow_stylegan1, rosinality, genforce)


def convert_checkpoint(
    path: str | Path, name: str | None = None, limits: Limits | None = None, allow_nonfinite: bool = False
) -> tuple[Generator, str]:
    """Reads a checkpoint of another project.

    The file is parsed in a child process with limits of memory and time; whatever it asks to be called is refused.

    Args:
        path: an NVIDIA or TensorFlow pickle, or a ``torch.save`` file.
        name: `Generator.name`; by default the file's name without its ending.
        limits: of the child process.
        allow_nonfinite: take weights that hold NaN or infinities.

    Returns:
        The generator, frozen and in eval mode, and the name of the format.

    Raises:
        CheckpointError: missing, damaged, hostile, of no known format, or not exactly of the architecture that it says.
    """
    path = Path(path)
    tree = read_pickle(path, limits or Limits())
    for form in FORMATS:
        if form.matches(tree):
            generator = form.convert(tree, str(path), name or path.stem).eval().requires_grad_(False)
            if not allow_nonfinite:
                check_finite(generator, str(path))
            return generator, form.FORMAT
    known = ", ".join(form.FORMAT for form in FORMATS)
    raise CheckpointError(f"{path}: no generator checkpoint of a known format ({known}); found {describe(tree)}")


def check_finite(generator: Generator, where: str) -> None:
    """Raises CheckpointError, naming them, if weights hold NaN or infinities."""
    wrong = [name for name, value in generator.state_dict().items() if not bool(torch.isfinite(value).all())]
    if wrong:
        raise CheckpointError(
            f"{where}: {len(wrong)} tensors hold values that are not finite: {', '.join(wrong[:6])}; training had "
            "diverged, take an earlier checkpoint (or pass --allow-nonfinite to look at it)"
        )


def describe(tree: object) -> str:
    """What is at the top of a checkpoint, for messages."""
    if isinstance(tree, dict):
        names = ", ".join(map(str, list(tree)[:8]))
        return f"a dictionary of {len(tree)}: {names}{', …' if len(tree) > 8 else ''}"
    return f"a {type(tree).__name__}"
