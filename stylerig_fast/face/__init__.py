"""The face: morphable model, camera, lighting, landmark sets."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from stylerig_fast.face.camera import FFHQ_FOCAL, Camera
    from stylerig_fast.face.model import FaceModel

__all__ = ["FFHQ_FOCAL", "Camera", "FaceModel"]


def __getattr__(name: str) -> Any:
    # These pull in torch, which the child process that reads files of face models does without.
    if name in ("FFHQ_FOCAL", "Camera"):
        from stylerig_fast.face import camera

        return getattr(camera, name)
    if name == "FaceModel":
        from stylerig_fast.face.model import FaceModel

        return FaceModel
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
