"""The part of a head that portraits show as skin: without scalp, back of the head and lower neck.

Hair and clothes cover those in portraits, and comparing the mesh's colours with them would pollute the photometric
loss. The lines are those the open face model is cut along (`open_face/crop.py`), scaled by the size of the face.
"""

from __future__ import annotations

import dataclasses

import torch
from torch import Tensor

from stylerig_fast.errors import FaceModelError
from stylerig_fast.face.formats.complete_landmarks import open_landmarks
from stylerig_fast.face.formats.to_face_model import landmark_spread, nearest_mirror
from stylerig_fast.face.model import FaceModel

# Decimetres from the origin, in the open model's size. The hair line in profile from forehead to sideburn: (z, y).
HAIR_LINE = ((0.83, 0.85), (0.12, 0.10))
NECK_BOTTOM, BACK = -1.11, -0.10
# Ears are kept whole: at least so far to the side, between these heights, not further back.
EARS = (0.55, (-0.35, 0.45), -0.35)
MARGIN = 0.03


def crop_face(model: FaceModel, where: str) -> FaceModel:
    """The model cut to the face; triangles that cross the cut go too.

    Args:
        model: placed as `read_face_model` places it.
        where: the file, for messages.

    Raises:
        FaceModelError: a landmark lies outside.
    """
    inside = _inside(model)
    triangles = model.triangles[inside[model.triangles.long()].all(1)]
    used = torch.zeros(model.num_vertices, dtype=torch.bool)
    used[triangles.flatten().long()] = True
    if not bool(used[model.landmarks].all()):
        lost = (torch.nonzero(~used[model.landmarks])[:, 0] + 1).tolist()
        raise FaceModelError(f"{where}: cropping would cut off the landmarks {lost}; convert without --crop")
    number = torch.cumsum(used, 0) - 1
    return dataclasses.replace(
        model,
        name=f"{model.name}-cropped",
        mean=model.mean[used],
        identity=model.identity[:, used],
        expression=model.expression[:, used],
        albedo_mean=model.albedo_mean[used],
        albedo=model.albedo[:, used],
        triangles=number[triangles.long()].to(torch.int32),
        landmarks=number[model.landmarks],
        mirror=nearest_mirror(model.mean[used]),
    )


def _inside(model: FaceModel) -> Tensor:
    size = landmark_spread(model.mean[model.landmarks].double().numpy()) / landmark_spread(open_landmarks()[0])
    x, y, z = (model.mean / size).unbind(-1)
    (z0, y0), (z1, y1) = HAIR_LINE
    before_hair = y < y0 + (z - z0) * (y0 - y1) / (z0 - z1) + MARGIN
    face = before_hair & (z > BACK - MARGIN) & (y > NECK_BOTTOM - MARGIN)
    side, (low, high), back = EARS
    return face | ((x.abs() > side) & (y > low) & (y < high) & (z > back))
