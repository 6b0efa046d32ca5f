"""The networks that are measured: those of a trained model, or untrained ones of the same shapes."""

from __future__ import annotations

import copy
import importlib.util
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

import torch

from stylerig_fast.engine import Engine
from stylerig_fast.engine.backends.graph_folder import PRECISIONS, GraphFolder
from stylerig_fast.engine.loading import find_folder
from stylerig_fast.errors import ExportError
from stylerig_fast.face import FaceModel
from stylerig_fast.face.model_io import open_face_model
from stylerig_fast.generators import Generator, open_generator
from stylerig_fast.generators.folder import FAMILIES
from stylerig_fast.reconstructor import FaceReconstructor, ReconstructorConfig
from stylerig_fast.rignet import RigConfig, RigNet, SubspaceRigNet, build

from .options import BenchOptions

UNTRAINED = "untrained-"


@dataclass
class Parts:
    """What Engines are put together from, on the CPU and in float32.

    Attributes:
        plain: an Engine of these parts on the plain ``torch`` backend, on the CPU.
        trained: False where rig and reconstructor are stand-ins.
        graphs: folders of exported graphs by the precision that they are in.
    """

    plain: Engine
    trained: bool
    graphs: dict[str, Path] = field(default_factory=dict)

    @property
    def generator(self) -> Generator:
        return self.plain.generator

    def engine(self, backend: str, precision: str, device: torch.device) -> Engine:
        """An Engine with networks of its own: precisions round weights in place.

        Raises:
            BackendUnavailable: that backend cannot run here, in that precision.
        """
        plain = self.plain
        return Engine(
            copy.deepcopy(plain.generator),
            copy.deepcopy(plain.rig_net),
            copy.deepcopy(plain.reconstructor),
            plain.face_model,
            plain.reach,
            allow_mismatch=True,  # what belongs together has been checked when it was opened
            backend=backend,  # type: ignore[arg-type]
            device=device,
            dtype=getattr(torch, precision),
            graphs=self.graphs.get(precision),
        )


def open_parts(options: BenchOptions) -> Parts:
    """Loads what the options name.

    Raises:
        CheckpointError: something is missing or damaged.
        ValueError: no such family.
    """
    folders = list(options.graphs)
    if options.generator:
        plain = _stand_in(open_any_generator(options.generator))
    else:
        plain = Engine.from_pretrained(options.model, backend="torch")
        own = find_folder(options.model) / "onnx"
        folders += [own] if own.is_dir() and not folders else []
    return Parts(plain, not options.generator, {precision_of(folder): folder for folder in folders})


def precision_of(folder: Path) -> str:
    """Name of the torch dtype that a folder's graphs are in; CheckpointError if it is no such folder."""
    return str(PRECISIONS[GraphFolder(folder).manifest.precision]).removeprefix("torch.")


def export(parts: Parts, folder: Path, precisions: Iterable[str]) -> str:
    """Exports what `Parts.graphs` lacks; returns why it could not, if so.

    Args:
        parts: given the folders.
        folder: to write into.
        precisions: wanted.
    """
    if importlib.util.find_spec("onnx") is None:
        return "the Python package onnx is not installed; run: pip install onnx"
    from stylerig_fast.export import onnx

    for precision in precisions:
        if precision not in parts.graphs:
            try:
                onnx.export_onnx(
                    onnx.ExportParts.of(parts.plain), folder / precision, onnx.ExportOptions(getattr(torch, precision))
                )
            except ExportError as error:
                return str(error)
            parts.graphs[precision] = folder / precision
    return ""


def open_any_generator(source: str) -> Generator:
    """A generator by name or folder, or an untrained one: ``untrained-FAMILY``."""
    if not source.startswith(UNTRAINED):
        return open_generator(source)
    family = source.removeprefix(UNTRAINED)
    if family not in FAMILIES:
        raise ValueError(
            f"--generator {source}: no such family; there are {', '.join(UNTRAINED + n for n in FAMILIES)}"
        )
    torch.manual_seed(0)
    return FAMILIES[family](name=source).eval().requires_grad_(False)


@torch.no_grad()
def _stand_in(generator: Generator) -> Engine:
    """An Engine whose rig and reconstructor are untrained, but cost what trained ones do, and do edit."""
    torch.manual_seed(0)
    model: FaceModel = open_face_model()
    slots, width = generator.num_ws, generator.w_dim
    reconstructor = FaceReconstructor(ReconstructorConfig(slots, model.sizes, model.expression_names, w_dim=width))
    components = min(RigConfig.components, slots * width)
    rig: RigNet = build(RigConfig(slots, model.sizes, w_dim=width, components=components))
    assert isinstance(rig, SubspaceRigNet)
    rig.basis.copy_(torch.linalg.qr(torch.randn(slots * width, components))[0].T)
    rig.direction.copy_(0.1 * torch.randn(rig.direction.shape))
    rig.product.copy_(0.1 * torch.randn(rig.product.shape))
    return Engine(generator, rig, reconstructor, model, backend="torch")
