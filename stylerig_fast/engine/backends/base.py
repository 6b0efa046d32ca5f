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
Previews = Literal["mean", "early"]
# Where each lives.
BACKENDS = {
    "torch": "stylerig_fast.engine.backends.torch_backend",
    "cuda_graph": "stylerig_fast.engine.backends.cuda_graph",
    "onnxruntime": "stylerig_fast.engine.backends.onnxruntime_backend",
    "tensorrt": "stylerig_fast.engine.backends.tensorrt_backend",
}
# What "auto" tries, the fastest first; graphs and plans run where they are asked for.
AUTO = ("cuda_graph", "torch")


@dataclass(frozen=True)
class BackendSpec:
    """What a backend is made for.

    Attributes:
        generator: in float32, on ``device``, in eval mode.
        rig: likewise.
        device: where codes come from and pictures go.
        dtype: what the synthesis computes in.
        graphs: folder that `stylerig export` wrote, for the backends that run exported graphs.
        allow_mismatch: take graphs that were made of another generator or rig of the same sizes.
        quick_previews: small pictures (`is_preview`) may be made in less precision than ``dtype``.
        previews: what those are: box means of the whole picture, or "early", what the network itself draws at that size
            on the way to the whole one.
    """

    generator: Generator
    rig: RigNet
    device: torch.device
    dtype: torch.dtype = torch.float32
    graphs: Path | None = None
    allow_mismatch: bool = False
    quick_previews: bool = False
    previews: Previews = "mean"

    def refuse_early(self, name: str) -> None:
        """Raises BackendUnavailable if early previews are asked for, of a backend or a generator without them."""
        if self.previews == "early":
            raise BackendUnavailable(
                f"the {name} backend: previews='early' are the pictures that a compiled StyleGAN2 draws at every size, "
                f"which this {type(self.generator).__name__} has not got here; use previews='mean'"
            )


def checked_device(device: torch.device | str) -> torch.device:
    """The device with its number: "cuda" is the current one, whichever that is later on.

    Raises:
        BackendUnavailable: a CUDA device where torch sees none, or not so many.
    """
    found = torch.device(device)
    if found.type != "cuda":
        return found
    if not torch.cuda.is_available():
        raise BackendUnavailable(f"device '{found}' asked for, but torch sees no CUDA device; use device='cpu'")
    index, count = torch.cuda.current_device() if found.index is None else found.index, torch.cuda.device_count()
    if index >= count:
        raise BackendUnavailable(f"device '{found}' asked for, but torch sees {count}: cuda:0 to cuda:{count - 1}")
    return torch.device("cuda", index)


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

    def edit(self, w: Tensor, params: Tensor, source: Tensor, resolution: int) -> Tensor:
        """The pictures of edited codes: `pictures` of ``RigNet(w, params, source)``; B codes, B parameter vectors."""
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
        graphs: exported graphs that were offered.
    """

    backend: Backend
    skipped: dict[str, str] = field(default_factory=dict)
    graphs: Path | None = None

    def describe(self) -> dict[str, object]:
        """What runs, and why not something else; for `Engine.info`."""
        # A backend that runs the graphs says so itself.
        unused = f"{self.graphs}: not used; backend='onnxruntime' or 'tensorrt', asked for by name, runs them"
        offered = {} if self.graphs is None else {"graphs": unused}
        return {"backend": self.backend.name, **offered, **self.backend.describe(), "slower than": self.skipped}


def choose(name: BackendName, spec: BackendSpec) -> Choice:
    """The backend of that name, or with "auto" the fastest one that can run.

    Raises:
        BackendUnavailable: no such backend, or the one that was asked for by name cannot run here. "auto" goes on to
            the next instead and remembers why, for `Engine.info`.
        ValueError: unknown ``previews``.
    """
    if spec.previews not in ("mean", "early"):
        raise ValueError(f"previews is {spec.previews!r}, expected 'mean' or 'early'")
    if name == "auto":
        skipped: dict[str, str] = {}
        for candidate in AUTO:
            try:
                return Choice(_make(candidate, spec), skipped, spec.graphs)
            except BackendUnavailable as error:
                skipped[candidate] = str(error)
        raise BackendUnavailable(f"no backend can run on {spec.device}: {skipped}")
    if name not in BACKENDS:
        raise BackendUnavailable(f"no backend {name!r}; there are auto, {', '.join(BACKENDS)}")
    return Choice(_make(name, spec), graphs=spec.graphs)


def _make(name: str, spec: BackendSpec) -> Backend:
    make: Callable[[BackendSpec], Backend] = importlib.import_module(BACKENDS[name]).make
    return make(spec)
