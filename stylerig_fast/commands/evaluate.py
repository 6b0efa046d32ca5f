"""``stylerig evaluate``: the figures of the reconstructor and the rig on held-out portraits, against their goals."""

from __future__ import annotations

import json
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from PIL import Image

from stylerig_fast.commands.options import EngineOptions
from stylerig_fast.commands.output import check_output, write_png
from stylerig_fast.errors import BackendUnavailable

if TYPE_CHECKING:
    from stylerig_fast.engine import Engine


@dataclass(kw_only=True)
class Evaluate(EngineOptions):
    """Measure the reconstructor and the rig on held-out portraits; the rig on its pictures, never by itself."""

    portraits: Path
    """Folder of a portrait set, whose last shard is held out; or one shard."""
    what: Literal["all", "reconstructor", "rig"] = "all"
    """What to measure."""
    people: int = 40
    """How many people the rig edits, about 20 pictures each."""
    quick: bool = False
    """Fewer steps per edit."""
    seed: int = 0
    """Seed of the choice of people."""
    resolution: int | None = 512
    """Pixels of the edited pictures' side."""
    grid: Path | None = None
    """Also write a contact sheet of the edited people to this PNG file."""
    grid_people: int = 16
    """How many people are on that sheet."""

    def run(self) -> None:
        if self.grid is not None:
            check_output(self.grid)
        if self.people < 1 or self.grid_people < 1:
            raise ValueError(f"--people {self.people}, --grid-people {self.grid_people}: expected at least 1")
        _check_tools()
        from stylerig_fast.data.portraits import PortraitSet

        # A folder is a whole set, and its last shard the held-out one.
        shards: Any = "held-out" if self.portraits.is_dir() else None
        held_out = PortraitSet.load(self.portraits, shards=shards)
        engine = self.open_engine()
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

    def _rig(self, engine: Engine, held_out: Any) -> Any:
        from rich.progress import MofNCompleteColumn, Progress, TimeElapsedColumn

        from stylerig_fast.evaluation import measure_rig

        columns = (*Progress.get_default_columns(), MofNCompleteColumn(), TimeElapsedColumn())
        with Progress(*columns, console=_console(), transient=True) as progress:
            task = progress.add_task("pictures", total=None)
            report, measured = measure_rig(
                engine,
                held_out,
                people=self.people,
                quick=self.quick,
                seed=self.seed,
                resolution=self.resolution or engine.resolution,
                thumbnails=min(self.grid_people, self.people) if self.grid is not None else 0,
                progress=lambda done: progress.update(task, completed=done),
            )
        if self.grid is not None:
            write_png(_grid(measured.thumbnails.numpy()), self.grid)
        return report


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


def _console() -> Any:
    from rich.console import Console

    return Console(file=sys.stderr)


def _grid(pictures: np.ndarray) -> Image.Image:
    """``(P, K, S, S, 3)`` uint8: people down, as they are and their edits across."""
    people, edits, side = pictures.shape[:3]
    return Image.fromarray(pictures.transpose(0, 2, 1, 3, 4).reshape(people * side, edits * side, 3))
