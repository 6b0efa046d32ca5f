"""The systems that are measured: the Engine's backends, and others that run the same networks."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Protocol

import torch
from torch import Tensor

from stylerig_fast.engine.backends.base import BACKENDS
from stylerig_fast.errors import BackendUnavailable, StyleRigError
from stylerig_fast.images import channels_last, to_uint8

from .networks import Networks
from .openvino_system import OpenVINOSystem
from .options import BenchOptions
from .parity import Pixels
from .queries import Query
from .subprocesses import compiles_in_time

EAGER = "PyTorch eager"
# What a system may fail with: its row then says so, and the other systems are measured all the same.
SYSTEM_ERRORS = (StyleRigError, ValueError, RuntimeError)


class System(Protocol):
    """Something that edits pictures.

    Attributes:
        name: of its rows.
        precision: what the synthesis computes in, as torch names it.
        previews: whether it is also measured at smaller sizes than the generator's own.
    """

    name: str
    precision: str
    previews: bool

    def edit(self, query: Query, resolution: int) -> Pixels:
        """Pictures ``(B, R, R, 3)`` on the host."""
        ...

    def info(self) -> dict[str, object]:
        """What runs where, for the report."""
        ...


class EngineSystem:
    """`Engine.edit` with one of its backends."""

    previews = True

    def __init__(self, networks: Networks, backend: str, precision: str, device: torch.device) -> None:
        """Builds an Engine with weights of its own.

        Args:
            networks: to copy.
            backend: of the Engine.
            precision: name of a torch dtype.
            device: of the Engine.

        Raises:
            BackendUnavailable: the backend cannot run here, or not in this precision.
        """
        self.name, self.precision = backend, precision
        self.engine = networks.engine(backend, precision, device)
        self.graphs = networks.graphs.get(precision)

    def edit(self, query: Query, resolution: int) -> Pixels:
        return self.engine.edit(query.w, query.params, resolution=resolution)

    def on_device(self, query: Query, resolution: int) -> Tensor:
        """Pictures ``(B, R, R, 3)`` on the Engine's device, without waiting for them."""
        return self.engine.edit(query.w, query.params, resolution=resolution, output="torch")

    def info(self) -> dict[str, object]:
        left_out = ("ops", "controls", "rig")
        return {name: value for name, value in self.engine.info().items() if name not in left_out}


class TorchSystem:
    """The generator's module and the rig in eager float32, or with a synthesis compiled by torch.compile."""

    precision = "float32"

    def __init__(self, networks: Networks, device: torch.device, compiled: bool = False) -> None:
        self.name = "torch.compile" if compiled else EAGER
        self.previews = not compiled  # each size would have to be compiled again
        engine = networks.plain if device.type == "cpu" else networks.engine("torch", "float32", device)
        self.rig = engine.rig
        self.synthesis: Callable[..., Tensor] = engine.generator.synthesis
        if compiled:
            self.synthesis = torch.compile(engine.generator.synthesis)

    @torch.no_grad()
    def edit(self, query: Query, resolution: int) -> Pixels:
        codes = self.rig(query.w, query.params)
        # One by one on the CPU, which is what the module does anyway: a batch of float pictures would take memory.
        blocks = codes.split(1) if codes.device.type == "cpu" else (codes,)
        pictures = torch.cat(
            [channels_last(to_uint8(self.synthesis(block, resolution), overwrite=True)) for block in blocks]
        )
        return pictures.cpu().numpy()

    def info(self) -> dict[str, object]:
        return {"backend": self.name}


@dataclass
class Lineup:
    """The systems that can be measured, and why the others cannot.

    Attributes:
        systems: in the order of the tables.
        absent: reasons by name and precision.
    """

    systems: list[Any] = field(default_factory=list)
    absent: dict[str, str] = field(default_factory=dict)

    def add(self, label: str, make: Callable[[], System]) -> None:
        """Adds the system that ``make`` builds, or the reason why it cannot."""
        try:
            self.systems.append(make())
        except BackendUnavailable as error:
            self.absent[label] = str(error)


def line_up(networks: Networks, options: BenchOptions, device: torch.device) -> Lineup:
    """Builds the systems that the options name.

    Args:
        networks: that all of them run.
        options: with backends, precisions and peers.
        device: where they run.

    Raises:
        ValueError: no such backend.
    """
    unknown = [name for name in options.backends if name not in BACKENDS]
    if unknown:
        raise ValueError(f"--backends {' '.join(unknown)}: there are {', '.join(BACKENDS)}")
    lineup = Lineup()
    for backend in options.backends or tuple(BACKENDS):
        for precision in options.precisions(device):
            lineup.add(f"{backend} {precision}", lambda b=backend, p=precision: EngineSystem(networks, b, p, device))  # type: ignore[misc]
    if "eager" in options.peers:
        lineup.add(EAGER, lambda: TorchSystem(networks, device))
    if "compile" in options.peers:
        lineup.add("torch.compile", lambda: _compiled(networks, options, device))
    if "openvino" in options.peers:
        for precision in ("float32", "bfloat16"):
            lineup.add(f"OpenVINO {precision}", lambda p=precision: OpenVINOSystem(networks.plain, p, device))  # type: ignore[misc]
    return lineup


def _compiled(networks: Networks, options: BenchOptions, device: torch.device) -> System:
    compiles_in_time(options, device, networks.generator.resolution)
    return TorchSystem(networks, device, compiled=True)


def edit_all(system: System, queries: list[Query], resolution: int) -> list[Pixels]:
    """The pictures ``(R, R, 3)`` of queries of one person each."""
    return [system.edit(query, resolution)[0] for query in queries]
