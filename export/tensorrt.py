"""Builds TensorRT plans of exported graphs, and compares their pictures with torch's before anybody relies on them.

`write_plans` runs with TensorRT for RTX on any machine. Not yet run: what needs a GPU.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from stylerig_fast.atomic_files import write_atomically
from stylerig_fast.engine import Engine
from stylerig_fast.engine.backends.base import Backend, BackendSpec, choose
from stylerig_fast.engine.backends.graph_folder import PRECISIONS, GraphFolder
from stylerig_fast.engine.backends.tensorrt_cache import PlanCache
from stylerig_fast.engine.backends.tensorrt_library import RTX_GPUS, find_library
from stylerig_fast.engine.backends.tensorrt_plan import Profile, plan_for
from stylerig_fast.engine.backends.torch_backend import EagerBackend
from stylerig_fast.errors import ExportError

# What a backend has to reach against float32 eager torch: levels of 255 in float32, PSNR in dB in less.
MAX_ERROR, MIN_PSNR = 2, 40.0
PEOPLE = 4
PLANS = ("generator", "edit")


@dataclass(frozen=True)
class Agreement:
    """How far two sets of pictures are apart.

    Attributes:
        largest: levels of 255.
        psnr: dB, over all pictures; infinite where they are equal.
    """

    largest: int
    psnr: float

    @staticmethod
    def of(images: Tensor, expected: Tensor) -> Agreement:
        error = images.cpu().double() - expected.cpu().double()
        return Agreement(int(error.abs().max()), float(10 * torch.log10(255**2 / error.square().mean())))


def build_plans(engine: Engine, folder: str | Path, out: str | Path | None = None) -> dict[str, object]:
    """Builds, keeps and checks the plans that the backend "tensorrt" runs on this machine.

    Args:
        engine: in float32 on the GPU, with the torch backend: what the plans are compared with.
        folder: what `export_onnx` wrote for its parts.
        out: folder to write ``generator.plan`` and ``edit.plan`` to as well, for other programs.

    Returns:
        what the backend says of itself, the agreement, and the files.

    Raises:
        BackendUnavailable: TensorRT or the GPU is missing, or cannot build a plan.
        ExportError: the plans make other pictures than torch.
    """
    precision = PRECISIONS[GraphFolder(folder).manifest.precision]
    spec = BackendSpec(engine.generator, engine.rig_net, engine.device, precision, Path(folder))
    backend = choose("tensorrt", spec).backend
    agreement = check(backend, engine, precision)
    return {**backend.describe(), **agreement, "wrote": [] if out is None else _write(plans(backend), Path(out))}


def write_plans(folder: str | Path, out: str | Path | None = None, cache: PlanCache | None = None) -> dict[str, object]:
    """Builds and keeps the plans of exported graphs on a machine without a GPU, and tells where they run.

    Nothing compares their pictures with torch's: that takes a GPU.

    Args:
        folder: what `export_onnx` wrote.
        out: folder to write ``generator.plan`` and ``edit.plan`` to as well, for other programs.
        cache: where plans are kept.

    Returns:
        the library and the GPUs that run the plans, the files, their sizes.

    Raises:
        BackendUnavailable: no library is installed that builds without a GPU, or it cannot build a plan.
        CheckpointError: a graph is missing or damaged.
    """
    library, graphs, profile = find_library(), GraphFolder(folder), Profile()
    cache = cache or PlanCache()
    built = {name: plan_for(library, graphs, name, None, profile, cache) for name in PLANS}
    manifest = graphs.manifest
    return {
        "library": str(library),
        "runs on": f"GPUs of compute capability {RTX_GPUS}, with this version of the library, on Linux and Windows",
        "compared with torch": "no: there is no GPU here",
        "precision": manifest.precision,
        "batch": manifest.batch if manifest.static_batch else f"{profile.lowest} to {profile.highest}",
        "resolution": manifest.resolution,
        "kept in": str(cache.folder),
        "wrote": [] if out is None else _write(built, Path(out)),
        "MB": [round(len(plan) / 1e6, 1) for plan in built.values()],
    }


def plans(backend: Backend) -> Mapping[str, bytes]:
    """The plans of a tensorrt backend, by graph."""
    return {name: backend.plan(name) for name in PLANS}  # type: ignore[attr-defined]


def _write(built: Mapping[str, bytes], out: Path) -> list[str]:
    """The files that were written."""
    out.mkdir(parents=True, exist_ok=True)
    paths = {name: out / f"{name}.plan" for name in built}
    for name, path in paths.items():
        write_atomically(path, built[name])
    return [str(path) for path in paths.values()]


@torch.no_grad()
def check(backend: Backend, engine: Engine, precision: torch.dtype) -> dict[str, float]:
    """Compares a backend's pictures of people, as they are and turned, with those of ``engine``.

    Raises:
        ExportError: they differ by more than `MAX_ERROR` in float32, or by less than `MIN_PSNR` in less.
    """
    w = engine.sample(seed=0, n=PEOPLE)
    source = engine.params(w)
    request = source.with_pose(yaw=15)
    size = engine.resolution
    eager = EagerBackend(BackendSpec(engine.generator, engine.rig_net, engine.device))
    inputs = (w, request.vector(), source.vector(), size)
    found = {
        "generator": Agreement.of(backend.pictures(w, size), eager.pictures(w, size)),
        "edit": Agreement.of(backend.edit(*inputs), eager.edit(*inputs)),
    }
    for graph, agreement in found.items():
        wrong = agreement.largest > MAX_ERROR if precision == torch.float32 else agreement.psnr < MIN_PSNR
        if wrong:
            raise ExportError(
                f"the {backend.name} backend's pictures ({graph}) are not torch's: they differ by up to "
                f"{agreement.largest} of 255, PSNR {agreement.psnr:.1f} dB; do not use these plans, and report it"
            )
    return {
        f"{graph} {name}": value
        for graph, each in found.items()
        for name, value in (("largest error of 255", each.largest), ("PSNR dB", each.psnr))
    }
