"""Face models as safetensors files, and the open face model that ships with the package."""

from __future__ import annotations

import json
from importlib.resources import files
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load as load_tensors
from safetensors.torch import save as save_tensors
from torch import Tensor

from stylerig_fast import strict_json
from stylerig_fast.atomic_files import write_atomically
from stylerig_fast.errors import FaceModelError
from stylerig_fast.face.model import FaceModel

FORMAT = "stylerig-fast face model 1"
OPEN_FACE = "open_face.safetensors"

# Stored in half precision: 0.1 % of an offset is far below what a picture shows. The mean stays whole.
_HALF = ("identity", "expression", "albedo_mean", "albedo")
_INTEGERS = {"triangles": torch.int32, "landmarks": torch.int64, "mirror": torch.int64}
_FIELDS = ("mean", *_HALF, *_INTEGERS)


def save_face_model(model: FaceModel, path: str | Path, licence: str = "") -> None:
    """Writes a face model, whole or not at all.

    Args:
        model: the model; bases and albedo are stored in float16, the mean in float32.
        path: the file, usually ``*.safetensors``.
        licence: a line about the model's terms, kept in the file's metadata.
    """
    tensors: dict[str, Tensor] = {"mean": model.mean.float()}
    tensors |= {field: getattr(model, field).half() for field in _HALF}
    tensors |= {field: getattr(model, field).to(torch.int32) for field in _INTEGERS}
    for field in _HALF:
        if not bool(torch.isfinite(tensors[field]).all()):
            raise FaceModelError(f"{model.name}: {field} does not fit float16 (largest value 65504)")
    metadata = {
        "format": FORMAT,
        "name": model.name,
        "expression_names": json.dumps(list(model.expression_names)),
        "licence": licence,
    }
    plain = {name: value.detach().cpu().contiguous() for name, value in tensors.items()}
    write_atomically(Path(path), save_tensors(plain, metadata))


def load_face_model(path: str | Path) -> FaceModel:
    """Reads a face model written by `save_face_model`; floating-point fields become float32.

    Raises:
        FaceModelError: the file is missing, truncated, damaged, or something else.
    """
    path = Path(path)
    if not path.is_file():
        raise FaceModelError(f"{path}: no such file; expected a face model (*.safetensors)")
    return _parse(path.read_bytes(), str(path))


def open_face_model() -> FaceModel:
    """The open face model of this package; `assets/README.md` says what it is made of.

    Raises:
        FaceModelError: the asset is missing or damaged.
    """
    resource = files("stylerig_fast") / "assets" / OPEN_FACE
    if not resource.is_file():
        raise FaceModelError(
            f"{resource}: the open face model is missing; reinstall stylerig-fast, or build it with "
            f"`python -m stylerig_fast.open_face.build --out {OPEN_FACE}`"
        )
    return _parse(resource.read_bytes(), str(resource))


def _parse(content: bytes, where: str) -> FaceModel:
    metadata = _metadata(content, where)
    if metadata.get("format") != FORMAT:
        raise FaceModelError(
            f"{where}: format {metadata.get('format')!r}, expected {FORMAT!r}; "
            "it is not a face model, or one of another version"
        )
    try:
        tensors = load_tensors(content)
        names = strict_json.loads(metadata["expression_names"])
    except (SafetensorError, KeyError, ValueError) as error:
        raise FaceModelError(f"{where}: damaged or truncated ({error}); fetch or build it again") from error
    missing = sorted(set(_FIELDS) - set(tensors))
    if missing:
        raise FaceModelError(f"{where}: lacks the tensors {', '.join(missing)}; fetch or build it again")
    if not (isinstance(names, list) and all(isinstance(name, str) for name in names)):
        raise FaceModelError(f"{where}: expression_names is not a list of names; fetch or build it again")
    for field in _FIELDS:
        if tensors[field].is_floating_point() == (field in _INTEGERS):
            raise FaceModelError(f"{where}: {field} is stored as {tensors[field].dtype}; fetch or build it again")
    try:
        return FaceModel(
            name=metadata.get("name", where),
            expression_names=tuple(names),
            **{field: tensors[field].to(_INTEGERS.get(field, torch.float32)) for field in _FIELDS},
        )
    except (FaceModelError, IndexError) as error:
        raise FaceModelError(f"{where}: damaged ({error}); fetch or build it again") from error


def _metadata(content: bytes, where: str) -> dict[str, str]:
    """The text part of a safetensors header, which the library's bytes reader does not hand out."""
    try:
        length = int.from_bytes(content[:8], "little")
        if len(content) < 8 or not 2 <= length <= len(content) - 8:
            raise ValueError(f"{len(content)} bytes hold no whole header")
        header = strict_json.loads(content[8 : 8 + length])
        metadata = header.get("__metadata__", {})
    except (ValueError, AttributeError) as error:
        raise FaceModelError(f"{where}: not a whole safetensors file ({error}); fetch or build it again") from error
    return metadata if isinstance(metadata, dict) else {}
