"""``stylerig-bench all`` and ``stylerig-bench page``: everything in one report, and the page of it."""

from __future__ import annotations

import dataclasses
import os
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, TypeVar

import tyro

from stylerig_fast.checkpoint import write_atomically
from stylerig_fast.commands.output import check_output

from ..harness.options import SizeOptions
from ..report.files import read, write
from ..report.gpu_check_results import read_checks
from ..report.page import page
from ..report.plot import draw
from . import batch, edit, start_up, train
from .ops import benchmark as ops
from .session import session

O = TypeVar("O")  # noqa: E741


@dataclass(kw_only=True)
class All(SizeOptions):
    """Everything; with --markdown the page of benchmarks. On two cores about a quarter of an hour."""

    samples: int = 100
    """Edits of each contestant, at least, and half as many of previews; p99 needs 100."""
    seconds: float = 5.0
    """Measured seconds of each row, at least."""
    rounds: int = 10
    """Turns that each contestant gets."""
    batches: tuple[int, ...] = batch.SIZES
    """People per call in `batch`."""
    calls: int = 2
    """Calls of each contestant for each batch."""
    times: int = 3
    """Fresh processes of each contestant."""
    skip: tuple[str, ...] = ()
    """Parts to leave out: edit, batch, start-up, train, ops."""

    def run(self) -> None:
        unknown = [name for name in self.skip if name not in STEPS]
        if unknown:
            raise ValueError(f"--skip {' '.join(unknown)}: there are {', '.join(STEPS)}")
        spent = {}
        with session("all", self) as (current, report):
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
        picture = ""
        if self.plot is not None:
            write_atomically(self.plot, draw(report).encode())
            if self.markdown is not None:
                picture = Path(os.path.relpath(self.plot, self.markdown.parent)).as_posix()
        text = page([report], picture)
        print(text)
        if self.markdown is not None:
            write_atomically(self.markdown, text.encode())


def _taken(kind: type[O], options: Any, **others: Any) -> O:
    """Options of another kind with the fields that both have."""
    names = {field.name for field in dataclasses.fields(kind)} & vars(options).keys()  # type: ignore[arg-type]
    return kind(**{name: getattr(options, name) for name in names} | others)


def _train(current: Any, options: All) -> Any:
    samples = min(30, options.samples)
    return train.measure(_taken(train.Train, options, samples=samples, rounds=min(5, options.rounds)), current.device)


def _ops(current: Any, options: All) -> Any:
    return ops.measure(ops.Options(device=current.device.type, threads=options.threads), print_rows=False)


STEPS: dict[str, Any] = {
    "edit": lambda current, options: edit.measure(current, _taken(edit.Edit, options)),
    "batch": lambda current, options: batch.measure(current, _taken(batch.Batch, options)),
    "start-up": lambda current, options: start_up.measure(current, _taken(start_up.StartUp, options)),
    "train": _train,
    "ops": _ops,
}


@dataclass(kw_only=True)
class Page:
    """Write the page of benchmarks anew from reports that --json wrote and from checks of GPUs, without measuring."""

    files: Annotated[tuple[Path, ...], tyro.conf.Positional]
    """Reports of `all`, of one machine each; and folders of results of `make gpu-check`, one for each call of it."""
    markdown: Path
    """Where to."""
    plot: Path | None = None
    """Draw the first report to this file, and show it on the page."""

    def run(self) -> None:
        check_output(self.markdown, ".md")
        reports, picture = [read(path) for path in self.files if not path.is_dir()], ""
        checks = read_checks([path for path in self.files if path.is_dir()])
        if self.plot is not None:
            check_output(self.plot, ".svg")
            if not reports:
                raise ValueError("--plot draws the first report of `all`, and there is none among the files")
            write_atomically(self.plot, draw(reports[0]).encode())
            picture = Path(os.path.relpath(self.plot, self.markdown.parent)).as_posix()
        write_atomically(self.markdown, page(reports, picture, checks).encode())
