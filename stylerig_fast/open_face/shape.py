"""Identity and expression spaces of the open face model, on its mesh.

Every identity mode is mirror-symmetric: asymmetric modes absorb part of a head turn when a model is fitted
to pictures. For the same reason similarity motions (turn, nod, size, shift) are taken out of the samples.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from stylerig_fast.face.units import mirrored_name, side_of
from stylerig_fast.open_face.albedo import vertex_area
from stylerig_fast.open_face.anny_source import HeadSource
from stylerig_fast.open_face.mesh import ORIGIN, FaceMesh

# How far the source's units go at 1, judged on renders: a smile stays a smile.
UNIT_SCALE = {"eyeWide": 0.8, "mouthSmile": 0.75, "mouthPress": 0.75}


@dataclass(frozen=True)
class ShapeSpace:
    """Mean ``(V, 3)``, identity ``(A, V, 3)``, expression ``(E, V, 3)`` in dm, and the E names."""

    mean: np.ndarray
    identity: np.ndarray
    expression: np.ndarray
    expression_names: tuple[str, ...]


def build_shape(
    source: HeadSource, mesh: FaceMesh, people: int = 3000, identities: int = 80, residuals: int = 12, seed: int = 0
) -> ShapeSpace:
    """Samples people, aligns them and reduces them; adds the facial actions and residual expressions."""
    rest = symmetrise(mesh.shape(source.rest[mesh.source_vertices]) - ORIGIN, mesh.mirror)
    weight = vertex_area(rest, mesh.triangles) * face_weight(rest)
    samples = mesh.shape(source.people(people, mesh.source_vertices, seed)).astype(np.float32)
    samples = align(symmetrise(samples, mesh.mirror), rest, weight)
    mean = samples.mean(0)
    identity = principal_modes(samples - mean, weight, identities)
    names, units = facial_units(source, mesh)
    for name in ("eyeBlinkLeft", "eyeBlinkRight"):
        units[names.index(name)] = meet_lids(units[names.index(name)], mean, mesh)
    extra = residual_expressions(source, mesh, units, identity, weight, residuals, seed + 1)
    return ShapeSpace(
        mean=mean,
        identity=identity,
        expression=np.concatenate([units, extra]),
        expression_names=(*names, *(f"residual_{k:02d}" for k in range(residuals))),
    )


def symmetrise(shapes: np.ndarray, mirror: np.ndarray) -> np.ndarray:
    """The mirror-symmetric part of shapes or offsets ``(..., V, 3)``."""
    return (shapes + flip(shapes, mirror)) / 2


def flip(shapes: np.ndarray, mirror: np.ndarray) -> np.ndarray:
    """Shapes or offsets ``(..., V, 3)`` as seen in a mirror."""
    return shapes[..., mirror, :] * np.array([-1, 1, 1], shapes.dtype)


def face_weight(points: np.ndarray) -> np.ndarray:
    """1 on the front of the face, less on ears and neck, whose variation should not fill the first modes."""
    front = 1 / (1 + np.exp(-(points[:, 2] - 0.45) / 0.08))
    above_neck = 1 / (1 + np.exp(-(points[:, 1] + 0.95) / 0.05))
    return 0.1 + 0.9 * front * above_neck


def align(samples: np.ndarray, first: np.ndarray, weight: np.ndarray, rounds: int = 3) -> np.ndarray:
    """Weighted Procrustes alignment (shift, turn, size) of symmetric shapes ``(N, V, 3)`` to their mean.

    The mean itself takes the place, bearing and size of ``first (V, 3)``.
    """
    w = (weight / weight.sum()).astype(np.float32)
    target = first
    for _ in range(rounds):
        samples = np.stack([_onto(shape, target, w) for shape in samples])
        target = _onto(samples.mean(0), first, w)
    return np.stack([_onto(shape, target, w) for shape in samples])


def _onto(shape: np.ndarray, target: np.ndarray, w: np.ndarray) -> np.ndarray:
    """One shape moved onto another by the best similarity; ``w`` sums to one."""
    centre = w @ target
    moved = shape - w @ shape
    u, s, vt = np.linalg.svd((moved * w[:, None]).T @ (target - centre))
    scale = s.sum() / (w @ (moved**2).sum(1))
    return (scale * moved @ (u @ vt) + centre).astype(shape.dtype)


def similarity_motions(points: np.ndarray) -> np.ndarray:
    """First-order effect ``(7, V, 3)`` of shifting, turning and growing a shape."""
    moves = [np.broadcast_to(axis, points.shape) for axis in np.eye(3)]
    moves += [np.cross(axis, points) for axis in np.eye(3)]
    return np.stack([*moves, points])


def project_out(shapes: np.ndarray, directions: np.ndarray, weight: np.ndarray) -> np.ndarray:
    """Shapes ``(N, V, 3)`` less their weighted least-squares fit in the directions ``(D, V, 3)``."""
    root = np.sqrt(weight / weight.sum())[:, None]
    basis, strength, _ = np.linalg.svd((directions * root).reshape(len(directions), -1).T, full_matrices=False)
    mixing = np.linalg.lstsq((directions * root).reshape(len(directions), -1).T, basis, rcond=1e-8)[0]
    useful = strength > 1e-6 * strength[0]
    coefficients = (shapes * root).reshape(len(shapes), -1) @ basis[:, useful]
    fit = coefficients @ mixing[:, useful].T @ directions.reshape(len(directions), -1)
    return shapes - fit.reshape(shapes.shape)


def principal_modes(offsets: np.ndarray, weight: np.ndarray, count: int) -> np.ndarray:
    """The ``count`` largest weighted principal modes ``(count, V, 3)``, each for one standard deviation."""
    flat = offsets.reshape(len(offsets), -1).astype(np.float64)
    root = np.repeat(np.sqrt(weight / weight.sum()), 3)
    directions = _top_directions(flat * root, count)
    scores = (flat * root) @ directions.T
    scores /= np.sqrt((scores**2).mean(0))
    modes = (scores.T @ flat / len(flat)).reshape(count, -1, 3)
    # A sign that does not depend on the linear-algebra library.
    largest = np.abs(modes.reshape(count, -1)).argmax(1)
    return modes * np.sign(modes.reshape(count, -1)[np.arange(count), largest])[:, None, None]


def _top_directions(matrix: np.ndarray, count: int) -> np.ndarray:
    """Leading right singular vectors ``(count, D)`` of ``(N, D)``, through the smaller Gram matrix."""
    samples, size = matrix.shape
    if samples > size:
        return np.linalg.eigh(matrix.T @ matrix)[1][:, ::-1][:, :count].T
    values, left = np.linalg.eigh(matrix @ matrix.T)
    strength = np.sqrt(np.maximum(values[::-1][:count], 1e-30))
    return (left[:, ::-1][:, :count] / strength).T @ matrix


def facial_units(source: HeadSource, mesh: FaceMesh) -> tuple[tuple[str, ...], np.ndarray]:
    """The 52 facial actions from 0 to 1, with left and right made each other's exact mirror image."""
    names, units = source.actions(mesh.source_vertices)
    units = mesh.shape(units)
    mirrored = flip(units, mesh.mirror)
    even = np.empty_like(units)
    for k, name in enumerate(names):
        stem = name.removesuffix(side_of(name))
        even[k] = (units[k] + mirrored[names.index(mirrored_name(name))]) / 2 * UNIT_SCALE.get(stem, 1.0)
    return names, even


def meet_lids(blink: np.ndarray, mean: np.ndarray, mesh: FaceMesh) -> np.ndarray:
    """A blink ``(V, 3)`` that ends where the upper lid meets the lower one; the source's goes beyond.

    What the upper rim needs to reach the lower one, as a share of what it moves, is fitted by a line along the eye.
    """
    inside = mesh.weights["lid_inside"]
    side = -np.sign(blink[:, 1] @ mean[:, 0])
    rim = (inside > 0.2) & (inside < 0.8) & (np.sign(mean[:, 0]) == side)
    upper = rim & (blink[:, 1] < 0.3 * blink[rim, 1].min())
    lower = mean[rim & ~upper & (mean[:, 1] < mean[upper, 1].min())]
    # The rim's own points: those behind it hang well below a neighbour.
    near = np.abs(lower[:, 0] - lower[:, :1]) < 0.03
    lower = lower[np.where(near, lower[:, 1], -np.inf).max(1) - lower[:, 1] < 0.02]
    lower = lower[np.argsort(lower[:, 0])]
    gap = mean[upper, 1] - np.interp(mean[upper, 0], lower[:, 0], lower[:, 1])
    moved = -blink[upper, 1]
    slope, offset = np.polyfit(mean[upper, 0], gap / moved, 1, w=moved)
    return blink * np.clip(offset + slope * mean[:, 0], 0.5, 1.1)[:, None]


def residual_expressions(
    source: HeadSource,
    mesh: FaceMesh,
    units: np.ndarray,
    identity: np.ndarray,
    weight: np.ndarray,
    count: int,
    seed: int,
    samples: int = 1500,
) -> np.ndarray:
    """Main modes of MakeHuman's older expression targets that neither the units nor identity can show."""
    folder = source.data_folder / "targets" / "expression" / "units"
    # The same expression is stored for three origins; their mean serves everybody.
    paths = [sorted(folder.glob(f"*/{path.name}")) for path in sorted((folder / "caucasian").glob("*.target.gz"))]
    offsets = np.stack(
        [
            np.mean([source.target(path, mesh.source_vertices) for path in origins], 0)
            for origins in paths
            if not origins[0].name.startswith("neck")
        ]
    )
    offsets = symmetrise(mesh.shape(offsets), mesh.mirror)
    rng = np.random.default_rng(seed)
    # Few targets act at a time in a face.
    strength = rng.uniform(0, 0.7, (samples, len(offsets))) * (rng.uniform(size=(samples, len(offsets))) < 0.15)
    mixed = np.tensordot(strength - strength.mean(0), offsets, 1)
    rigid = similarity_motions(mesh.shape(source.rest[mesh.source_vertices]) - ORIGIN)
    known = np.concatenate([units[np.abs(units).max((1, 2)) > 0], identity, rigid])
    return principal_modes(project_out(mixed, known, weight), weight, count)
