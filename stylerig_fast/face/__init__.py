"""The face: morphable model, camera, lighting, landmark sets."""

from stylerig_fast.face.camera import FFHQ_FOCAL, Camera
from stylerig_fast.face.model import FaceModel

__all__ = ["FFHQ_FOCAL", "Camera", "FaceModel"]
