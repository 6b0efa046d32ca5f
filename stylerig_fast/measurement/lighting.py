"""Where the light comes from, read from a picture: cheek against cheek, and a fit to the posed face's normals."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from stylerig_fast.face import Camera, FaceModel
from stylerig_fast.face.landmarks import JAW, LEFT_BROW, MIRROR, RIGHT_BROW
from stylerig_fast.face.lighting import sh_basis
from stylerig_fast.images import LUMINANCE, area_resize, luminance, to_float
from stylerig_fast.measurement.pose import FittedPose

# The cheek in the picture's left half: jaw line, mouth corner, wing of the nose, lower lid.
_RIGHT_CHEEK = (1, 2, 3, 4, 48, 31, 40, 41)
_LEFT_CHEEK = tuple(MIRROR[i] for i in _RIGHT_CHEEK)
# Corners on the jaw line move this share of the way to the polygon's middle: the silhouette is dark or background.
_INSET = 0.25
# Pictures are measured at this size: a cheek is then a few hundred pixels.
_SIZE = 128
# Points of the fit must face the camera at least this squarely, so that none lies behind the nose or the silhouette.
_FACING = 0.4
_FLOOR = 1 / 255
# No light is more directional than one lamp, whose linear band is this many times its constant one.
_MOST_DIRECTIONAL = 3**0.5


@dataclass(frozen=True)
class LightMeasures:
    """Light of a batch of pictures.

    Attributes:
        asymmetry: ``(B,)`` natural logarithm of the luminance of the cheek in the picture's right half over that of
            the other; positive when light comes from the picture's right.
        luminance: ``(B,)`` mean luminance inside jaw line and brows, 0 to 1.
    """

    asymmetry: Tensor
    luminance: Tensor


def as_pictures(images: Tensor) -> Tensor:
    """uint8 ``(B, H, W, 3)`` to float ``(B, 3, H, W)`` in [0, 1]."""
    if images.dtype != torch.uint8 or images.ndim != 4 or images.shape[3] != 3:
        raise ValueError(f"images must be uint8 (B, H, W, 3), got {images.dtype} {tuple(images.shape)}")
    return to_float(images.permute(0, 3, 1, 2))


def measure_light(pictures: Tensor, landmarks: Tensor) -> LightMeasures:
    """Light asymmetry and brightness of faces.

    Args:
        pictures: ``(B, 3, H, H)`` RGB in [0, 1]: portraits or rendered face models.
        landmarks: ``(B, 68, 2)`` in image widths.

    Raises:
        ValueError: wrong shapes.
    """
    _check(pictures, landmarks)
    small = _small(pictures)
    points = landmarks.to(small).double()
    right = _mean_inside(small, _cheek(points, _RIGHT_CHEEK)).clamp_min(_FLOOR)
    left = _mean_inside(small, _cheek(points, _LEFT_CHEEK)).clamp_min(_FLOOR)
    face = points[:, [*JAW, *reversed(LEFT_BROW), *reversed(RIGHT_BROW)]]
    return LightMeasures(asymmetry=(left / right).log(), luminance=_mean_inside(small, face))


@dataclass(frozen=True)
class FittedLight:
    """Light fitted to the normals of a batch of faces, float64.

    Attributes:
        direction: ``(B, 3)`` the linear band of the luminance over its constant one: x right, y up, z toward the
            viewer. Its length grows with the share of light that is directional.
        tint: ``(B, 2)`` natural logarithms of red over green and blue over green, of the light that falls on a surface
            facing the dominant direction; a face's mean albedo is counted in.
    """

    direction: Tensor
    tint: Tensor


def fit_light(pictures: Tensor, pose: FittedPose, model: FaceModel, camera: Camera | None = None) -> FittedLight:
    """Direction, strength and tint of the directional light, from the normals of the fitted face model.

    Least squares of colour over the model's mean albedo against the first two spherical-harmonic bands, at
    vertices that face the camera. The third band is left out: an albedo that is not the mean's would leak into it.

    Args:
        pictures: ``(B, 3, H, H)`` RGB in [0, 1].
        pose: of the same faces, from `PoseEstimator` on this model.
        model: the face model.
        camera: the estimator's camera.
    """
    shape = model.mean.double()
    shape = shape + torch.einsum("bk,kvc->bvc", pose.identity, model.identity.double())
    shape = shape + torch.einsum("bk,kvc->bvc", pose.expression, model.expression.double())
    placed = shape @ pose.rotation.mT + pose.translation[:, None]
    normals = _normals(placed, model.triangles.long())
    toward = -placed / placed.norm(dim=-1, keepdim=True)
    facing = (normals * toward).sum(-1) > _FACING
    grid = (camera or Camera()).project(placed) * 2 - 1
    used = (facing & (grid.abs() < 1).all(-1)).double()[..., None]
    small = _small(pictures).double()
    planes = torch.cat([_luminance(small)[:, None], small], dim=1)
    seen = torch.nn.functional.grid_sample(planes, grid[:, :, None], align_corners=False)[..., 0].mT  # (B, V, 4)
    albedo = model.albedo_mean.double()
    albedo = torch.cat([luminance(albedo)[:, None], albedo], dim=1).clamp_min(0.05)
    basis = sh_basis(normals)[..., :4]
    gammas = torch.stack([_solve(basis * albedo[None, :, i, None], seen[..., i, None], used) for i in range(4)])
    linear = gammas[0][:, [3, 1, 2]]
    least = (linear.norm(dim=-1, keepdim=True) / _MOST_DIRECTIONAL).clamp_min(1e-3)
    direction = linear / gammas[0][:, :1].maximum(least)
    lit = sh_basis(torch.nn.functional.normalize(direction, dim=-1))[:, :4]
    red, green, blue = (gammas[1:] * lit).sum(-1).clamp_min(1e-3).log()
    return FittedLight(direction, torch.stack([red - green, blue - green], dim=1))


def _solve(design: Tensor, seen: Tensor, used: Tensor) -> Tensor:
    """Ridge regression ``(B, 4)`` of ``seen`` ``(B, V, 1)`` on ``design`` ``(B, V, 4)`` where ``used``."""
    normal = design.mT @ (design * used)
    ridge = 1e-4 * normal.diagonal(dim1=1, dim2=2).mean(1)[:, None, None] * torch.eye(4, dtype=normal.dtype)
    return torch.linalg.solve(normal + ridge + 1e-9 * torch.eye(4), design.mT @ (seen * used))[..., 0]


def _check(pictures: Tensor, landmarks: Tensor) -> None:
    if pictures.ndim != 4 or pictures.shape[1] != 3 or not pictures.is_floating_point():
        raise ValueError(f"pictures must be float (B, 3, H, H) in [0, 1], got {pictures.dtype} {tuple(pictures.shape)}")
    if tuple(landmarks.shape) != (len(pictures), 68, 2):
        raise ValueError(f"landmarks must be ({len(pictures)}, 68, 2), got {tuple(landmarks.shape)}")


def _small(pictures: Tensor) -> Tensor:
    if pictures.shape[-1] <= _SIZE or not len(pictures):
        return pictures
    return area_resize(pictures, _SIZE)


def _luminance(pictures: Tensor) -> Tensor:
    return torch.einsum("bchw,c->bhw", pictures, pictures.new_tensor(LUMINANCE))


def _cheek(points: Tensor, corners: tuple[int, ...]) -> Tensor:
    """``(B, N, 2)`` corners of a cheek's polygon, drawn in from the jaw line."""
    polygon = points[:, list(corners)]
    middle = polygon.mean(1, keepdim=True)
    on_jaw = torch.tensor([corner in JAW for corner in corners])[:, None]
    return torch.where(on_jaw, torch.lerp(polygon, middle, _INSET), polygon)


def inside_polygon(polygon: Tensor, size: int) -> Tensor:
    """Pixels ``(B, size, size)`` bool whose centre lies in the polygon ``(B, N, 2)``, corners in image widths."""
    centres = (torch.arange(size, dtype=polygon.dtype) + 0.5) / size
    x, y = centres[None, None, :], centres[None, :, None]
    inside = torch.zeros(len(polygon), size, size, dtype=torch.bool)
    # Even-odd rule: count the edges that a ray to the right crosses.
    for start, end in zip(polygon.unbind(1), polygon.roll(-1, dims=1).unbind(1), strict=True):
        (x0, y0), (x1, y1) = ((point[:, None, None, 0], point[:, None, None, 1]) for point in (start, end))
        slope = (x1 - x0) / torch.where(y1 == y0, torch.ones_like(y0), y1 - y0)
        inside ^= ((y0 > y) != (y1 > y)) & (x < x0 + (y - y0) * slope)
    return inside


def _mean_inside(pictures: Tensor, polygon: Tensor) -> Tensor:
    """Mean luminance ``(B,)`` over the pixels whose centre lies in the polygon ``(B, N, 2)``; 0 when none does."""
    weights = inside_polygon(polygon, pictures.shape[-1]).to(pictures.dtype)
    return (_luminance(pictures) * weights).sum((1, 2)) / weights.sum((1, 2)).clamp_min(1)


def _normals(vertices: Tensor, triangles: Tensor) -> Tensor:
    """Area-weighted unit normals ``(B, V, 3)``."""
    a, b, c = (vertices[:, triangles[:, i]] for i in range(3))
    face = torch.linalg.cross(b - a, c - a)
    normals = torch.zeros_like(vertices)
    for i in range(3):
        normals.index_add_(1, triangles[:, i], face)
    return normals / normals.norm(dim=-1, keepdim=True).clamp_min(1e-12)
