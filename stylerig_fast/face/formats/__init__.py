"""Readers of published 3D morphable models, one file per format; `read_face_model` tells them apart."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from stylerig_fast.face.formats.detect import read_face_model

__all__ = ["read_face_model"]


def __getattr__(name: str) -> Any:
    # It pulls in torch, which the child process that reads the files does without.
    if name == "read_face_model":
        from stylerig_fast.face.formats.detect import read_face_model

        return read_face_model
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
