"""What runs the generator inside an Engine: one interface, one file per backend, one place that chooses."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, Protocol

import torch
from torch import Tensor

from stylerig_fast.errors import BackendUnavailable
from stylerig_fast.generators import Generator
from stylerig_fast.rignet import RigNet

BackendName = Literal["auto", "torch", "cuda_graph", "onnxruntime", "tensorrt"]
# Where each lives.
BACKENDS = {
    "torch": "stylerig_fast.engine.torch_backend",
    "cuda_graph": "stylerig_fast.engine.cuda_graph_backend",
    "onnxruntime": "stylerig_fast.engine.onnxruntime_backend",
    "tensorrt": "stylerig_fast.engine.tensorrt_backend",
}
# What "auto" tries, the fastest first; graphs and plans run where they are asked for.
AUTO = ("cuda_graph", "torch")


@dataclass(frozen=True)
class Setting:
    """What a backend is made for.

    Attributes:
        generator: in float32, on ``device``, in eval mode.
        rig: likewise.
        device: where codes come from and pictures go.
        dtype: what the synthesis computes in.
        graphs: folder that `stylerig export` wrote, for the backends that run exported graphs.
        allow_mismatch: take graphs that were made of another generator or rig of the same sizes.
        quick_previews: small pictures (`is_preview`) may be made in less precision than ``dtype``.
    """

    generator: Generator
    rig: RigNet
    device: torch.device
    dtype: torch.dtype = torch.float32
    graphs: Path | None = None
    allow_mismatch: bool = False
    quick_previews: bool = False


def is_preview(resolution: int, whole: int) -> bool:
    """Whether a picture is one to look at while a slider moves: a quarter of the whole one's width, or less."""
    return 4 * resolution <= whole


class Backend(Protocol):
    """Codes to pictures.

    Attributes:
        name: as in `BACKENDS`.
    """

    name: str

    def pictures(self, w: Tensor, resolution: int) -> Tensor:
        """uint8 ``(B, R, R, 3)`` of codes ``(B, num_ws, w_dim)``, both on the Engine's device."""
        ...

    def edit(self, w: Tensor, request: Tensor, own: Tensor, resolution: int) -> Tensor:
        """The pictures of edited codes: `pictures` of ``RigNet(w, request, own)``; B codes, B parameter vectors."""
        ...

    def describe(self) -> dict[str, object]:
        """What runs where: provider, precision, what is compiled."""
        ...


@dataclass(frozen=True)
class Choice:
    """A backend, and why a faster one was not taken.

    Attributes:
        backend: the one that runs.
        skipped: name to reason.
    """

    backend: Backend
    skipped: dict[str, str] = field(default_factory=dict)


def choose(name: BackendName, setting: Setting) -> Choice:
    """The backend of that name, or with "auto" the fastest one that can run.

    Raises:
        BackendUnavailable: no such backend, or the one that was asked for by name cannot run here. "auto" goes on to
            the next instead and remembers why, for `Engine.info`.
    """
    if name == "auto":
        skipped: dict[str, str] = {}
        for candidate in AUTO:
            try:
                return Choice(_make(candidate, setting), skipped)
            except BackendUnavailable as error:
                skipped[candidate] = str(error)
        raise BackendUnavailable(f"no backend can run on {setting.device}: {skipped}")
    if name not in BACKENDS:
        raise BackendUnavailable(f"no backend {name!r}; there are auto, {', '.join(BACKENDS)}")
    return Choice(_make(name, setting))


def _make(name: str, setting: Setting) -> Backend:
    make: Callable[[Setting], Backend] = importlib.import_module(BACKENDS[name]).make
    return make(setting)
