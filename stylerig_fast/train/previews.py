"""Picture grids that training writes to TensorBoard."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from stylerig_fast.data.portraits import PortraitSet
from stylerig_fast.face import FaceModel
from stylerig_fast.generators.base import Generator
from stylerig_fast.images import to_float, to_uint8
from stylerig_fast.reconstructor import FaceReconstructor
from stylerig_fast.render import render
from stylerig_fast.rignet import RigNet


@torch.no_grad()
def reconstruction_grid(
    model: FaceModel, reconstructor: FaceReconstructor, portraits: PortraitSet, index: Tensor
) -> np.ndarray:
    """One column per portrait: the picture, the rendered face model, the model over the picture.

    Args:
        model: the face model, on the training device.
        reconstructor: the F in training.
        portraits: on the CPU.
        index: ``(n,)`` which of them.

    Returns:
        uint8 ``(H, W, 3)``.
    """
    device = model.mean.device
    picture = to_float(portraits.images[index].to(device))
    rendered = render(model, reconstructor(portraits.ws(index).to(device)), reconstructor.camera, portraits.size)
    mask = rendered.mask[:, None]
    alone = torch.where(mask, rendered.image, torch.ones_like(picture))
    over = torch.where(mask, rendered.image, picture)
    rows = [torch.cat(list(row), dim=-1) for row in (picture, alone, over)]
    grid = torch.cat(rows, dim=-2).clamp(0, 1).mul(255).round().to(torch.uint8)
    return grid.permute(1, 2, 0).cpu().numpy()


@torch.no_grad()
def edit_grid(generator: Generator, rig: RigNet, reconstructor: FaceReconstructor, codes: Tensor) -> np.ndarray:
    """One row per person: unedited, yaw -20 and +20 degrees, open jaw if the face model has one, light from both sides.

    Args:
        generator: makes the pictures, of 128 px at most.
        rig: the RigNet in training.
        reconstructor: the F it is trained against.
        codes: ``(n, num_ws, 512)`` of the people.

    Returns:
        uint8 ``(H, W, 3)``.
    """
    source = reconstructor(codes)
    targets = [source, source.with_pose(yaw=-20), source.with_pose(yaw=20)]
    targets += [source.with_expression(jawOpen=0.5)] if "jawOpen" in source.expression_names else []
    targets += [source.with_light(direction=(side, 0, 1)) for side in (-1, 1)]
    columns = []
    for target in targets:
        edited = rig(codes, target.vector(), source.vector())
        columns.append(torch.cat(list(generator.synthesis(edited, min(128, generator.resolution))), dim=-2))
    return to_uint8(torch.cat(columns, dim=-1)).permute(1, 2, 0).cpu().numpy()
