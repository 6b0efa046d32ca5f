"""What the training pictures show, as linear functions of the code.

F sees parameters; what people judge is the picture. Three kinds of things can be read off every training portrait:
measures of the face (pose, openings, widths, heights, light), the inner landmarks in the frame of the eyes, and the
colours of the skin at the face model's vertices, which follow the head when it turns. Each is regressed on the whitened
code. Codes being about Gaussian, the regression is the mean derivative over people (Stein's lemma): what an offset does
to the picture, on average, as far as it is straight.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from stylerig_fast.data.portraits import PortraitSet
from stylerig_fast.face import Camera, FaceModel
from stylerig_fast.face.landmarks import JAW, OUTER_EYE_CORNERS
from stylerig_fast.measurement.expression import measure_face
from stylerig_fast.measurement.glasses import measure_glasses
from stylerig_fast.measurement.lighting import measure_light
from stylerig_fast.measurement.measurements import MEASURES
from stylerig_fast.measurement.pose import PoseEstimator
from stylerig_fast.params import FaceParams
from stylerig_fast.render import evaluate, picture_at_vertices

ANGLES, LIGHT = slice(0, 3), MEASURES.index("light")
LANDMARK_UNIT = 0.03  # outer-eye distances that count as one; about their deviation over portraits
RIDGE = 0.02  # of the regressions, in variances of the whitened code
_STRIDE = 3  # every third vertex is sampled
_OUTLIERS = 0.002  # measures beyond these quantiles are moved to them


@dataclass(frozen=True)
class Observed:
    """Regressions on K whitened codes, and the units that they count in.

    Attributes:
        measures: ``(K, M)`` in deviations over portraits. deviation: ``(M,)`` those deviations.
        landmarks: ``(K, 102)`` in `LANDMARK_UNIT`.
        vertices: ``(V,)`` the vertices whose colours are sampled. trust: ``(V,)`` how often they are seen, mean 1.
        colours: ``(K, V, 3)`` RGB.
    """

    measures: Tensor
    deviation: Tensor
    landmarks: Tensor
    vertices: Tensor
    trust: Tensor
    colours: Tensor


def rendered_answers(model: FaceModel, params: FaceParams, camera: Camera, deviation: Tensor) -> tuple[Tensor, Tensor]:
    """Measures ``(B, M)`` and landmarks ``(B, 102)`` of the face model itself, in the units of `Observed`.

    Light is 0, for directions answer it as F sees it, and so are glasses.
    """
    landmarks = evaluate(model, params, camera).landmarks
    degrees = params.pose_degrees()
    face = measure_face(landmarks, degrees[:, 0]).stacked()
    values = torch.cat([degrees, face, torch.zeros_like(face[:, :2])], dim=1)
    return values / deviation, _framed(landmarks) / LANDMARK_UNIT


@torch.no_grad()
def observe(portraits: PortraitSet, own: Tensor, codes: Tensor, model: FaceModel, camera: Camera) -> Observed:
    """Reads the training portraits and regresses what they show on their codes.

    Args:
        portraits: the training set; those without a detected face are left out.
        own: ``(N, P)`` F of the codes: where the face model lies in each picture.
        codes: ``(N, K)`` whitened.
        model: the face model.
        camera: F's.
    """
    found = portraits.detected.to(codes.device)
    x = codes[found] - codes[found].mean(0)
    covariance = x.T @ x / len(x) + RIDGE * torch.eye(x.shape[1], device=x.device)

    def regressed(values: Tensor) -> Tensor:
        seen = values.to(codes)[found]
        return torch.linalg.solve(covariance, x.T @ (seen - seen.mean(0)) / len(x))

    degrees = PoseEstimator(model.to("cpu"), camera).fit(portraits.landmarks).degrees.float()
    face = measure_face(portraits.landmarks, degrees[:, 0]).stacked()
    blocks = torch.arange(len(portraits)).split(256)
    seen = []
    for rows in blocks:
        pictures, landmarks = portraits.images[rows].float() / 255, portraits.landmarks[rows]
        light, glasses = measure_light(pictures, landmarks).asymmetry, measure_glasses(pictures, landmarks)
        seen.append(torch.stack([light.float(), glasses.float()], dim=1))
    measures = torch.cat([degrees, face, torch.cat(seen)], dim=1)
    ends = torch.quantile(measures[portraits.detected], torch.tensor([_OUTLIERS, 1 - _OUTLIERS]), dim=0)
    measures = measures.clamp(ends[0], ends[1])
    deviation = measures[portraits.detected].std(0).clamp_min(1e-6)

    vertices = torch.arange(0, model.num_vertices, _STRIDE, device=model.mean.device)
    parts = []
    for rows in blocks:
        surface = evaluate(model, FaceParams.from_vector(own[rows], model.sizes, model.expression_names), camera)
        pictures = portraits.images[rows].to(own.device).float() / 255
        parts.append(picture_at_vertices(model, surface, pictures, camera, vertices))
    colours, weight = (torch.cat(values) for values in zip(*parts, strict=True))
    mean = (colours * weight[..., None]).sum(0) / weight.sum(0)[:, None].clamp_min(1)
    # A vertex that is out of sight says nothing of its colour: the mean.
    colours = (colours - mean) * (weight > 0)[..., None]
    trust = weight.mean(0)
    return Observed(
        measures=regressed(measures / deviation),
        deviation=deviation.to(codes),
        landmarks=regressed(_framed(portraits.landmarks) / LANDMARK_UNIT),
        vertices=vertices,
        trust=(trust / trust.mean()).clamp_max(2),
        colours=regressed(colours.flatten(1)).unflatten(1, (-1, 3)),
    )


def _framed(landmarks: Tensor) -> Tensor:
    """The 51 inner landmarks ``(B, 102)`` in the frame of the eyes: origin between them, unit their distance."""
    a, b = OUTER_EYE_CORNERS
    across = landmarks[:, b] - landmarks[:, a]
    length = across.norm(dim=-1, keepdim=True).clamp_min(1e-6)
    right = across / length
    down = torch.stack([-right[:, 1], right[:, 0]], dim=-1)
    offset = (landmarks[:, len(JAW) :] - (landmarks[:, a] + landmarks[:, b])[:, None] / 2) / length[:, None]
    return torch.cat([(offset * axis[:, None]).sum(-1) for axis in (right, down)], dim=1)
