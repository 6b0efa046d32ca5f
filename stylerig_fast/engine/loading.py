"""What an Engine is put together from: finding the parts of a folder, and checking that they belong together."""

from __future__ import annotations

import copy
import importlib.resources
from itertools import chain
from pathlib import Path
from typing import TypeVar

import torch
from torch import Tensor, nn

from stylerig_fast.errors import CheckpointError
from stylerig_fast.face import FaceModel
from stylerig_fast.generators import Generator
from stylerig_fast.provenance import Provenance
from stylerig_fast.reconstructor import FaceReconstructor
from stylerig_fast.rignet import RigNet

M = TypeVar("M", bound=nn.Module)
PRETRAINED = ("mobilestylegan-ffhq",)


def find_folder(source: str | Path) -> Path:
    """The folder of a name in `PRETRAINED`, or the one that ``source`` is.

    Raises:
        CheckpointError: neither.
    """
    if str(source) in PRETRAINED:
        return Path(str(importlib.resources.files("stylerig_fast") / "assets" / str(source)))
    if not Path(source).is_dir():
        raise CheckpointError(f"{source}: neither a folder nor one of {', '.join(PRETRAINED)}")
    return Path(source)


def check_parts(
    generator: Generator,
    rig: RigNet,
    reconstructor: FaceReconstructor,
    face_model: FaceModel,
    allow_mismatch: bool = False,
) -> None:
    """Raises CheckpointError unless the parts were trained together; allowing a mismatch, unless their sizes fit."""
    reconstructor.check_sizes(face_model)
    for name, slots in (("rig", rig.config.num_ws), ("reconstructor", reconstructor.config.num_ws)):
        if slots != generator.num_ws:
            raise CheckpointError(f"the {name} was trained for {slots} slots, the generator has {generator.num_ws}")
    if rig.config.sizes != reconstructor.config.sizes:
        raise CheckpointError(
            f"the rig was trained for parameter sizes {rig.config.sizes}, the reconstructor has "
            f"{reconstructor.config.sizes}; load the pair that was trained together"
        )
    if not allow_mismatch:
        found = Provenance.of(generator, face_model)
        reconstructor.config.provenance.check("reconstructor", found)
        rig.config.provenance.check("rig", found)


def placed(module: M, device: torch.device) -> M:
    """The module on ``device``, frozen, in eval mode; a copy if it lies elsewhere, so that its owner's stays there."""
    if any(value.device != device for value in chain(module.parameters(), module.buffers())):
        module = copy.deepcopy(module).to(device)
    return module.eval().requires_grad_(False)


def expand_codes(w: Tensor, batch: int) -> Tensor:
    """One code ``(1, num_ws, w_dim)`` repeated to a batch; a batch of that size is returned as is."""
    if len(w) not in (1, batch):
        raise ValueError(f"{len(w)} codes do not fit a batch of {batch}")
    return w.expand(batch, -1, -1)
