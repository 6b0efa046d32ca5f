"""The face model as the page takes it: one safetensors file, made once."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass

import torch
from safetensors.torch import save

from stylerig_fast.face import FaceModel


@dataclass(frozen=True)
class FaceFile:
    """Bytes and what a browser remembers them by.

    Attributes:
        content: safetensors: mean, albedo_mean float32; identity, expression, albedo float16; triangles, landmarks
            int32. Decimetres; RGB in [0, 1]. ``expression_names`` is JSON in the metadata.
        etag: of the content.
    """

    content: bytes
    etag: str


def face_file(model: FaceModel) -> FaceFile:
    halves = {name: getattr(model, name).half() for name in ("identity", "expression", "albedo")}
    whole = {name: getattr(model, name).float() for name in ("mean", "albedo_mean")}
    indices = {name: getattr(model, name).to(torch.int32) for name in ("triangles", "landmarks")}
    tensors = {name: value.detach().cpu().contiguous() for name, value in {**whole, **halves, **indices}.items()}
    content = save(tensors, {"expression_names": json.dumps(list(model.expression_names)), "name": model.name})
    return FaceFile(content, f'"{hashlib.sha256(content).hexdigest()[:32]}"')
