"""The 68 landmark vertices: found by dlib on renders of many people, then held to lips, lids and midline.

A detector that reads portraits and a model whose landmarks were chosen with the same detector agree about
what each number means. For each landmark the surface point is taken whose projection lies nearest to the
detections over all renders; the nearest vertex then slides along the surface to that very point, so that
the mesh's spacing (2 % of the eye distance on the cheeks) does not round the landmarks.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

from stylerig_fast.face.camera import FFHQ_FOCAL, Camera
from stylerig_fast.face.landmarks import INNER_MOUTH, JAW, LEFT_EYE, MIRROR, RIGHT_EYE
from stylerig_fast.face.model import FaceModel
from stylerig_fast.open_face import preview
from stylerig_fast.open_face.albedo import vertex_normals
from stylerig_fast.open_face.mesh import FaceMesh

Detect = Callable[[np.ndarray], tuple[np.ndarray, np.ndarray]]

FOCUS = (0.0, -0.1, 0.5)
# Barycentric samples per triangle edge when a landmark is placed inside a triangle.
STEPS = 10
# Landmarks between a lip's or lid's skin and its inside: the contour that shows in a picture.
UPPER_LIP, LOWER_LIP = (61, 62, 63), (65, 66, 67)
# Depth (dm) of the jaw line from the ear to the chin. In a frontal view the sides of the head are seen edge-on: many
# depths project to one place, so depth counts a little beside the picture.
JAW_DEPTH = (0.12, 0.20, 0.29, 0.37, 0.45, 0.54, 0.64, 0.74, 0.79)
DEPTH_SHARE = 0.05
# Image widths per decimetre at the renders' distance.
SCALE = FFHQ_FOCAL / preview.DISTANCE


@dataclasses.dataclass(frozen=True)
class Renders:
    """What was rendered and what the detector found.

    Attributes:
        positions: ``(K, V, 2)`` projected vertices in image widths.
        found: ``(K, 68, 2)`` detected landmarks in image widths.
        frontal: ``(K,)`` whether the head looks straight ahead.
    """

    positions: np.ndarray
    found: np.ndarray
    frontal: np.ndarray


def place_landmarks(
    model: FaceModel, mesh: FaceMesh, weights: dict[str, np.ndarray], detect: Detect, people: int = 40, seed: int = 0
) -> FaceModel:
    """The model with its landmark vertices set, each slid onto the exact place.

    Args:
        model: a model without landmarks yet.
        mesh: its mesh.
        weights: painted regions at its vertices.
        detect: pictures ``(B, H, W, 3)`` uint8 to landmarks ``(B, 68, 2)`` in image widths and found ``(B,)``.
        people: renders to look at.
        seed: of the random people.
    """
    renders = render_people(model, detect, people, seed)
    allowed = candidates(model, mesh, weights)
    mean, mirror, triangles = model.mean.numpy(), model.mirror.numpy(), model.triangles.numpy()
    landmarks = np.zeros(68, np.int64)
    rows: dict[int, tuple[np.ndarray, np.ndarray]] = {}
    taken: set[int] = set()
    for i in range(68):
        j = MIRROR[i]
        if j < i:
            continue
        views = renders.frontal if i in JAW else np.ones(len(renders.frontal), bool)
        near = allowed[i].copy()
        near[list(taken)] = False
        cost = _cost(renders, views, i, j, np.flatnonzero(near), mirror)
        if i in JAW:
            cost += 2 * (DEPTH_SHARE * SCALE * (mean[near, 2] - JAW_DEPTH[i])) ** 2
        vertex = int(np.flatnonzero(near)[cost.argmin()])
        taken |= {vertex, int(mirror[vertex])}
        landmarks[i], landmarks[j] = vertex, mirror[vertex]
        corners, share = _exact_place(renders, views, i, j, vertex, allowed[i], triangles, mirror, mean)
        rows[vertex] = corners, share
        rows[int(mirror[vertex])] = mirror[corners], share
    return dataclasses.replace(_slide(model, rows), landmarks=torch.from_numpy(landmarks))


def render_people(model: FaceModel, detect: Detect, count: int, seed: int) -> Renders:
    """Random people under random lights, half of them frontal; those the detector missed are left out."""
    rng = np.random.default_rng(seed)
    positions, found, frontal = [], [], []
    for k in range(count):
        yaw = 0.0 if k % 2 == 0 else rng.uniform(-20, 20)
        pitch = 0.0 if k % 2 == 0 else rng.uniform(-10, 10)
        identity = torch.from_numpy(rng.normal(0, 0.7, model.identity.shape[0])).float()
        shape = model.mean + torch.einsum("a,avc->vc", identity, model.identity)
        albedo = model.albedo_mean * float(rng.uniform(0.7, 1.15))
        direction = (rng.uniform(-0.5, 0.5), rng.uniform(0.0, 0.8), 1.0)
        picture = preview.render(model, shape, albedo, 512, yaw, pitch, FOCUS, direction=direction, oversample=1)
        points, good = detect(picture[None])
        if not good[0]:
            continue
        positions.append(Camera().project(preview.view(shape, yaw, pitch, FOCUS)).numpy())
        found.append(points[0])
        frontal.append(k % 2 == 0)
    return Renders(np.stack(positions), np.stack(found), np.array(frontal))


def candidates(model: FaceModel, mesh: FaceMesh, weights: dict[str, np.ndarray]) -> np.ndarray:
    """Which vertices each landmark may be, ``(68, V)`` bool: facing front, on its contour, on the midline."""
    points, mirror = model.mean.numpy(), model.mirror.numpy()
    facing = vertex_normals(points, model.triangles.numpy())[:, 2]
    skin = (weights["eye"] < 0.5) & (mesh.weights["ears"] < 0.5)
    allowed = np.tile(skin & (facing > 0.05), (68, 1))
    middle = mirror == np.arange(len(points))
    jaw_open = -model.expression[model.expression_names.index("jawOpen"), :, 1].numpy()
    lid_rim = _rim(mesh.weights["lid_inside"])
    lip_rim = _rim(mesh.weights["mouth_inside"]) & (points[:, 2] > 0.7)
    for i in range(68):
        if i in JAW:
            allowed[i] = skin & (facing > 0.02) & (points[:, 2] > JAW_DEPTH[0] - 0.1)
        elif i in RIGHT_EYE or i in LEFT_EYE:
            allowed[i] = lid_rim & (points[:, 0] < 0 if i in RIGHT_EYE else points[:, 0] > 0)
        elif i in INNER_MOUTH:
            allowed[i] = lip_rim
        if i in UPPER_LIP:
            allowed[i] &= jaw_open < 0.1
        elif i in LOWER_LIP:
            allowed[i] &= jaw_open > 0.1
        if MIRROR[i] == i:
            allowed[i] &= middle
        if not allowed[i].any():
            raise ValueError(f"no vertex is allowed for landmark {i}")
    return allowed


def _rim(inside: np.ndarray) -> np.ndarray:
    return (inside > 0.2) & (inside < 0.8)


def _cost(renders: Renders, views: np.ndarray, i: int, j: int, vertices: np.ndarray, mirror: np.ndarray) -> np.ndarray:
    """Mean squared distance over views of each vertex from landmark ``i``, and of its mirror image from ``j``."""
    return _squared(renders, views, i, renders.positions[views][:, vertices]) + _squared(
        renders, views, j, renders.positions[views][:, mirror[vertices]]
    )


def _squared(renders: Renders, views: np.ndarray, i: int, positions: np.ndarray) -> np.ndarray:
    # The median over views, because the detector now and then slips.
    return np.median(((positions - renders.found[views][:, i, None]) ** 2).sum(-1), axis=0)


def _exact_place(
    renders: Renders,
    views: np.ndarray,
    i: int,
    j: int,
    vertex: int,
    allowed: np.ndarray,
    triangles: np.ndarray,
    mirror: np.ndarray,
    mean: np.ndarray,
) -> tuple[np.ndarray, np.ndarray]:
    """Triangle corners ``(3,)`` and shares ``(3,)`` of the best surface point around the vertex.

    A landmark on a contour stays on the contour's edges: corners that are not allowed get no share.
    """
    grid = [(a, b, STEPS - a - b) for a in range(STEPS + 1) for b in range(STEPS + 1 - a)]
    shares = np.array(grid) / STEPS
    best, place = np.inf, (np.array([vertex] * 3), np.array([1.0, 0.0, 0.0]))
    for corners in triangles[(triangles == vertex).any(1)]:
        usable = (shares[:, ~allowed[corners]] == 0).all(1)
        positions = renders.positions[views]
        here = np.einsum("sc,kcx->ksx", shares[usable], positions[:, corners])
        twin = np.einsum("sc,kcx->ksx", shares[usable], positions[:, mirror[corners]])
        cost = _squared(renders, views, i, here) + _squared(renders, views, j, twin)
        # Ties go to the vertex itself; a slide beyond half an edge would fold neighbouring triangles.
        near_enough = shares[usable][:, corners == vertex][:, 0] >= 0.5
        cost = np.where(near_enough, cost, np.inf)
        if cost.min() < best:
            best, place = cost.min(), (corners.copy(), shares[usable][cost.argmin()])
    return place


def _slide(model: FaceModel, rows: dict[int, tuple[np.ndarray, np.ndarray]]) -> FaceModel:
    """Every field at a vertex replaced by its value at a point of the surface nearby."""
    vertices = torch.tensor(list(rows))
    corners = torch.from_numpy(np.stack([corners for corners, _ in rows.values()]))
    shares = torch.from_numpy(np.stack([share for _, share in rows.values()])).float()

    def at_places(field: Tensor) -> Tensor:
        moved = field.clone()
        moved[..., vertices, :] = (field[..., corners, :] * shares[..., None]).sum(-2)
        return moved

    return dataclasses.replace(
        model,
        mean=at_places(model.mean),
        identity=at_places(model.identity),
        expression=at_places(model.expression),
        albedo_mean=at_places(model.albedo_mean),
        albedo=at_places(model.albedo),
    )
