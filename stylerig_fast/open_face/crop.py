"""Which faces of the head make the face model: face, ears, front of the neck, visible front of the eyes.

Hair would pollute the photometric mask, so the scalp is left out behind a straight hair line seen from
the side. The mouth's cavity and the lids' insides are kept only as far as an opened mouth shows them.
"""

from __future__ import annotations

import numpy as np

from stylerig_fast.open_face.anny_source import HeadSource

# The hair line in the profile of the average head, from forehead to sideburn: (z, y) in decimetres.
HAIR_LINE = ((1.33, 7.70), (0.62, 6.95))
NECK_BOTTOM = 5.74
# The back edge of jaw and neck.
BACK = 0.40
# How far past the lips' and lids' edges the surface goes on, in rings of quads.
MOUTH_RINGS = 2
LID_RINGS = 1


def rough_quads(source: HeadSource, margin: float = 0.15) -> np.ndarray:
    """Bool mask over ``source.quads``: the face model's region and a margin (dm) for the fine cut."""
    head = source.regions["head"]
    centre = source.rest[source.quads].mean(1)
    keep = head & (within(centre, margin) | (source.texture("ears").mean(1) > 0.5))
    for region, rings in (("mouth_cavity", MOUTH_RINGS), ("eye_cavity.L", LID_RINGS), ("eye_cavity.R", LID_RINGS)):
        grown = head
        for _ in range(rings):
            touched = np.zeros(len(source.rest), bool)
            touched[source.quads[grown]] = True
            grown = grown | (source.regions[region] & touched[source.quads].any(1))
        keep |= grown & source.regions[region]
    keep |= source.regions["eye_front.L"] | source.regions["eye_front.R"]
    number = {tuple(sorted(quad)): q for q, quad in enumerate(source.quads.tolist())}
    twin = np.array([number[tuple(sorted(quad))] for quad in source.mirror[source.quads].tolist()])
    return keep & keep[twin]


def within(points: np.ndarray, margin: float = 0.0) -> np.ndarray:
    """Whether points ``(..., 3)`` of the average head lie before the hair line, above the neck's cut, not behind."""
    y, z = points[..., 1], points[..., 2]
    (z0, y0), (z1, y1) = HAIR_LINE
    before_hair = y < y0 + (z - z0) * (y0 - y1) / (z0 - z1) + margin
    return before_hair & (z > BACK - margin) & (y > NECK_BOTTOM - margin)


def largest_pieces(triangles: np.ndarray, vertex_count: int, pieces: int) -> np.ndarray:
    """Bool mask over triangles: the largest connected pieces, without stray islands."""
    from scipy.sparse import coo_matrix
    from scipy.sparse.csgraph import connected_components

    start, end = triangles[:, [0, 1]].ravel(), triangles[:, [1, 2]].ravel()
    graph = coo_matrix((np.ones(len(start)), (start, end)), shape=(vertex_count, vertex_count))
    of_triangle = connected_components(graph, directed=False)[1][triangles[:, 0]]
    names, counts = np.unique(of_triangle, return_counts=True)
    return np.isin(of_triangle, names[np.argsort(-counts)[:pieces]])
