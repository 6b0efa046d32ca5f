"""Picture grids that training writes to TensorBoard."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from stylerig_fast.data.portraits import PortraitSet
from stylerig_fast.face import FaceModel
from stylerig_fast.reconstruction import FaceReconstructor
from stylerig_fast.render import render


@torch.no_grad()
def reconstruction_grid(
    model: FaceModel, reconstructor: FaceReconstructor, portraits: PortraitSet, index: Tensor
) -> np.ndarray:
    """One column per portrait: the picture, the rendered model, the model over the picture; uint8 ``(H, W, 3)``."""
    device = model.mean.device
    picture = portraits.images[index].to(device).float() / 255
    rendered = render(model, reconstructor(portraits.ws(index).to(device)), reconstructor.camera, portraits.size)
    mask = rendered.mask[:, None]
    alone = torch.where(mask, rendered.image, torch.ones_like(picture))
    over = torch.where(mask, rendered.image, picture)
    rows = [torch.cat(list(row), dim=-1) for row in (picture, alone, over)]
    grid = torch.cat(rows, dim=-2).clamp(0, 1).mul(255).round().to(torch.uint8)
    return grid.permute(1, 2, 0).cpu().numpy()
