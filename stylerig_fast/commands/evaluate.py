"""``stylerig evaluate``: the figures of the reconstructor and the rig on held-out portraits, and the report page."""

from __future__ import annotations

import dataclasses
import json
import platform
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import torch
from PIL import Image

from stylerig_fast import __version__
from stylerig_fast.checkpoint import write_atomically
from stylerig_fast.commands.options import EngineOptions
from stylerig_fast.commands.output import check_output, write_png
from stylerig_fast.errors import BackendUnavailable

if TYPE_CHECKING:
    from stylerig_fast.engine import Engine
    from stylerig_fast.evaluation.protocol import Study


@dataclass(kw_only=True)
class Evaluate(EngineOptions):
    """Measure the reconstructor and the rig on held-out portraits; the rig on its pictures, never by itself."""

    portraits: Path
    """Folder of a portrait set, whose last shard is held out; or one shard."""
    out: Path | None = None
    """Folder for the whole evaluation: `index.html`, `metrics.json`, `reach.json`; with baselines, the reach of every
    control and the paper's figures. Without it, the figures of reconstructor and rig are printed."""
    what: Literal["all", "reconstructor", "rig"] = "all"
    """What to print without `--out`."""
    people: int | None = None
    """How many people the rig edits, about 28 pictures each: 500 with `--out` (32 with `--quick`), 40 without."""
    quick: bool = False
    """Fewer people and steps: minutes."""
    compare: str | None = None
    """A second rig, measured on the same people: a name or folder, as `--model`."""
    second_reconstructor: Path | None = None
    """Folder of an independently trained reconstructor, which is asked what it sees in the edited codes."""
    identity_network: Path | None = None
    """An ONNX network for identity, for example ArcFace: aligned RGB faces in [-1, 1] to vectors."""
    realism_network: Path | None = None
    """An ONNX network for the Fréchet distance, for example Inception: RGB pictures in [-1, 1] to vectors."""
    judges: int = 1
    """Processes that look at pictures beside the one that renders; 0 looks in the same one."""
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
        if (self.people is not None and self.people < 1) or self.grid_people < 1 or self.judges < 0:
            raise ValueError(
                f"--people {self.people}, --grid-people {self.grid_people}: expected at least 1; "
                f"--judges {self.judges}: at least 0"
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
        engine = self.open_engine(getattr(torch, self.dtype))
        engine.reach = None  # what it warns of is measured here
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
        from stylerig_fast.evaluation.html_report import write_page
        from stylerig_fast.evaluation.protocol import Plan, run_study
        from stylerig_fast.measurement.memory import give_large_blocks_back
        from stylerig_fast.measurement.range_sweep import reach_table, write_reach
        from stylerig_fast.reconstruction import FaceReconstructor

        began = time.perf_counter()
        give_large_blocks_back()
        size = self.resolution or engine.resolution
        plan = Plan.quick(self.people or 32, self.seed, size) if self.quick else Plan(self.people or 500)
        plan = dataclasses.replace(
            plan,
            seed=self.seed,
            resolution=size,
            compared=min(plan.compared, plan.people),
            swept=min(plan.swept, plan.people),
            mirrored=min(plan.mirrored, plan.people),
        )
        training = PortraitSet.load(self.portraits, shards="train", limit=plan.fitted + plan.fresh)
        second = None
        if self.second_reconstructor is not None:
            second = FaceReconstructor.from_pretrained(self.second_reconstructor, engine.device)
            second.check_sizes(engine.face_model)
        other = None
        if self.compare is not None:
            other = AnyEngine.from_pretrained(
                self.compare, generator=engine.generator, device=engine.device, dtype=engine.dtype
            )
            other.reach = None
        with _lookers(self, engine) as (analyzer, pool), _progress() as progress:
            study = run_study(engine, held_out, training, analyzer, pool, plan, second, other, progress)
        study.seconds["in all"] = time.perf_counter() - began
        settings = self._settings(engine, plan)
        network = "dlib's 128-d descriptor"
        if self.realism_network is not None:
            network = f"the network {self.realism_network.stem}"
        write_reach(out / "reach.json", reach_table(study.sweeps))
        write_page(out / "index.html", study, settings, network)
        plain = metrics(study, settings, network)
        write_atomically(out / "metrics.json", (json.dumps(plain, indent=1) + "\n").encode())
        if self.json:
            print(json.dumps(plain))
        else:
            _goals(study.rig).print()
            print(f"{out / 'index.html'}, metrics.json and reach.json written in {study.seconds['in all']:.0f} s")

    def _settings(self, engine: Engine, plan: Any) -> dict[str, object]:
        return {
            "model": self.model,
            "command": " ".join(["stylerig", *sys.argv[1:]]),
            "compare": self.compare,
            "second_reconstructor": self.second_reconstructor and str(self.second_reconstructor),
            "identity_network": self.identity_network and self.identity_network.name,
            "realism_network": self.realism_network and self.realism_network.name,
            "plan": dataclasses.asdict(plan),
            "rig": dataclasses.asdict(engine.rig_net.config),
            "device": str(engine.device),
            "dtype": self.dtype,
            "versions": {
                "stylerig-fast": __version__,
                "python": platform.python_version(),
                "torch": torch.__version__,
                "numpy": np.__version__,
            },
        }

    # ---- figures of the rig alone -------------------------------------------------------------------

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


def _goals(report: Any) -> Any:
    """The figures that have a goal; the page has the others."""
    return dataclasses.replace(
        report, figures={name: report.figures[name] for name in report.goals if name in report.figures}
    )


def build_analyzer(face_model: Any, camera: Any, identity: Path | None, realism: Path | None) -> Any:
    """An analyzer that describes the person, with a second opinion on pose where there is one; for children too."""
    from stylerig_fast.evaluation.heldout_estimators.feature_network import FeatureNetwork
    from stylerig_fast.evaluation.heldout_estimators.identity import IdentityEncoder
    from stylerig_fast.evaluation.heldout_estimators.mesh_landmarks import MeshPoseEstimator
    from stylerig_fast.measurement.analyzer import FaceAnalyzer

    try:
        mesh = MeshPoseEstimator()
    except BackendUnavailable:
        mesh = None
    networks = [FeatureNetwork(identity, "identity")] if identity is not None else []
    networks += [FeatureNetwork(realism, "realism")] if realism is not None else []
    return FaceAnalyzer(face_model, camera, encoder=IdentityEncoder(), mesh=mesh, networks=networks)


@contextmanager
def _lookers(options: Evaluate, engine: Engine) -> Iterator[tuple[Any, Any]]:
    """The analyzer of this process, and who measures the pictures."""
    from stylerig_fast.measurement.parallel import InlineAnalyzer, ProcessPoolAnalyzer

    model = engine.face_model.to("cpu")
    arguments = (model, engine.camera, options.identity_network, options.realism_network)
    analyzer = build_analyzer(*arguments)
    if not options.judges:
        yield analyzer, InlineAnalyzer(analyzer)
        return
    with ProcessPoolAnalyzer(build_analyzer, arguments, options.judges) as pool:
        yield analyzer, pool


def metrics(study: Study, settings: dict[str, object], network: str) -> dict[str, object]:
    """Everything that was found, as plain values for ``metrics.json``."""
    from stylerig_fast.evaluation.comparison import row_json
    from stylerig_fast.evaluation.iso_identity import standing_json
    from stylerig_fast.measurement.range_sweep import sweep_json

    return {
        "settings": settings,
        "reconstructor": study.reconstructor.to_json(),
        "rig": study.rig.to_json(),
        "second_rig": None if study.other is None else study.other.to_json(),
        "frechet_network": network,
        "methods": [row_json(row) for row in study.rows],
        "standings": [standing_json(standing) for standing in study.standings],
        "reach": sweep_json(study.sweeps),
        "layers": {name: values.tolist() for name, values in study.layers.items()},
        "seconds": study.seconds,
    }


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
