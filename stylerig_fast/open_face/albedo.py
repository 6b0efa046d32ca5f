"""A painted mean colour and a smooth, mirror-symmetric albedo basis: the model's colours before any are learned."""

from __future__ import annotations

import numpy as np
from scipy.sparse import coo_matrix, csr_matrix, diags
from scipy.sparse.linalg import eigsh
from scipy.spatial import cKDTree

from stylerig_fast.open_face.mesh import FaceMesh

# Linear-ish picture values of people in FFHQ under even light, averaged by eye.
SKIN = (0.72, 0.55, 0.46)
LIPS = (0.64, 0.38, 0.35)
INSIDE = (0.36, 0.17, 0.15)
BROW = (0.38, 0.28, 0.23)
LASHES = (0.42, 0.31, 0.27)
SCLERA = (0.74, 0.68, 0.65)
IRIS = (0.24, 0.17, 0.13)
PUPIL = (0.08, 0.06, 0.06)

# The subject's left brow on the average face, from the nose outward: (x, y, half thickness) in decimetres.
BROW_LINE = (
    (0.125, 0.245, 0.030),
    (0.22, 0.278, 0.034),
    (0.33, 0.288, 0.030),
    (0.43, 0.265, 0.024),
    (0.52, 0.215, 0.016),
)
# Radii about the eye's axis.
IRIS_RADIUS = 0.062
PUPIL_RADIUS = 0.024

# Directions of colour change: brightness along skin's own colour, then red against green, then blue against yellow.
AXES = ((1.0, 0.82, 0.72), (0.8, -0.5, -0.5), (0.25, 0.2, -0.9))


def paint_mean(points: np.ndarray, mesh: FaceMesh) -> tuple[np.ndarray, dict[str, np.ndarray]]:
    """Mean colours ``(V, 3)`` and the symmetric region weights ``(V,)`` they were painted with.

    Args:
        points: ``(V, 3)`` the mean shape.
        mesh: with its painted regions.
    """
    weights = regions(points, mesh)
    colour = np.tile(np.array(SKIN), (len(points), 1))
    layers = (
        ("lips", LIPS, 0.9),
        ("brows", BROW, 0.8),
        ("lashes", LASHES, 0.7),
        ("inside", INSIDE, 1.0),
        ("eye", SCLERA, 1.0),
        ("iris", IRIS, 1.0),
        ("pupil", PUPIL, 1.0),
    )
    for name, value, strength in layers:
        cover = weights[name][:, None] * strength
        colour = colour * (1 - cover) + np.array(value) * cover
    return (colour + colour[mesh.mirror]) / 2, weights


def regions(points: np.ndarray, mesh: FaceMesh) -> dict[str, np.ndarray]:
    """Weights of what has a colour of its own, alike on both sides."""
    side = np.abs(points[:, 0])
    eye = mesh.weights["eye"]
    is_ball = eye > 0.5
    weights = {
        "lips": mesh.weights["lips"],
        "inside": mesh.weights["mouth_inside"],
        "brows": _brows(side, points) * ~is_ball,
        "lashes": np.clip(2 * mesh.weights["lid_inside"], 0, 1),
        "eye": eye,
    }
    ball = points[is_ball & (points[:, 0] > 0)]
    apex = ball[ball[:, 2].argmax()]
    off_axis = np.hypot(side - apex[0], points[:, 1] - apex[1])
    for name, radius in (("iris", IRIS_RADIUS), ("pupil", PUPIL_RADIUS)):
        weights[name] = _step(radius - off_axis, 0.012) * is_ball * (points[:, 2] > apex[2] - 0.1)
    return {name: (value + value[mesh.mirror]) / 2 for name, value in weights.items()}


def _step(distance: np.ndarray, width: float) -> np.ndarray:
    """0 below, 1 above, smooth over ``width`` on either side."""
    t = np.clip(distance / (2 * width) + 0.5, 0, 1)
    return t * t * (3 - 2 * t)


def _brows(side: np.ndarray, points: np.ndarray) -> np.ndarray:
    line = np.array(BROW_LINE)
    along = np.clip(side, line[0, 0], line[-1, 0])
    height = np.interp(along, line[:, 0], line[:, 1])
    half = np.interp(along, line[:, 0], line[:, 2])
    distance = np.hypot(side - along, points[:, 1] - height)
    return _step(half - distance, 0.015) * (points[:, 2] > 0.3)


def vertex_normals(points: np.ndarray, triangles: np.ndarray) -> np.ndarray:
    """Area-weighted unit normals ``(V, 3)``."""
    a, b, c = (points[triangles[:, k]] for k in range(3))
    face = np.cross(b - a, c - a)
    normals = np.zeros_like(points)
    for k in range(3):
        np.add.at(normals, triangles[:, k], face)
    return normals / np.maximum(np.linalg.norm(normals, axis=1, keepdims=True), 1e-12)


def vertex_area(points: np.ndarray, triangles: np.ndarray) -> np.ndarray:
    """A third of the area around each vertex, normalised to sum one."""
    a, b, c = (points[triangles[:, k]] for k in range(3))
    area = np.linalg.norm(np.cross(b - a, c - a), axis=1)
    total = np.zeros(len(points))
    for k in range(3):
        np.add.at(total, triangles[:, k], area)
    return total / total.sum()


def edge_graph(triangles: np.ndarray, count: int) -> csr_matrix:
    """Symmetric 0/1 adjacency of the mesh's vertices."""
    a, b = triangles[:, [0, 1, 2]].ravel(), triangles[:, [1, 2, 0]].ravel()
    graph = coo_matrix((np.ones(2 * len(a)), (np.r_[a, b], np.r_[b, a])), shape=(count, count)).tocsr()
    graph.data[:] = 1
    return graph


def smooth_functions(points: np.ndarray, mesh: FaceMesh, count: int) -> np.ndarray:
    """The ``count`` smoothest mirror-symmetric functions on the face ``(count, V)``, root mean square 1.

    Eigenvectors of a graph Laplacian on pairs of mirrored vertices. Besides the mesh's edges it has edges
    between near vertices, so that eyeballs, lids and lips, which are not joined, still vary together.
    """
    count_v = len(points)
    near = cKDTree(points).query(points, k=7)[1][:, 1:]
    start = np.repeat(np.arange(count_v), near.shape[1])
    close = coo_matrix((np.ones(near.size), (start, near.ravel())), shape=(count_v, count_v))
    graph = (edge_graph(mesh.triangles, count_v) + close + close.T).tocoo()
    length = np.linalg.norm(points[graph.row] - points[graph.col], axis=1)
    weight = 1 / np.maximum(length, 0.01)

    pair = np.minimum(np.arange(count_v), mesh.mirror)
    nodes, of_vertex = np.unique(pair, return_inverse=True)
    folded = coo_matrix((weight, (of_vertex[graph.row], of_vertex[graph.col])), shape=(len(nodes),) * 2).tocsr()
    folded = (folded + folded.T) / 2
    laplacian = diags(np.asarray(folded.sum(1)).ravel()) - folded
    mass = diags(np.bincount(of_vertex).astype(float))
    # A fixed start makes the iteration repeatable.
    functions = eigsh(laplacian.tocsc(), count, mass.tocsc(), sigma=-1e-3, v0=np.ones(len(nodes)))[1].T[:, of_vertex]
    functions /= np.sqrt((functions**2).mean(1, keepdims=True))
    return functions * np.sign(functions[:, points[:, 2].argmax()])[:, None]


def smooth_basis(points: np.ndarray, mesh: FaceMesh, weights: dict[str, np.ndarray], count: int = 80) -> np.ndarray:
    """Albedo offsets ``(count, V, 3)`` per standard deviation: brightness first, then regions, then hues."""
    hues = max(count // 7, 1)
    coloured = [weights[name] for name in ("lips", "brows", "eye", "iris", "inside")]
    bright = count - 2 * hues - 2 * len(coloured)
    functions = smooth_functions(points, mesh, max(bright, hues))
    axes = np.array(AXES)
    basis = [spread * functions[k][:, None] * axes[0] for k, spread in enumerate(_spreads(bright, 0.12, 0.05))]
    basis += [0.06 * region[:, None] * axes[0] for region in coloured]
    basis += [0.03 * region[:, None] * axes[1] for region in coloured]
    for axis, first in ((1, 0.04), (2, 0.03)):
        spreads = _spreads(hues, first, 0.4 * first)
        basis += [spread * functions[k][:, None] * axes[axis] for k, spread in enumerate(spreads)]
    return np.stack(basis)


def _spreads(count: int, first: float, second: float) -> np.ndarray:
    """Standard deviations that fall off with frequency: the overall colour varies most."""
    spreads = second / (1 + np.arange(count) / 8)
    spreads[:1] = first
    return spreads
