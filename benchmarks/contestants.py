"""Who is measured: the Engine's backends, and others that run the same networks."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Protocol

import torch
from torch import Tensor

from stylerig_fast.engine import Engine
from stylerig_fast.engine.backends.base import BACKENDS
from stylerig_fast.errors import BackendUnavailable
from stylerig_fast.images import channels_last, to_uint8

from .children import compiles_in_time
from .openvino_peer import OpenVINO
from .options import BenchOptions
from .parity import Pixels
from .parts import Parts
from .requests import Request

EAGER = "PyTorch eager"


class Contestant(Protocol):
    """Somebody who answers requests.

    Attributes:
        name: of the row.
        precision: what the synthesis computes in, as torch names it.
        previews: whether it is measured at smaller sizes than the generator's own too.
    """

    name: str
    precision: str
    previews: bool

    def edit(self, request: Request, resolution: int) -> Pixels:
        """Pictures ``(B, R, R, 3)`` on the host."""
        ...

    def info(self) -> dict[str, object]:
        """What runs where."""
        ...


class EngineBackend:
    """`Engine.edit` with one of its backends."""

    previews = True

    def __init__(self, parts: Parts, backend: str, precision: str, device: torch.device) -> None:
        self.name, self.precision = backend, precision
        self.engine = parts.engine(backend, precision, device)
        self.graphs = parts.graphs.get(precision)

    def edit(self, request: Request, resolution: int) -> Pixels:
        return self.engine.edit(request.w, request.params, resolution=resolution)

    def on_device(self, request: Request, resolution: int) -> Tensor:
        """The pictures where they are made, not waited for."""
        return self.engine.edit(request.w, request.params, resolution=resolution, output="torch")

    def info(self) -> dict[str, object]:
        keep = ("ops", "controls", "rig")
        return {name: value for name, value in self.engine.info().items() if name not in keep}


class PlainTorch:
    """The generator's module in float32 as it stands, and the rig likewise; or compiled by torch.compile."""

    precision = "float32"

    def __init__(self, parts: Parts, device: torch.device, compiled: bool = False) -> None:
        self.name = "torch.compile" if compiled else EAGER
        self.previews = not compiled  # each size would have to be compiled anew
        engine = parts.plain if device.type == "cpu" else parts.engine("torch", "float32", device)
        self.rig = engine.rig
        self.synthesis: Callable[..., Tensor] = engine.generator.synthesis
        if compiled:
            self.synthesis = torch.compile(engine.generator.synthesis)

    @torch.no_grad()
    def edit(self, request: Request, resolution: int) -> Pixels:
        codes = self.rig(request.w, request.params)
        # One after the other on the CPU, as the module does it anyway: a batch of float pictures would take memory.
        blocks = codes.split(1) if codes.device.type == "cpu" else (codes,)
        pictures = torch.cat(
            [channels_last(to_uint8(self.synthesis(block, resolution), overwrite=True)) for block in blocks]
        )
        return pictures.cpu().numpy()

    def info(self) -> dict[str, object]:
        return {"backend": self.name}


@dataclass
class Line:
    """The contestants that take part, and who does not and why.

    Attributes:
        contestants: in the order of the tables.
        absent: name and precision to reason.
    """

    contestants: list[Any] = field(default_factory=list)
    absent: dict[str, str] = field(default_factory=dict)

    def add(self, label: str, make: Callable[[], Contestant]) -> None:
        try:
            self.contestants.append(make())
        except BackendUnavailable as error:
            self.absent[label] = str(error)


def line_up(parts: Parts, options: BenchOptions, device: torch.device) -> Line:
    """Everybody that the options ask for and that can run here.

    Raises:
        ValueError: a backend that does not exist.
    """
    unknown = [name for name in options.backends if name not in BACKENDS]
    if unknown:
        raise ValueError(f"--backends {' '.join(unknown)}: there are {', '.join(BACKENDS)}")
    line = Line()
    for backend in options.backends or tuple(BACKENDS):
        for precision in options.precisions(device):
            line.add(f"{backend} {precision}", lambda b=backend, p=precision: EngineBackend(parts, b, p, device))  # type: ignore[misc]
    if "eager" in options.peers:
        line.add(EAGER, lambda: PlainTorch(parts, device))
    if "compile" in options.peers:
        line.add("torch.compile", lambda: _compiled(parts, options, device))
    if "openvino" in options.peers:
        for precision in ("float32", "bfloat16"):
            line.add(f"OpenVINO {precision}", lambda p=precision: OpenVINO(parts.plain, p, device))  # type: ignore[misc]
    return line


def _compiled(parts: Parts, options: BenchOptions, device: torch.device) -> Contestant:
    compiles_in_time(options, device, parts.generator.resolution)
    return PlainTorch(parts, device, compiled=True)


def edit_all(contestant: Contestant, requests: list[Request], resolution: int) -> list[Pixels]:
    """The pictures ``(R, R, 3)`` of requests of one person each."""
    return [contestant.edit(request, resolution)[0] for request in requests]


def is_cuda(contestant: Contestant) -> bool:
    engine: Engine | None = getattr(contestant, "engine", None)
    return engine is not None and engine.device.type == "cuda"
