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
class Networks:
    """The networks of a run, on the CPU and in float32.

    Attributes:
        plain: an Engine of them on the CPU, with the backend ``torch``.
        trained: whether rig and reconstructor are trained.
        graphs: folders of exported graphs, by their precision.
    """

    plain: Engine
    trained: bool
    graphs: dict[str, Path] = field(default_factory=dict)

    @property
    def generator(self) -> Generator:
        return self.plain.generator

    def engine(self, backend: str, precision: str, device: torch.device) -> Engine:
        """An Engine with copies of the networks: lower precisions round the weights in place.

        Args:
            backend: of the Engine.
            precision: name of a torch dtype.
            device: of the Engine.

        Raises:
            BackendUnavailable: the backend cannot run here, or not in this precision.
        """
        plain = self.plain
        return Engine(
            copy.deepcopy(plain.generator),
            copy.deepcopy(plain.rig_net),
            copy.deepcopy(plain.reconstructor),
            plain.face_model,
            plain.reach,
            allow_mismatch=True,  # checked when the model was opened
            backend=backend,  # type: ignore[arg-type]
            device=device,
            dtype=getattr(torch, precision),
            graphs=self.graphs.get(precision),
        )


def open_networks(options: BenchOptions) -> Networks:
    """Loads what the options name.

    Raises:
        CheckpointError: a file is missing or damaged.
        ValueError: no such generator family.
    """
    folders = list(options.graphs)
    if options.generator:
        plain = _untrained_engine(open_generator_or_untrained(options.generator))
    else:
        plain = Engine.from_pretrained(options.model, backend="torch")
        shipped = find_folder(options.model) / "onnx"
        folders += [shipped] if shipped.is_dir() and not folders else []
    return Networks(plain, not options.generator, {precision_of(folder): folder for folder in folders})


def precision_of(folder: Path) -> str:
    """Name of the torch dtype of a folder's graphs; raises CheckpointError if it holds none."""
    return str(PRECISIONS[GraphFolder(folder).manifest.precision]).removeprefix("torch.")


def export(networks: Networks, folder: Path, precisions: Iterable[str]) -> str:
    """Exports the graphs that ``networks`` has no folder of yet.

    Args:
        networks: to export; receives the new folders.
        folder: to write into.
        precisions: to export, as torch names them.

    Returns:
        Why a graph could not be exported; empty if all were.
    """
    if importlib.util.find_spec("onnx") is None:
        return "the Python package onnx is not installed; run: pip install onnx"
    from stylerig_fast.export import onnx

    for precision in precisions:
        if precision not in networks.graphs:
            try:
                onnx.export_onnx(
                    onnx.ExportParts.of(networks.plain),
                    folder / precision,
                    onnx.ExportOptions(getattr(torch, precision)),
                )
            except ExportError as error:
                return str(error)
            networks.graphs[precision] = folder / precision
    return ""


def open_generator_or_untrained(source: str) -> Generator:
    """A generator by name or folder, or an untrained one: ``untrained-FAMILY``.

    Raises:
        ValueError: no such family.
        CheckpointError: no such generator.
    """
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
def _untrained_engine(generator: Generator) -> Engine:
    """An Engine whose rig and reconstructor are untrained: they cost as much as trained ones, and change the code."""
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
