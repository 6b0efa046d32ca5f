"""``stylerig-bench all``: every benchmark of the Engine in one report, and the page of it."""

from __future__ import annotations

import dataclasses
import time
from dataclasses import dataclass
from typing import Any, TypeVar

from ..harness.options import SizeOptions
from ..report.files import write
from ..report.output import write_page
from . import batch, edit, start_up, train
from .ops import benchmark as ops
from .session import BenchSession, open_session

O = TypeVar("O")  # noqa: E741


@dataclass(kw_only=True)
class AllBenchmarks(SizeOptions):
    """Run every benchmark; --markdown writes the page of benchmarks. Takes about a quarter of an hour on two cores."""

    samples: int = 100
    """Edits of each system, at least, and half as many of previews; p99 needs 100."""
    seconds: float = 5.0
    """Measured seconds of each row, at least."""
    rounds: int = 10
    """Rounds in which the systems take turns."""
    batches: tuple[int, ...] = batch.SIZES
    """Batch sizes in `batch`."""
    calls: int = 2
    """Calls of each system for each batch size."""
    times: int = 3
    """Fresh processes of each system."""
    skip: tuple[str, ...] = ()
    """Benchmarks to leave out: edit, batch, start-up, train, ops."""

    def run(self) -> None:
        unknown = [name for name in self.skip if name not in STEPS]
        if unknown:
            raise ValueError(f"--skip {' '.join(unknown)}: there are {', '.join(STEPS)}")
        spent = {}
        with open_session("all", self) as (current, report):
            for name, step in STEPS.items():
                if name not in self.skip:
                    start = time.monotonic()
                    print(f"measuring: {name}", flush=True)
                    report[name] = step(current, self)
                    spent[name] = round(time.monotonic() - start)
                    current.probe()
        report["seconds"] = spent
        print(f"seconds: {spent}")
        write(report, self.json)
        print(write_page([report], [], self.markdown, self.plot))


def _options_of(kind: type[O], options: Any, **others: Any) -> O:
    """Options of one benchmark, with the values of the fields that it shares with ``options``."""
    names = {field.name for field in dataclasses.fields(kind)} & vars(options).keys()  # type: ignore[arg-type]
    return kind(**{name: getattr(options, name) for name in names} | others)


def _edit(current: BenchSession, options: AllBenchmarks) -> Any:
    return edit.measure(current, _options_of(edit.EditBenchmark, options))


def _batch(current: BenchSession, options: AllBenchmarks) -> Any:
    return batch.measure(current, _options_of(batch.BatchBenchmark, options))


def _start_up(current: BenchSession, options: AllBenchmarks) -> Any:
    return start_up.measure(current, _options_of(start_up.StartUpBenchmark, options))


def _train(current: BenchSession, options: AllBenchmarks) -> Any:
    fewer = {"samples": min(30, options.samples), "rounds": min(5, options.rounds)}
    return train.measure(_options_of(train.TrainBenchmark, options, **fewer), current.device)


def _ops(current: BenchSession, options: AllBenchmarks) -> Any:
    device = current.device.type
    return ops.measure(ops.OpsBenchmark(device=device, threads=options.threads), print_rows=False)  # type: ignore[arg-type]


STEPS: dict[str, Any] = {"edit": _edit, "batch": _batch, "start-up": _start_up, "train": _train, "ops": _ops}
