"""One run: the networks, the contestants, the machine, and the report that all of it goes into."""

from __future__ import annotations

import dataclasses
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch

from stylerig_fast.commands.output import check_output
from stylerig_fast.engine.reach import ReachWarning

from ..harness import machine
from ..harness.flops import work_of_rig, work_of_synthesis
from ..harness.networks import Parts, export, open_parts
from ..harness.options import BenchOptions, SizeOptions
from ..harness.parity import Pixels
from ..harness.peak_rates import Ceilings, measure_ceilings
from ..harness.queries import Request, Requests
from ..harness.systems import Line, PlainTorch, edit_all, line_up
from ..report.files import FORMAT

Report = dict[str, Any]
GRAPH_BACKENDS = {"onnxruntime", "tensorrt"}


@dataclasses.dataclass
class Session:
    """What the benchmarks of one run share.

    Attributes:
        device: where the Engine's backends run.
        parts: the networks.
        line: who is measured.
        seed: of people, sliders and intervals.
        precisions: that are measured.
        ceilings: the best that all probes so far have seen: any of them may have been disturbed.
    """

    device: torch.device
    parts: Parts
    line: Line
    seed: int
    precisions: Sequence[str]
    ceilings: Ceilings | None = None

    def probe(self) -> None:
        """Measures the ceilings once more."""
        found = measure_ceilings(self.device, self.precisions)
        self.ceilings = found if self.ceilings is None else self.ceilings.best(found)

    def requests(self) -> Requests:
        """Requests from the beginning: the same for every benchmark of the run."""
        return Requests(self.parts.plain, self.seed)

    def reference(self, requests: list[Request], resolution: int) -> list[Pixels]:
        """What the pictures should be: plain torch in float32, on the CPU wherever the contestants run."""
        return edit_all(PlainTorch(self.parts, torch.device("cpu")), requests, resolution)


@contextmanager
def session(command: str, options: BenchOptions) -> Iterator[tuple[Session, Report]]:
    """Opens everything, and closes the report: machine, load and ceilings are measured around what happens inside.

    Raises:
        StyleRigError, ValueError: the options name something that is not there.
    """
    check_outputs(options)
    device = options.where()
    load = machine.Load().begin()
    report: Report = {
        "format": FORMAT,
        "command": command,
        "options": {name: _plain(value) for name, value in vars(options).items()},
        "setting": machine.describe(device),
    }
    warnings.simplefilter("ignore", ReachWarning)  # sliders are drawn within reach; a person may have begun beyond it
    parts = open_parts(options)
    if isinstance(options, SizeOptions):
        options.sizes(parts.generator.resolution)
    with TemporaryDirectory(prefix="stylerig-bench-") as folder:
        line = _with_graphs(parts, options, device, Path(folder))
        report |= _described(parts, line)
        current = Session(device, parts, line, options.seed, options.precisions(device))
        current.probe()
        yield current, report
        current.probe()
    assert current.ceilings is not None
    report["ceilings"] = dataclasses.asdict(current.ceilings)
    report["load"] = load.end().as_dict()


def _with_graphs(parts: Parts, options: BenchOptions, device: torch.device, folder: Path) -> Line:
    """The contestants, with graphs exported for those that run them; ONNX Runtime has only float32 on the CPU."""
    problem = ""
    if not options.backends or set(options.backends) & GRAPH_BACKENDS:
        wanted = [name for name in options.precisions(device) if device.type != "cpu" or name == "float32"]
        problem = export(parts, folder, wanted)
    line = line_up(parts, options, device)
    for label in line.absent.keys() & {f"onnxruntime {name}" for name in ("bfloat16", "float16")}:
        if device.type == "cpu" and not options.graphs:
            line.absent[label] = "on the CPU, ONNX Runtime is measured in float32 only: it has no bfloat16 there"
    if problem:
        line.absent["graphs"] = problem
    return line


def _described(parts: Parts, line: Line) -> Report:
    """What a report says of the networks and of who takes part."""
    generator = parts.generator
    return {
        "networks": {
            "generator": generator.name,
            "family": generator.family,
            "resolution": generator.resolution,
            "num_ws": generator.num_ws,
            "rig": "trained" if parts.trained else "untrained, of the product's sizes",
            "synthesis": dataclasses.asdict(work_of_synthesis(generator, generator.resolution)),
            "rig work": dataclasses.asdict(work_of_rig(parts.plain.reconstructor, parts.plain.rig_net)),
        },
        "contestants": [
            {"name": each.name, "precision": each.precision, "info": _plain(each.info())} for each in line.contestants
        ],
        "absent": dict(line.absent),
    }


def check_outputs(options: BenchOptions) -> None:
    """Raises ValueError for files that could not be written, before the work and not after it."""
    for name, suffix in (("json", ".json"), ("markdown", ".md"), ("plot", ".svg")):
        path = getattr(options, name)
        if path is not None:
            check_output(path, suffix)


def _plain(value: Any) -> Any:
    """As JSON holds it."""
    if isinstance(value, Mapping):
        return {str(name): _plain(part) for name, part in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(part) for part in value]
    return value if isinstance(value, bool | int | float | str | None) else str(value)
