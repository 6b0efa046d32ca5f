"""``stylerig evaluate``: the options of `stylerig_fast.evaluation`, and how its results are printed."""

from __future__ import annotations

import dataclasses
import json
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import numpy as np
import torch
import tyro
from PIL import Image

from stylerig_fast.commands.options import EngineOptions
from stylerig_fast.commands.output import check_output, write_png
from stylerig_fast.errors import BackendUnavailable

if TYPE_CHECKING:
    from stylerig_fast.engine import Engine
    from stylerig_fast.evaluation.metrics.results import Report


@dataclass(kw_only=True)
class EvaluateCommand(EngineOptions):
    """Measure the reconstructor and the rig on held-out portraits; the rig on its pictures, never by itself."""

    portraits: Path
    """Folder of a portrait set, whose last shard is held out; or one shard."""
    out: Path | None = None
    """Folder for the whole evaluation: `index.html`, `metrics.json`, `reach.json`; with baselines, the reach of every
    control and the paper's figures. Without it, the metrics of reconstructor and rig are printed."""
    what: Literal["all", "reconstructor", "rig"] = "all"
    """What to print without `--out`."""
    people: int | None = None
    """How many people the rig edits, about 31 pictures each: 500 with `--out` (32 with `--quick`), 40 without."""
    quick: bool = False
    """Fewer people and steps: minutes."""
    compare: str | None = None
    """A second rig, measured on the same people: a name or folder, as `--model`."""
    second_reconstructor: Path | None = None
    """Folder of an independently trained reconstructor, which reads parameters off the edited codes."""
    identity_network: Path | None = None
    """An ONNX network for identity, for example ArcFace: aligned RGB faces in [-1, 1] to vectors."""
    realism_network: Path | None = None
    """An ONNX network for the Fréchet distance, for example Inception: RGB pictures in [-1, 1] to vectors."""
    analyzers: Annotated[int, tyro.conf.arg(aliases=["--judges"])] = 1
    """Processes that measure pictures beside the one that renders; 0 measures in the same one."""
    seed: int = 0
    """Seed of every draw."""
    resolution: int | None = 512
    """Pixels of the edited pictures' side."""
    dtype: Literal["float32", "bfloat16"] = "float32"
    """Of the pictures; bfloat16 takes about half the time to make them where processors have it."""
    grid: Path | None = None
    """Without `--out`: also write a contact sheet of the edited people to this PNG file."""
    grid_people: int = 16
    """How many people are on that sheet."""

    def run(self) -> None:
        if self.grid is not None:
            check_output(self.grid)
        if (self.people is not None and self.people < 1) or self.grid_people < 1 or self.analyzers < 0:
            raise ValueError(
                f"--people {self.people}, --grid-people {self.grid_people}: expected at least 1; "
                f"--analyzers {self.analyzers}: at least 0"
            )
        if self.out is not None and self.out.exists() and not self.out.is_dir():
            raise ValueError(f"--out {self.out}: is a file, not a folder")
        only = {"compare": self.compare, "second-reconstructor": self.second_reconstructor}
        for name, value in only.items():
            if value is not None and self.out is None:
                raise ValueError(f"--{name} belongs to the whole evaluation; name its folder with --out")
        _check_tools()
        from stylerig_fast.data.portraits import PortraitSet

        # A folder is a whole set, and its last shard the held-out one.
        shards: Any = "held-out" if self.portraits.is_dir() else None
        if self.out is not None and shards is None:
            raise ValueError(
                f"--portraits {self.portraits}: baselines are fitted on a set's other shards; give its folder"
            )
        held_out = PortraitSet.load(self.portraits, shards=shards)
        # Without warnings of the reach, which is measured here.
        engine = self.open_engine(getattr(torch, self.dtype), reach=None)
        if self.out is not None:
            self._whole(engine, held_out, self.out)
            return
        reports = []
        if self.what != "rig":
            reports.append(_reconstructor(engine, held_out))
        if self.what != "reconstructor":
            reports.append(self._rig(engine, held_out))
        if self.json:
            print(json.dumps([report.to_json() for report in reports]))
        else:
            for report in reports:
                report.print()

    # ---- the whole evaluation -----------------------------------------------------------------------

    def _whole(self, engine: Engine, held_out: Any, out: Path) -> None:
        from stylerig_fast.data.portraits import PortraitSet
        from stylerig_fast.engine import Engine as AnyEngine
        from stylerig_fast.evaluation import EvaluationPlan, evaluate, write_report
        from stylerig_fast.evaluation.metrics_file import describe_setup
        from stylerig_fast.measurement.memory import give_large_blocks_back
        from stylerig_fast.reconstructor import FaceReconstructor

        began = time.perf_counter()
        give_large_blocks_back()
        make = EvaluationPlan.quick if self.quick else EvaluationPlan.full
        plan = make(self.people, self.seed, self.resolution or engine.resolution)
        training = PortraitSet.load(self.portraits, shards="train", limit=plan.fitted + plan.fresh)
        second = None
        if self.second_reconstructor is not None:
            second = FaceReconstructor.from_pretrained(self.second_reconstructor, engine.device)
            second.check_sizes(engine.face_model)
        other = None
        if self.compare is not None:
            other = AnyEngine.from_pretrained(
                self.compare, generator=engine.generator, device=engine.device, dtype=engine.dtype, reach=None
            )
        with _progress() as progress:
            evaluation = evaluate(
                engine,
                held_out,
                training,
                plan,
                second_rig=other,
                second_reconstructor=second,
                identity_network=self.identity_network,
                realism_network=self.realism_network,
                processes=self.analyzers,
                progress=progress,
            )
        evaluation.seconds["in all"] = time.perf_counter() - began
        content = write_report(out, evaluation, self._settings() | describe_setup(engine, plan))
        if self.json:
            print(json.dumps(content))
        else:
            _goals(evaluation.rig).print()
            print(f"{out / 'index.html'}, metrics.json and reach.json written in {evaluation.seconds['in all']:.0f} s")

    def _settings(self) -> dict[str, object]:
        return {
            "model": self.model,
            "command": " ".join(["stylerig", *sys.argv[1:]]),
            "compare": self.compare,
            "second_reconstructor": self.second_reconstructor and str(self.second_reconstructor),
            "identity_network": self.identity_network and self.identity_network.name,
            "realism_network": self.realism_network and self.realism_network.name,
            "dtype": self.dtype,
        }

    # ---- the rig alone ----------------------------------------------------------------------------

    def _rig(self, engine: Engine, held_out: Any) -> Any:
        from stylerig_fast.evaluation import measure_rig

        people = self.people or 40
        with _progress() as progress:
            report, measured = measure_rig(
                engine,
                held_out,
                people=people,
                quick=self.quick,
                seed=self.seed,
                resolution=self.resolution or engine.resolution,
                thumbnails=min(self.grid_people, people) if self.grid is not None else 0,
                progress=lambda done: progress("pictures", done, 0),
            )
        if self.grid is not None:
            write_png(_grid(measured.thumbnails.numpy()), self.grid)
        return report


def _goals(report: Report) -> Report:
    """The estimates that have a goal; the page has the others."""
    return dataclasses.replace(report, estimates={name: report.estimates[name] for name in report.checked})


def _check_tools() -> None:
    """Raises BackendUnavailable, with the way out, before anything slow is done."""
    try:
        import pyarrow  # noqa: F401
        import rich  # noqa: F401
    except ImportError as error:
        raise BackendUnavailable(
            f"evaluation needs {error.name}: pip install 'stylerig-fast[evaluation]' (see docs/install.md)"
        ) from error


def _reconstructor(engine: Engine, held_out: Any) -> Any:
    from stylerig_fast.evaluation import measure_reconstructor

    return measure_reconstructor(engine.reconstructor, engine.face_model, engine.camera, held_out)


@contextmanager
def _progress() -> Iterator[Any]:
    """A bar on standard error: called with the phase, what is done and how much there is (0: not known)."""
    from rich.console import Console
    from rich.progress import MofNCompleteColumn, Progress, TimeElapsedColumn

    columns = (*Progress.get_default_columns(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=Console(file=sys.stderr), transient=True) as bar:
        tasks: dict[str, Any] = {}

        def show(phase: str, done: int, total: int) -> None:
            if phase not in tasks:
                tasks[phase] = bar.add_task(phase, total=total or None)
            bar.update(tasks[phase], completed=done)

        yield show


def _grid(pictures: np.ndarray) -> Image.Image:
    """``(P, K, S, S, 3)`` uint8: people down, as they are and their edits across."""
    people, edits, side = pictures.shape[:3]
    return Image.fromarray(pictures.transpose(0, 2, 1, 3, 4).reshape(people * side, edits * side, 3))
