"""Exports the parts of an Engine as ONNX graphs, and writes the folder that backends and other programs read.

The graphs, all with the batch as first dimension, float32 except for the pictures:

- ``rig``: ``w (num_ws, w_dim)``, ``params (P)``, ``source (P)`` -> ``w_edited``
- ``generator``: ``ws`` -> ``image`` uint8 ``(R, R, 3)``
- ``edit``: ``w``, ``params``, ``source`` -> ``image``: the two after each other
- ``reconstructor``: ``w`` -> ``params``
"""

from __future__ import annotations

import io
import json
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np
import onnx
import torch

from stylerig_fast import __version__
from stylerig_fast.atomic_files import write_together
from stylerig_fast.engine import Engine
from stylerig_fast.engine.backends.graph_folder import (
    FORMAT,
    MANIFEST,
    PEOPLE,
    PRECISIONS,
    ExportManifest,
    Identity,
    fingerprint,
)
from stylerig_fast.errors import ExportError
from stylerig_fast.face import FaceModel
from stylerig_fast.generators import Generator
from stylerig_fast.param_layout import BLOCKS
from stylerig_fast.reconstructor import FaceReconstructor
from stylerig_fast.rignet import RigNet

from . import rig as rig_graphs
from .families import synthesis
from .graph import GraphBuilder, Value, check
from .picture import levels


@dataclass(frozen=True)
class ExportParts:
    """What is exported: the parts of an Engine, generator in float32."""

    generator: Generator
    rig: RigNet
    reconstructor: FaceReconstructor
    face_model: FaceModel

    @staticmethod
    def of(engine: Engine) -> ExportParts:
        return ExportParts(engine.generator, engine.rig_net, engine.reconstructor, engine.face_model)


@dataclass(frozen=True)
class ExportOptions:
    """How graphs are written.

    Attributes:
        precision: what the generator's convolutions compute in; styles, sums and the picture stay float32.
        batch: that many at a time, or any number with None.
        resolution: width and height of the pictures; the generator's own by default.
    """

    precision: torch.dtype = torch.float32
    batch: int | None = None
    resolution: int | None = None


def export_onnx(parts: ExportParts, folder: str | Path, options: ExportOptions | None = None) -> ExportManifest:
    """Writes the graphs, ``export.json`` and ``people.npy``.

    Over another export either this one or that one is there at any moment, also after a crash. ``people.npy`` holds
    codes of eight random people, for programs that have no mapping network.

    Args:
        parts: generator in float32.
        folder: created if needed.
        options: float32, any batch, full resolution by default.

    Returns:
        What ``export.json`` says.

    Raises:
        ExportError: no graph can be made of these parts with these options.
    """
    folder, options = Path(folder), options or ExportOptions()
    if folder.exists() and not folder.is_dir():
        raise ExportError(f"{folder} is a file; name a folder for the graphs")
    manifest = describe(parts, options)

    def files() -> Iterator[tuple[str, bytes]]:
        for name in GRAPHS:
            yield f"{name}.onnx", graph(parts, name, options, manifest).SerializeToString()
        yield PEOPLE, _people(parts.generator)

    def described(sums: dict[str, str]) -> bytes:
        return (json.dumps(asdict(replace(manifest, files=sums)), indent=2) + "\n").encode()

    return replace(manifest, files=write_together(folder, files(), MANIFEST, described))


def describe(parts: ExportParts, options: ExportOptions) -> ExportManifest:
    """The manifest of an export: names, fingerprints and sizes; no files yet."""
    generator, precision = parts.generator, options.precision
    if precision not in PRECISIONS.values():
        raise ExportError(f"precision {precision} is none of {', '.join(PRECISIONS)}")
    if generator.precision != torch.float32:
        raise ExportError(f"the generator's weights have been rounded to {generator.precision}; load it again")
    if options.batch is not None and options.batch < 1:
        raise ExportError(f"batch is {options.batch}, expected 1 or more, or none for any")
    resolution = options.resolution or generator.resolution
    if not 4 <= resolution <= generator.resolution or resolution & (resolution - 1):
        raise ExportError(f"resolution is {resolution}, expected a power of two from 4 to {generator.resolution}")
    return ExportManifest(
        format=FORMAT,
        generator=Identity(generator.name, generator.fingerprint()),
        rig=Identity(parts.rig.config.form, fingerprint(parts.rig)),
        reconstructor=Identity("reconstructor", fingerprint(parts.reconstructor)),
        face_model=Identity(parts.face_model.name, parts.face_model.fingerprint()),
        num_ws=generator.num_ws,
        w_dim=generator.w_dim,
        sizes={name: parts.rig.config.sizes[name] for name in BLOCKS},
        expression_names=parts.reconstructor.config.expression_names,
        resolution=resolution,
        precision=next(name for name, dtype in PRECISIONS.items() if dtype == precision),
        batch="dynamic" if options.batch is None else f"static {options.batch}",
        opset=GraphBuilder("", precision).opset,
        versions={"stylerig_fast": __version__, "onnx": onnx.__version__, "torch": torch.__version__},
        files={},
    )


@torch.no_grad()
def graph(
    parts: ExportParts, name: str, options: ExportOptions, manifest: ExportManifest | None = None
) -> onnx.ModelProto:
    """One of `GRAPHS`, checked.

    Raises:
        ExportError: as `export_onnx`.
    """
    manifest = manifest or describe(parts, options)
    # The rig and the reconstructor are float32 in every export: so are their files.
    precision = options.precision if name in ("generator", "edit") else torch.float32
    made = GraphBuilder(name, precision, options.batch)
    GRAPHS[name](made, parts, manifest)
    identities = {kind: getattr(manifest, kind) for kind in ("generator", "rig", "reconstructor", "face_model")}
    model = made.model(
        {
            "stylerig.graph": name,
            "stylerig.precision": manifest.precision,
            **{f"stylerig.{kind}": each.name for kind, each in identities.items()},
            **{f"stylerig.{kind}_sha256": each.sha256 for kind, each in identities.items()},
        }
    )
    check(model)
    return model


def _rig(made: GraphBuilder, parts: ExportParts, manifest: ExportManifest) -> None:
    made.output(_edited(made, parts, manifest), "w_edited", manifest.num_ws, manifest.w_dim)


def _generator(made: GraphBuilder, parts: ExportParts, manifest: ExportManifest) -> None:
    _picture(made, parts, manifest, made.input("ws", manifest.num_ws, manifest.w_dim))


def _edit(made: GraphBuilder, parts: ExportParts, manifest: ExportManifest) -> None:
    _picture(made, parts, manifest, _edited(made, parts, manifest))


def _reconstructor(made: GraphBuilder, parts: ExportParts, manifest: ExportManifest) -> None:
    w = made.input("w", manifest.num_ws, manifest.w_dim)
    made.output(rig_graphs.reconstructor(made, parts.reconstructor, w), "params", manifest.width)


def _edited(made: GraphBuilder, parts: ExportParts, manifest: ExportManifest) -> Value:
    w = made.input("w", manifest.num_ws, manifest.w_dim)
    params, source = (made.input(name, manifest.width) for name in ("params", "source"))
    with made.scope("rig"):
        return rig_graphs.rig(made, parts.rig, w, params, source)


def _picture(made: GraphBuilder, parts: ExportParts, manifest: ExportManifest, ws: Value) -> None:
    image = levels(made, synthesis(made, parts.generator, ws, manifest.resolution))
    made.output(image, "image", manifest.resolution, manifest.resolution, 3, dtype=torch.uint8)


GRAPHS: dict[str, Callable[[GraphBuilder, ExportParts, ExportManifest], None]] = {
    "rig": _rig,
    "generator": _generator,
    "edit": _edit,
    "reconstructor": _reconstructor,
}


def _people(generator: Generator) -> bytes:
    buffer = io.BytesIO()
    np.save(buffer, generator.sample(8, seed=0).cpu().numpy(), allow_pickle=False)
    return buffer.getvalue()
