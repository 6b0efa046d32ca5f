"""Step 1: what the training pictures show, as linear functions of the code.

F predicts parameters; people look at the picture. Three kinds of things can be measured in every training portrait:
measures of the face (pose, openings, widths, heights, light), the inner landmarks in the frame of the eyes, and the
colours of the skin at the face model's vertices, which follow the head when it turns. Each is regressed on the whitened
code. As codes are nearly Gaussian, the regression is the mean derivative over people (Stein's lemma): what an offset of
the code does to the picture on average, as far as it is linear.

The render loss compares the face alone, so nothing in it keeps an edit from adding a hat. So the colours of a coarse
ring of pixels around the face (hair, clothes, background) are regressed on the code too.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import adaptive_avg_pool2d

from stylerig_fast.data.portraits import PortraitSet
from stylerig_fast.face import Camera, FaceModel
from stylerig_fast.face.landmarks import JAW, OUTER_EYE_CORNERS
from stylerig_fast.images import to_float
from stylerig_fast.measurement.expression import measure_face
from stylerig_fast.measurement.glasses import measure_glasses
from stylerig_fast.measurement.lighting import measure_light
from stylerig_fast.measurement.measurements import MEASURES
from stylerig_fast.measurement.pose import PoseEstimator
from stylerig_fast.params import FaceParams
from stylerig_fast.render import evaluate, picture_at_vertices

ANGLES, LIGHT = slice(0, 3), MEASURES.index("light")
LANDMARK_UNIT = 0.03  # outer-eye distances that count as one; about the landmarks' standard deviation over portraits
RIDGE = 0.02  # of the regressions, in variances of the whitened code
_STRIDE = 3  # every third vertex is sampled
_OUTLIERS = 0.002  # measures beyond these quantiles are clamped to them
_GRID = 16  # cells per side of the coarse picture whose outer ones are the background
# Centre and half axes of the ellipse that an FFHQ-aligned face fills, in picture widths.
_FACE_CENTRE, _FACE_AXES = (0.5, 0.56), (0.3, 0.36)


@dataclass(frozen=True)
class PictureRegression:
    """Regressions of M measures, landmarks and colours on K whitened code coordinates.

    Attributes:
        measures: ``(K, M)`` in standard deviations over portraits; see `MEASURES`.
        std: ``(M,)`` those standard deviations.
        landmarks: ``(K, 102)`` in `LANDMARK_UNIT`.
        vertices: ``(V,)`` indices of the vertices whose colours are sampled.
        visibility: ``(V,)`` how often they are visible, mean 1.
        colours: ``(K, V, 3)`` RGB.
    """

    measures: Tensor
    std: Tensor
    landmarks: Tensor
    vertices: Tensor
    visibility: Tensor
    colours: Tensor


def rendered_measures(model: FaceModel, params: FaceParams, camera: Camera, std: Tensor) -> tuple[Tensor, Tensor]:
    """What the rendered face model itself shows, in the units of `PictureRegression`.

    Light and glasses are 0: edit directions follow the light that F reconstructs, and the face model wears no glasses.

    Args:
        model: the face model.
        params: of B faces.
        camera: F's.
        std: ``(M,)`` standard deviations of the measures.

    Returns:
        Measures ``(B, M)`` and landmarks ``(B, 102)``.
    """
    landmarks = evaluate(model, params, camera).landmarks
    degrees = params.pose_degrees()
    face = measure_face(landmarks, degrees[:, 0]).stacked()
    values = torch.cat([degrees, face, torch.zeros_like(face[:, :2])], dim=1)
    return values / std, _in_eye_frame(landmarks) / LANDMARK_UNIT


@torch.no_grad()
def regress_pictures(
    portraits: PortraitSet, source: Tensor, codes: Tensor, model: FaceModel, camera: Camera
) -> PictureRegression:
    """Measures the training portraits and regresses what they show on their codes.

    Args:
        portraits: the training set; those without a detected face are left out.
        source: ``(N, P)`` F of the codes: where the face model lies in each picture.
        codes: ``(N, K)`` whitened.
        model: the face model.
        camera: F's.
    """
    detected = portraits.detected.to(codes.device)
    x = codes[detected] - codes[detected].mean(0)
    covariance = x.T @ x / len(x) + RIDGE * torch.eye(x.shape[1], device=x.device)

    def regressed(values: Tensor) -> Tensor:
        y = values.to(codes)[detected]
        return torch.linalg.solve(covariance, x.T @ (y - y.mean(0)) / len(x))

    measures = _measures(portraits, model, camera)
    ends = torch.quantile(measures[portraits.detected], torch.tensor([_OUTLIERS, 1 - _OUTLIERS]), dim=0)
    measures = measures.clamp(ends[0], ends[1])
    std = measures[portraits.detected].std(0).clamp_min(1e-6)

    vertices = torch.arange(0, model.num_vertices, _STRIDE, device=model.mean.device)
    parts = []
    for rows in torch.arange(len(portraits)).split(256):
        surface = evaluate(model, FaceParams.from_vector(source[rows], model.sizes, model.expression_names), camera)
        pictures = to_float(portraits.images[rows].to(source.device))
        parts.append(picture_at_vertices(model, surface, pictures, camera, vertices))
    colours, weight = (torch.cat(values) for values in zip(*parts, strict=True))
    mean = (colours * weight[..., None]).sum(0) / weight.sum(0)[:, None].clamp_min(1)
    # A hidden vertex tells nothing about its colour: it gets the mean.
    colours = (colours - mean) * (weight > 0)[..., None]
    visibility = weight.mean(0)
    return PictureRegression(
        measures=regressed(measures / std),
        std=std.to(codes),
        landmarks=regressed(_in_eye_frame(portraits.landmarks) / LANDMARK_UNIT),
        vertices=vertices,
        visibility=(visibility / visibility.mean()).clamp_max(2),
        colours=regressed(colours.flatten(1)).unflatten(1, (-1, 3)),
    )


def regress_background(portraits: PortraitSet, codes: Tensor, components: int) -> Tensor:
    """Hair, clothes and background as a linear function of the code.

    Args:
        portraits: the training set.
        codes: ``(N, K)`` whitened.
        components: M, principal components of the background's colours.

    Returns:
        ``(K, M)`` in standard deviations of the components.
    """
    return covariance_with(codes, principal_components(background_colours(portraits), components))


def background_colours(portraits: PortraitSet) -> Tensor:
    """Colours of the coarse cells around the face, ``(N, 3 * cells)`` in [0, 1]."""
    cells = (torch.arange(_GRID) + 0.5) / _GRID
    x, y = cells[None, :] - _FACE_CENTRE[0], cells[:, None] - _FACE_CENTRE[1]
    outside = (x / _FACE_AXES[0]) ** 2 + (y / _FACE_AXES[1]) ** 2 > 1
    blocks = torch.arange(len(portraits)).split(500)
    return torch.cat(
        [adaptive_avg_pool2d(to_float(portraits.images[index]), _GRID)[:, :, outside].flatten(1) for index in blocks]
    )


def principal_components(values: Tensor, components: int) -> Tensor:
    """Scores ``(N, components)`` of ``values`` ``(N, D)`` on their leading principal components, of unit variance."""
    centred = values - values.mean(0)
    variance, axes = torch.linalg.eigh(centred.T @ centred / len(values))
    order = variance.argsort(descending=True)[:components]
    return centred @ axes[:, order] / variance[order].clamp_min(1e-12).sqrt()


def covariance_with(codes: Tensor, scores: Tensor) -> Tensor:
    """Covariance ``(K, M)`` of whitened codes ``(N, K)`` with scores ``(N, M)``: as the codes are white, it is the
    regression of the scores on them.
    """
    return codes.T @ scores.to(codes) / len(codes)


def _measures(portraits: PortraitSet, model: FaceModel, camera: Camera) -> Tensor:
    """`MEASURES` of the portraits, ``(N, M)``."""
    degrees = PoseEstimator(model.to("cpu"), camera).fit(portraits.landmarks).degrees.float()
    face = measure_face(portraits.landmarks, degrees[:, 0]).stacked()
    rest = []
    for rows in torch.arange(len(portraits)).split(256):
        pictures, landmarks = to_float(portraits.images[rows]), portraits.landmarks[rows]
        light, glasses = measure_light(pictures, landmarks).asymmetry, measure_glasses(pictures, landmarks)
        rest.append(torch.stack([light.float(), glasses.float()], dim=1))
    return torch.cat([degrees, face, torch.cat(rest)], dim=1)


def _in_eye_frame(landmarks: Tensor) -> Tensor:
    """The 51 inner landmarks ``(B, 102)`` in the frame of the eyes: origin between them, unit their distance."""
    a, b = OUTER_EYE_CORNERS
    across = landmarks[:, b] - landmarks[:, a]
    length = across.norm(dim=-1, keepdim=True).clamp_min(1e-6)
    right = across / length
    down = torch.stack([-right[:, 1], right[:, 0]], dim=-1)
    offset = (landmarks[:, len(JAW) :] - (landmarks[:, a] + landmarks[:, b])[:, None] / 2) / length[:, None]
    return torch.cat([(offset * axis[:, None]).sum(-1) for axis in (right, down)], dim=1)
