"""Builds TensorRT plans of exported graphs, and compares their pictures with torch's before anybody relies on them.

Not yet run: neither TensorRT nor a GPU was at hand when this was written.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from stylerig_fast.engine import Engine
from stylerig_fast.engine.backend import Backend, Setting, choose
from stylerig_fast.engine.graphs import PRECISIONS, GraphFolder
from stylerig_fast.engine.torch_backend import EagerBackend
from stylerig_fast.errors import ExportError

# What a backend has to reach against float32 eager torch: levels of 255 in float32, PSNR in dB in less.
MAX_ERROR, MIN_PSNR = 2, 40.0
PEOPLE = 4


@dataclass(frozen=True)
class Agreement:
    """How far two sets of pictures are apart.

    Attributes:
        largest: levels of 255.
        psnr: dB, over all pictures; infinite where they are equal.
    """

    largest: int
    psnr: float

    @staticmethod
    def of(images: Tensor, expected: Tensor) -> Agreement:
        error = images.cpu().double() - expected.cpu().double()
        return Agreement(int(error.abs().max()), float(10 * torch.log10(255**2 / error.square().mean())))


def build_plans(engine: Engine, folder: str | Path) -> dict[str, object]:
    """Builds, keeps and checks the plans that the backend "tensorrt" runs on this machine.

    Args:
        engine: in float32 on the GPU, with the torch backend: what the plans are compared with.
        folder: what `export_onnx` wrote for its parts.

    Returns:
        what the backend says of itself, and the agreement.

    Raises:
        BackendUnavailable: TensorRT or the GPU is missing, or cannot build a plan.
        ExportError: the plans make other pictures than torch.
    """
    precision = PRECISIONS[GraphFolder(folder).head.precision]
    setting = Setting(engine.generator, engine.rig_net, engine.device, precision, Path(folder))
    backend = choose("tensorrt", setting).backend
    return {**backend.describe(), **check(backend, engine, precision)}


def plans(backend: Backend) -> Mapping[str, bytes]:
    """The plans of a tensorrt backend, by graph."""
    return {name: backend.plan(name) for name in ("generator", "edit")}  # type: ignore[attr-defined]


@torch.no_grad()
def check(backend: Backend, engine: Engine, precision: torch.dtype) -> dict[str, float]:
    """Compares a backend's pictures of people, as they are and turned, with those of ``engine``.

    Raises:
        ExportError: they differ by more than `MAX_ERROR` in float32, or by less than `MIN_PSNR` in less.
    """
    w = engine.sample(seed=0, n=PEOPLE)
    own = engine.params(w)
    request = own.with_pose(yaw=15)
    size = engine.resolution
    eager = EagerBackend(Setting(engine.generator, engine.rig_net, engine.device))
    asked = (w, request.vector(), own.vector(), size)
    found = {
        "generator": Agreement.of(backend.pictures(w, size), eager.pictures(w, size)),
        "edit": Agreement.of(backend.edit(*asked), eager.edit(*asked)),
    }
    for graph, agreement in found.items():
        wrong = agreement.largest > MAX_ERROR if precision == torch.float32 else agreement.psnr < MIN_PSNR
        if wrong:
            raise ExportError(
                f"the {backend.name} backend's pictures ({graph}) are not torch's: they differ by up to "
                f"{agreement.largest} of 255, PSNR {agreement.psnr:.1f} dB; do not use these plans, and report it"
            )
    return {
        f"{graph} {name}": value
        for graph, each in found.items()
        for name, value in (("largest error of 255", each.largest), ("PSNR dB", each.psnr))
    }
