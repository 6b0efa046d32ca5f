"""The ``torch`` backend: the generator run by torch, on any device."""

from __future__ import annotations

import torch
from torch import Tensor

from stylerig_fast.engine.backend import Setting
from stylerig_fast.errors import BackendUnavailable


class TorchBackend:
    """Codes to pictures with plain torch."""

    name = "torch"

    def __init__(self, setting: Setting) -> None:
        try:
            self.generator = setting.generator.set_precision(setting.dtype)
        except ValueError as error:
            raise BackendUnavailable(f"the torch backend: {error}") from error
        self.rig = setting.rig

    def pictures(self, w: Tensor, resolution: int) -> Tensor:
        """See `Backend`; one by one, so that memory does not grow with the batch."""
        out = torch.empty(len(w), resolution, resolution, 3, dtype=torch.uint8, device=w.device)
        for row, code in zip(out, w.split(1), strict=True):
            image = self.generator.synthesis(code, resolution)[0]
            row.copy_(image.add(1).mul(127.5).round_().clamp_(0, 255).permute(1, 2, 0))
        return out

    def edit(self, w: Tensor, request: Tensor, own: Tensor, resolution: int) -> Tensor:
        return self.pictures(self.rig(w, request, own), resolution)

    def describe(self) -> dict[str, object]:
        return {"synthesis": "torch, eager"}


def make(setting: Setting) -> TorchBackend:
    return TorchBackend(setting)
