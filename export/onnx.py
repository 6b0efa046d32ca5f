"""Exports the parts of an Engine as ONNX graphs, and writes the folder that backends and other programs read.

The graphs, all with the batch as first dimension, float32 except for the pictures:

- ``rig``: ``w (num_ws, w_dim)``, ``params (P)``, ``own (P)`` -> ``w_edited``
- ``generator``: ``ws`` -> ``image`` uint8 ``(R, R, 3)``
- ``edit``: ``w``, ``params``, ``own`` -> ``image``: the two after each other
- ``reconstructor``: ``w`` -> ``params``
"""

from __future__ import annotations

import hashlib
import io
import json
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import onnx
import torch

from stylerig_fast import __version__
from stylerig_fast.checkpoint import write_atomically
from stylerig_fast.engine import Engine
from stylerig_fast.engine.backends.graph_folder import FORMAT, HEAD, PEOPLE, PRECISIONS, Head, Identity, fingerprint
from stylerig_fast.errors import ExportError
from stylerig_fast.face import FaceModel
from stylerig_fast.generators import Generator
from stylerig_fast.param_layout import BLOCKS
from stylerig_fast.reconstructor import FaceReconstructor
from stylerig_fast.rignet import RigNet

from . import rig as rig_graphs
from .families import synthesis
from .graph import Graph, Value, check
from .picture import levels


@dataclass(frozen=True)
class Parts:
    """What is exported: the parts of an Engine, generator in float32."""

    generator: Generator
    rig: RigNet
    reconstructor: FaceReconstructor
    face_model: FaceModel

    @staticmethod
    def of(engine: Engine) -> Parts:
        return Parts(engine.generator, engine.rig_net, engine.reconstructor, engine.face_model)


@dataclass(frozen=True)
class Options:
    """How graphs are written.

    Attributes:
        precision: what the generator's convolutions compute in; styles, sums and the picture stay float32.
        batch: that many at a time, or any number with None.
        resolution: width and height of the pictures; the generator's own by default.
    """

    precision: torch.dtype = torch.float32
    batch: int | None = None
    resolution: int | None = None


def export_onnx(parts: Parts, folder: str | Path, options: Options | None = None) -> Head:
    """Writes the graphs, ``export.json`` and ``people.npy``.

    Each file is written whole or not at all, ``export.json`` with the sums of the others last: an interrupted export is
    found on reading. ``people.npy`` holds codes of eight random people, for programs that have no mapping network.

    Args:
        parts: generator in float32.
        folder: created if needed.
        options: float32, any batch, full resolution by default.

    Returns:
        What ``export.json`` says.

    Raises:
        ExportError: no graph can be made of these parts with these options.
    """
    folder, options = Path(folder), options or Options()
    if folder.exists() and not folder.is_dir():
        raise ExportError(f"{folder} is a file; name a folder for the graphs")
    head = describe(parts, options)
    sums = {}
    for name in GRAPHS:
        content = graph(parts, name, options, head).SerializeToString()
        write_atomically(folder / f"{name}.onnx", content)
        sums[f"{name}.onnx"] = hashlib.sha256(content).hexdigest()
    write_atomically(folder / PEOPLE, _people(parts.generator))
    head = Head(**{**vars(head), "files": sums})
    write_atomically(folder / HEAD, (json.dumps(asdict(head), indent=2) + "\n").encode())
    return head


def describe(parts: Parts, options: Options) -> Head:
    """The head of an export: names, fingerprints and sizes; no files yet."""
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
    return Head(
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
        opset=Graph("", precision).opset,
        versions={"stylerig_fast": __version__, "onnx": onnx.__version__, "torch": torch.__version__},
        files={},
    )


@torch.no_grad()
def graph(parts: Parts, name: str, options: Options, head: Head | None = None) -> onnx.ModelProto:
    """One of `GRAPHS`, checked.

    Raises:
        ExportError: as `export_onnx`.
    """
    head = head or describe(parts, options)
    # The rig and the reconstructor are float32 in every export: so are their files.
    precision = options.precision if name in ("generator", "edit") else torch.float32
    made = Graph(name, precision, options.batch)
    GRAPHS[name](made, parts, head)
    identities = {kind: getattr(head, kind) for kind in ("generator", "rig", "reconstructor", "face_model")}
    model = made.model(
        {
            "stylerig.graph": name,
            "stylerig.precision": head.precision,
            **{f"stylerig.{kind}": each.name for kind, each in identities.items()},
            **{f"stylerig.{kind}_sha256": each.sha256 for kind, each in identities.items()},
        }
    )
    check(model)
    return model


def _rig(made: Graph, parts: Parts, head: Head) -> None:
    made.output(_edited(made, parts, head), "w_edited", head.num_ws, head.w_dim)


def _generator(made: Graph, parts: Parts, head: Head) -> None:
    _picture(made, parts, head, made.input("ws", head.num_ws, head.w_dim))


def _edit(made: Graph, parts: Parts, head: Head) -> None:
    _picture(made, parts, head, _edited(made, parts, head))


def _reconstructor(made: Graph, parts: Parts, head: Head) -> None:
    w = made.input("w", head.num_ws, head.w_dim)
    made.output(rig_graphs.reconstructor(made, parts.reconstructor, w), "params", head.width)


def _edited(made: Graph, parts: Parts, head: Head) -> Value:
    w = made.input("w", head.num_ws, head.w_dim)
    params, own = (made.input(name, head.width) for name in ("params", "own"))
    with made.scope("rig"):
        return rig_graphs.rig(made, parts.rig, w, params, own)


def _picture(made: Graph, parts: Parts, head: Head, ws: Value) -> None:
    image = levels(made, synthesis(made, parts.generator, ws, head.resolution))
    made.output(image, "image", head.resolution, head.resolution, 3, dtype=torch.uint8)


GRAPHS: dict[str, Callable[[Graph, Parts, Head], None]] = {
    "rig": _rig,
    "generator": _generator,
    "edit": _edit,
    "reconstructor": _reconstructor,
}


def _people(generator: Generator) -> bytes:
    buffer = io.BytesIO()
    np.save(buffer, generator.sample(8, seed=0).cpu().numpy(), allow_pickle=False)
    return buffer.getvalue()
