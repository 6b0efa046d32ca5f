"""The ``torch`` backend: the generator run in this process, on any device.

On the CPU, MobileStyleGAN runs through its compiled op; everything else runs eagerly.
"""

from __future__ import annotations

import torch
from torch import Tensor

from stylerig_fast import ops
from stylerig_fast.engine.backend import Setting
from stylerig_fast.errors import BackendUnavailable
from stylerig_fast.generators import MobileStyleGAN
from stylerig_fast.ops.mobile_synthesis import MobileSynthesis


class EagerBackend:
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


class CompiledBackend:
    """MobileStyleGAN on the CPU, by `ops.mobile_synthesis`."""

    name = "torch"

    def __init__(self, setting: Setting, generator: MobileStyleGAN) -> None:
        self.network = MobileSynthesis(generator, setting.dtype)
        self.rig = setting.rig

    def pictures(self, w: Tensor, resolution: int) -> Tensor:
        return self.network.pictures(w, resolution, preview=resolution in self.network.previews)

    def edit(self, w: Tensor, request: Tensor, own: Tensor, resolution: int) -> Tensor:
        return self.pictures(self.rig(w, request, own), resolution)

    def describe(self) -> dict[str, object]:
        return {"synthesis": f"compiled, {self.network.kernels}"}


def make(setting: Setting) -> EagerBackend | CompiledBackend:
    generator = setting.generator
    compiled = setting.device.type == "cpu" and "reference" not in ops.paths(setting.device)["mobile_synthesis"]
    wanted = setting.dtype in (torch.float32, torch.bfloat16) and generator.precision == torch.float32
    if compiled and wanted and isinstance(generator, MobileStyleGAN):
        return CompiledBackend(setting, generator)
    return EagerBackend(setting)
