"""FaceModel + FaceParams + Camera -> surface, picture, mask, landmarks; and the render loss L_render."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn.functional import grid_sample
from torch.utils.weak import WeakTensorKeyDictionary

from stylerig_fast import ops
from stylerig_fast.face import Camera, FaceModel
from stylerig_fast.ops import Adjacency, Impl
from stylerig_fast.ops.reference.masked_photometric import shade_pixels
from stylerig_fast.params import FaceParams

# A vertex is hidden if the surface seen at its place is nearer by more than this (decimetres).
DEPTH_TOLERANCE = 0.03


class Surface(NamedTuple):
    """The posed face model.

    Attributes:
        vertices: ``(B, V, 3)`` camera space, decimetres.
        normals: ``(B, V, 3)`` unit normals.
        albedo: ``(B, V, 3)`` RGB, not clamped.
        landmarks: ``(B, 68, 2)`` in image widths from the top-left corner.
    """

    vertices: Tensor
    normals: Tensor
    albedo: Tensor
    landmarks: Tensor


class Rendered(NamedTuple):
    """A rendered batch of faces.

    Attributes:
        image: ``(B, 3, H, W)`` RGB, [0, 1] for plausible faces and lights but not clamped, so that gradients do not
            die; 0 outside the mask.
        mask: ``(B, H, W)`` bool, the pixels that the mesh covers.
        landmarks: ``(B, 68, 2)`` in image widths from the top-left corner.
        triangles: ``(B, H, W)`` int32, the visible triangle, -1 where there is none.
        depth: ``(B, H, W)`` -z at the pixel centre, decimetres, 0 where nothing is seen.
    """

    image: Tensor
    mask: Tensor
    landmarks: Tensor
    triangles: Tensor
    depth: Tensor


class RenderLoss(NamedTuple):
    """The parts of L_render, unreduced and unweighted.

    Attributes:
        photometric: ``(B,)`` mean over covered pixels of the mean over RGB of the squared difference.
        landmarks: ``(B,)`` weighted mean over landmarks of the squared distance in image widths.
    """

    photometric: Tensor
    landmarks: Tensor


# Neighbours depend on the triangles alone: found once per mesh, forgotten with it.
_adjacencies = WeakTensorKeyDictionary()


def mesh_adjacency(model: FaceModel) -> Adjacency:
    """``ops.adjacency`` of the model's mesh, computed once."""
    if torch.compiler.is_compiling():
        return ops.adjacency(model.triangles, model.num_vertices)
    found = _adjacencies.get(model.triangles)
    if found is None:
        found = _adjacencies[model.triangles] = ops.adjacency(model.triangles, model.num_vertices)
    return found


def _block(params: FaceParams, name: str) -> Tensor:
    value = params.blocks.get(name)
    if value is None or not params.complete:
        raise ValueError(f"rendering needs complete parameters; {name} is None or waits for an edit to be applied")
    return value


def evaluate(model: FaceModel, params: FaceParams, camera: Camera | None = None, *, impl: Impl = "auto") -> Surface:
    """The face model's surface for these parameters.

    Args:
        model: the 3DMM.
        params: complete parameters of B faces on the model's device.
        camera: where the landmarks are projected; by default the FFHQ camera.
        impl: see ``stylerig_fast.ops``.

    Raises:
        ValueError: a block is missing or does not fit the model.
    """
    morphed = ops.morphable(
        model.mean,
        model.identity,
        model.expression,
        model.albedo_mean,
        model.albedo,
        model.landmarks,
        _block(params, "identity"),
        _block(params, "albedo"),
        _block(params, "expression"),
        _block(params, "rotation"),
        _block(params, "translation"),
        (camera or Camera()).focal,
        impl=impl,
    )
    neighbours = mesh_adjacency(model)
    normals = ops.vertex_normals(morphed.vertices, model.triangles, adjacency=neighbours, impl=impl)
    return Surface(morphed.vertices, normals, morphed.albedo, morphed.landmarks)


def render(
    model: FaceModel, params: FaceParams, camera: Camera | None = None, size: int = 256, *, impl: Impl = "auto"
) -> Rendered:
    """Renders faces.

    Where a gradient is wanted, the picture has one (plain torch around the rasterizer: the silhouette is not
    differentiated); training uses `render_loss`, which is much faster.

    Args:
        model: the 3DMM.
        params: complete parameters of B faces on the model's device.
        camera: by default the FFHQ camera.
        size: height and width in pixels.
        impl: see ``stylerig_fast.ops``.
    """
    camera = camera or Camera()
    surface = evaluate(model, params, camera, impl=impl)
    gamma = _block(params, "illumination")
    seen = ops.rasterize(surface.vertices, model.triangles, camera.focal, size, size, impl=impl)
    inputs = (surface.vertices, surface.albedo, surface.normals, gamma)
    if torch.is_grad_enabled() and any(value.requires_grad for value in inputs):
        image = shade_pixels(*inputs, model.triangles, seen.triangle, camera.focal)
    else:
        black = gamma.new_zeros(()).expand(len(gamma), 3, size, size)
        shaded = ops.masked_photometric(
            *inputs, model.triangles, seen.triangle, camera.focal, black, with_image=True, impl=impl
        ).image
        assert shaded is not None
        image = shaded
    return Rendered(image, seen.triangle >= 0, surface.landmarks, seen.triangle, seen.depth)


def landmark_loss(found: Tensor, wanted: Tensor, weights: Tensor) -> Tensor:
    """``sum_k weights_k |found_k - wanted_k|^2 / sum_k weights_k`` per face.

    Args:
        found: ``(B, L, 2)``.
        wanted: ``(B, L, 2)``; landmarks of weight 0 may hold anything, NaN included.
        weights: ``(L,)``, not negative.

    Returns:
        ``(B,)``, 0 if all weights are.
    """
    counts = (weights > 0)[:, None]
    difference = torch.where(counts, found, torch.zeros_like(found)) - torch.where(
        counts, wanted, torch.zeros_like(wanted)
    )
    total = weights.sum()
    return (difference.square().sum(-1) * weights).sum(-1) / torch.where(total > 0, total, torch.ones_like(total))


def render_loss(
    model: FaceModel,
    params: FaceParams,
    camera: Camera,
    target: Tensor,
    landmarks: Tensor,
    landmark_weights: Tensor,
    *,
    impl: Impl = "auto",
) -> RenderLoss:
    """L_render(I, p) of StyleRig (eq. 2), in its two parts, neither weighted nor reduced over the batch.

    Args:
        model: the 3DMM.
        params: complete parameters of B faces.
        camera: the camera.
        target: ``(B, 3, S, S)`` RGB in [0, 1].
        landmarks: ``(B, 68, 2)`` in image widths.
        landmark_weights: ``(68,)``.
        impl: see ``stylerig_fast.ops``.

    Raises:
        ValueError: shapes that do not fit; a picture that is not square.
    """
    height, width = target.shape[-2:]
    if target.ndim != 4 or height != width:
        raise ValueError(f"render_loss: target has shape {tuple(target.shape)}, expected (B, 3, S, S)")
    surface = evaluate(model, params, camera, impl=impl)
    if landmarks.shape != surface.landmarks.shape or landmark_weights.shape != landmarks.shape[1:2]:
        raise ValueError(
            f"render_loss: landmarks have shape {tuple(landmarks.shape)} and weights {tuple(landmark_weights.shape)}, "
            f"expected {tuple(surface.landmarks.shape)} and ({surface.landmarks.shape[1]},)"
        )
    seen = ops.rasterize(surface.vertices, model.triangles, camera.focal, height, width, impl=impl)
    photometric = ops.masked_photometric(
        surface.vertices,
        surface.albedo,
        surface.normals,
        _block(params, "illumination"),
        model.triangles,
        seen.triangle,
        camera.focal,
        target,
        adjacency=mesh_adjacency(model),
        impl=impl,
    ).loss
    return RenderLoss(photometric, landmark_loss(surface.landmarks, landmarks, landmark_weights))


def picture_at_vertices(
    model: FaceModel, surface: Surface, pictures: Tensor, camera: Camera, vertices: Tensor | slice = slice(None)
) -> tuple[Tensor, Tensor]:
    """What pictures show where the face model's vertices lie in them.

    Args:
        model: the face model.
        surface: of ``evaluate``, one per picture.
        pictures: ``(B, 3, H, H)`` RGB.
        camera: of the surfaces.
        vertices: which of them; all by default.

    Returns:
        Colours ``(B, V, 3)``, and how squarely each vertex is seen ``(B, V)``: 0 where it is hidden, outside or at a
        grazing angle, 1 at best.
    """
    size = pictures.shape[-1]
    depth = ops.rasterize(surface.vertices, model.triangles, camera.focal, size, size).depth
    points, normals = surface.vertices[:, vertices], surface.normals[:, vertices]
    places = camera.project(points)
    colours = grid_sample(pictures, (2 * places - 1)[:, None], align_corners=False, padding_mode="border")
    pixel = (places * size).long().clamp(0, size - 1)
    front = depth[torch.arange(len(pictures), device=depth.device)[:, None], pixel[..., 1], pixel[..., 0]]
    inside = ((places > 0) & (places < 1)).all(-1)
    visible = inside & (front > 0) & (-points[..., 2] < front + DEPTH_TOLERANCE)
    view = -points / points.norm(dim=-1, keepdim=True)
    facing = ((normals * view).sum(-1) - 0.25).clamp(0, 0.5) * 2
    return colours[:, :, 0].transpose(1, 2), visible * facing
