"""The ``torch`` backend: the generator run eagerly, on any device."""

from __future__ import annotations

import torch
from torch import Tensor

from stylerig_fast.generators.base import Generator


class TorchBackend:
    """Codes to pictures with plain torch."""

    name = "torch"

    def __init__(self, generator: Generator) -> None:
        self.generator = generator

    def pictures(self, w: Tensor, resolution: int) -> Tensor:
        """uint8 ``(B, R, R, 3)`` of codes ``(B, num_ws, w_dim)``; one by one, so that memory does not grow with B."""
        out = torch.empty(len(w), resolution, resolution, 3, dtype=torch.uint8, device=w.device)
        for row, code in zip(out, w.split(1), strict=True):
            image = self.generator.synthesis(code, resolution)[0]
            row.copy_(image.add(1).mul(127.5).round_().clamp_(0, 255).permute(1, 2, 0))
        return out
