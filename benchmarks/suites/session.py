"""What the benchmarks of one run share: the networks, the systems that run them, the machine, and the report."""

from __future__ import annotations

import dataclasses
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch

from stylerig_fast.engine.reach import ReachWarning

from ..harness.flops import rig_cost, synthesis_cost
from ..harness.machine import CpuLoad, describe
from ..harness.networks import Networks, export, open_networks
from ..harness.options import BenchOptions, SizeOptions
from ..harness.parity import Pixels
from ..harness.peak_rates import PeakRates, measure_peak_rates
from ..harness.queries import Query, QueryGenerator
from ..harness.systems import Lineup, TorchSystem, edit_all, line_up
from ..report.format import FORMAT
from ..report.output import check_outputs

Report = dict[str, Any]
GRAPH_BACKENDS = {"onnxruntime", "tensorrt"}


@dataclasses.dataclass
class BenchSession:
    """What the benchmarks of one run share.

    Attributes:
        device: where the Engine's backends run.
        networks: that all systems run.
        lineup: the systems that are measured.
        seed: of the queries and of the intervals.
        precisions: that are measured.
        peak_rates: the highest that any probe of this run has reached; None before the first one.
    """

    device: torch.device
    networks: Networks
    lineup: Lineup
    seed: int
    precisions: Sequence[str]
    peak_rates: PeakRates | None = None

    def probe(self) -> None:
        """Measures the peak rates once more and keeps the higher ones: any probe may have been disturbed."""
        measured = measure_peak_rates(self.device, self.precisions)
        self.peak_rates = measured if self.peak_rates is None else self.peak_rates.best(measured)

    def queries(self) -> QueryGenerator:
        """A generator at its beginning: every benchmark of the run draws the same queries."""
        return QueryGenerator(self.networks.plain, self.seed)

    def expected(self, queries: list[Query], resolution: int) -> list[Pixels]:
        """The pictures that parity is measured against: plain torch in float32 on the CPU, whatever the device."""
        return edit_all(TorchSystem(self.networks, torch.device("cpu")), queries, resolution)


@contextmanager
def recorded(command: str, device: torch.device) -> Iterator[Report]:
    """A report that says which machine it is of, and what else that machine did during the block."""
    load = CpuLoad().begin()
    report: Report = {"format": FORMAT, "command": command, "setting": describe(device)}
    yield report
    report["load"] = load.end().as_dict()


@contextmanager
def open_session(command: str, options: BenchOptions) -> Iterator[tuple[BenchSession, Report]]:
    """Opens networks and systems, and a report; load and peak rates are measured around the block.

    Raises:
        StyleRigError, ValueError: the options name something that does not exist.
    """
    check_outputs(options)
    device = options.where()
    with recorded(command, device) as report:
        report["options"] = {name: _as_json(value) for name, value in vars(options).items()}
        # Sliders are drawn within reach, but a person's own pose may lie beyond it already.
        warnings.simplefilter("ignore", ReachWarning)
        networks = open_networks(options)
        if isinstance(options, SizeOptions):
            options.sizes(networks.generator.resolution)
        with TemporaryDirectory(prefix="stylerig-bench-") as folder:
            lineup = _with_graphs(networks, options, device, Path(folder))
            report |= _described(networks, lineup)
            current = BenchSession(device, networks, lineup, options.seed, options.precisions(device))
            current.probe()
            yield current, report
            current.probe()
        assert current.peak_rates is not None
        report["ceilings"] = dataclasses.asdict(current.peak_rates)


def _with_graphs(networks: Networks, options: BenchOptions, device: torch.device, folder: Path) -> Lineup:
    """The systems, with graphs exported for those that run them: on the CPU, ONNX Runtime has only float32."""
    problem = ""
    if not options.backends or set(options.backends) & GRAPH_BACKENDS:
        precisions = [name for name in options.precisions(device) if device.type != "cpu" or name == "float32"]
        problem = export(networks, folder, precisions)
    lineup = line_up(networks, options, device)
    for label in lineup.absent.keys() & {f"onnxruntime {name}" for name in ("bfloat16", "float16")}:
        if device.type == "cpu" and not options.graphs:
            lineup.absent[label] = "on the CPU, ONNX Runtime is measured in float32 only: it has no bfloat16 there"
    if problem:
        lineup.absent["graphs"] = problem
    return lineup


def _described(networks: Networks, lineup: Lineup) -> Report:
    """The fields of a report about the networks and the systems."""
    generator = networks.generator
    return {
        "networks": {
            "generator": generator.name,
            "family": generator.family,
            "resolution": generator.resolution,
            "num_ws": generator.num_ws,
            "rig": "trained" if networks.trained else "untrained, of the product's sizes",
            "synthesis": dataclasses.asdict(synthesis_cost(generator, generator.resolution)),
            "rig work": dataclasses.asdict(rig_cost(networks.plain.reconstructor, networks.plain.rig_net)),
        },
        "contestants": [
            {"name": each.name, "precision": each.precision, "info": _as_json(each.info())} for each in lineup.systems
        ],
        "absent": dict(lineup.absent),
    }


def _as_json(value: Any) -> Any:
    """The value with everything that JSON has no type for turned into a string."""
    if isinstance(value, Mapping):
        return {str(name): _as_json(part) for name, part in value.items()}
    if isinstance(value, list | tuple):
        return [_as_json(part) for part in value]
    return value if isinstance(value, bool | int | float | str | None) else str(value)
