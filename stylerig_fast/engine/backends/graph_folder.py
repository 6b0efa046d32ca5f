"""Reads a folder of exported graphs, and refuses what could be something else.

Only the standard library is needed to judge a file: ONNX is a protocol buffer, and a few of its fields decide whether a
runtime would read or run anything besides the file itself.
"""

from __future__ import annotations

import hashlib
import os
import stat
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import torch

from stylerig_fast import strict_json
from stylerig_fast.atomic_files import read_member
from stylerig_fast.engine.backends.onnx_scan import scan
from stylerig_fast.errors import CheckpointError
from stylerig_fast.generators import Generator
from stylerig_fast.rignet import RENAMED, RigNet

FORMAT = 2
# Format 1 calls the input `source` of the graphs "own", and its fingerprints of rigs are over the former names.
READABLE = (1, 2)
MANIFEST, PEOPLE = "export.json", "people.npy"
NAMES = ("rig", "generator", "edit", "reconstructor")
PRECISIONS = {"fp32": torch.float32, "fp16": torch.float16, "bf16": torch.bfloat16}
MAX_MANIFEST, MAX_GRAPH = 1 << 20, (1 << 31) - 1


@dataclass(frozen=True)
class Identity:
    """Name and sha256 of a part."""

    name: str
    sha256: str


@dataclass(frozen=True)
class ExportManifest:
    """What ``export.json`` says.

    Attributes:
        format: of the folder.
        generator: name and `Generator.fingerprint`.
        rig: form and `fingerprint`.
        reconstructor: `fingerprint`.
        face_model: name and `FaceModel.fingerprint`.
        num_ws: slots of a code.
        w_dim: length of one slot's code.
        sizes: of the blocks of a parameter vector, in order.
        expression_names: of the expression block.
        resolution: width and height of the pictures.
        precision: a key of `PRECISIONS`.
        batch: "dynamic", or "static N".
        opset: of the generator's graph.
        versions: what it was written with.
        files: sha256 by file name.
    """

    format: int
    generator: Identity
    rig: Identity
    reconstructor: Identity
    face_model: Identity
    num_ws: int
    w_dim: int
    sizes: dict[str, int]
    expression_names: tuple[str, ...]
    resolution: int
    precision: str
    batch: str
    opset: int
    versions: dict[str, str]
    files: dict[str, str]

    @property
    def width(self) -> int:
        """Length of a parameter vector."""
        return sum(self.sizes.values())

    @property
    def static_batch(self) -> int | None:
        """The only batch that the graphs take; None for any."""
        return None if self.batch == "dynamic" else int(self.batch.removeprefix("static "))

    def inputs(self, graph: str) -> tuple[str, ...]:
        """Names of the inputs of a graph that draws: codes; of "rig" and "edit" also target and source."""
        return ("ws",) if graph == "generator" else ("w", "params", "own" if self.format == 1 else "source")


def fingerprint(module: torch.nn.Module, version: int = FORMAT) -> str:
    """sha256 over names, shapes and values of a module's weights.

    Args:
        module: a rig, or another network.
        version: format of the export whose fingerprint this is compared with.
    """
    former = {new: old for old, new in RENAMED.items()} if version == 1 and isinstance(module, RigNet) else {}
    state = {former.get(name, name): value for name, value in module.state_dict().items()}
    digest = hashlib.sha256()
    for name, value in sorted(state.items()):
        digest.update(f"{name}{tuple(value.shape)}".encode())
        digest.update(value.detach().cpu().contiguous().numpy().data)
    return digest.hexdigest()


class GraphFolder:
    """An export folder.

    Attributes:
        folder: where it is.
        manifest: what its ``export.json`` says.
    """

    def __init__(self, folder: str | Path) -> None:
        """Reads ``export.json``.

        Raises:
            CheckpointError: missing, damaged, or of another version.
        """
        self.folder = Path(folder)
        path = self.folder / MANIFEST
        try:
            values = strict_json.loads(read_regular(path, MAX_MANIFEST))
            self.manifest = _manifest(values)
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise CheckpointError(
                f"{path}: not the manifest of an export ({error}); write it with `stylerig export onnx`"
            ) from error

    def check_parts(self, generator: Generator, rig: RigNet) -> None:
        """Raises CheckpointError, naming both, unless the graphs were made of this generator and this rig."""
        found = {
            "generator": (generator.name, generator.fingerprint()),
            "rig": (rig.config.form, fingerprint(rig, self.manifest.format)),
        }
        for part, (name, sha256) in found.items():
            exported: Identity = getattr(self.manifest, part)
            if exported.sha256 != sha256:
                raise CheckpointError(
                    f"{self.folder} holds graphs of the {part} {exported.name!r} (sha256 {exported.sha256[:12]}…), the "
                    f"Engine has {name!r} ({sha256[:12]}…); export again, or take them together anyway with "
                    "allow_mismatch=True"
                )

    def check_sizes(self, generator: Generator, rig: RigNet) -> None:
        """Raises CheckpointError unless codes and parameters have the sizes that the graphs take."""
        manifest = self.manifest
        for what, exported, found in (
            ("num_ws", manifest.num_ws, generator.num_ws),
            ("w_dim", manifest.w_dim, generator.w_dim),
            ("parameter sizes", manifest.sizes, rig.config.sizes),
        ):
            if exported != found:
                raise CheckpointError(
                    f"{self.folder}: graphs with {what} {exported}, the Engine has {found}; export again"
                )

    def path(self, name: str) -> Path:
        return self.folder / f"{name}.onnx"

    def read(self, name: str) -> bytes:
        """The whole graph ``name``, one of `NAMES`: hand these bytes, and no path, to a runtime.

        Raises:
            CheckpointError: missing, no regular file, too large, not what was exported, or it refers to other files.
        """
        path = self.path(name)
        recorded = self.manifest.files.get(path.name, "")
        content = read_member(self.folder, path.name, recorded, lambda found: read_regular(found, MAX_GRAPH))
        digest = hashlib.sha256(content).hexdigest()
        if digest != recorded:
            raise CheckpointError(
                f"{path}: sha256 {digest[:12]}… is not the one in {MANIFEST}: truncated or changed; export again"
            )
        scan(content, path)
        return content


def read_regular(path: Path, limit: int) -> bytes:
    """The content of a regular file of at most ``limit`` bytes; links are not followed.

    Raises:
        CheckpointError: it is anything else.
    """
    try:
        handle = os.open(path, os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0))
    except OSError as error:
        reason = "is a symbolic link" if path.is_symlink() else f"cannot be read ({error.strerror})"
        raise CheckpointError(f"{path}: {reason}; write the graphs with `stylerig export onnx`") from error
    status = os.fstat(handle)
    if not stat.S_ISREG(status.st_mode) or status.st_size > limit:
        os.close(handle)
        raise CheckpointError(f"{path}: {status.st_size} bytes, expected a regular file of at most {limit}")
    with os.fdopen(handle, "rb") as file:
        return file.read(limit)


def _manifest(values: Mapping[str, object]) -> ExportManifest:
    """The manifest from JSON; ValueError, KeyError or TypeError for anything else."""
    if values["format"] not in READABLE:
        raise ValueError(f"format {values['format']!r}, this version reads {READABLE[0]} to {READABLE[-1]}")
    given = dict(values)
    for part in ("generator", "rig", "reconstructor", "face_model"):
        identity = Identity(**given[part])  # type: ignore[arg-type]
        if not isinstance(identity.name, str) or not isinstance(identity.sha256, str):
            raise ValueError(f"{part} is {identity}")
        given[part] = identity
    given["expression_names"] = tuple(given["expression_names"])  # type: ignore[arg-type]
    manifest = ExportManifest(**given)  # type: ignore[arg-type]
    for name in ("num_ws", "w_dim", "resolution", "opset"):
        if not isinstance(getattr(manifest, name), int):
            raise ValueError(f"{name} is {getattr(manifest, name)!r}")
    if manifest.precision not in PRECISIONS:
        raise ValueError(f"precision {manifest.precision!r} is none of {', '.join(PRECISIONS)}")
    if manifest.static_batch is not None and manifest.static_batch < 1:
        raise ValueError(f"batch is {manifest.batch!r}")
    if not all(isinstance(n, int) for n in manifest.sizes.values()) or not all(
        isinstance(s, str) for s in manifest.files.values()
    ):
        raise ValueError("sizes or files are of another kind")
    return manifest
