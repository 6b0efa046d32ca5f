"""Selective Catmull-Clark refinement of a symmetric quad mesh, as a matrix.

MakeHuman's head is dense around eyes and lips and coarse on cheeks and forehead. Refining only the large
quads makes the density even. New positions are linear in the old ones, so the same matrix refines every
shape offset. A quad beside a refined one takes the new edge points into its outline: there are no cracks.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.sparse import coo_matrix, csr_matrix


@dataclass(frozen=True)
class Refined:
    """A refined mesh.

    Attributes:
        matrix: ``(V', V)`` sparse; new vertices are ``matrix @ old``.
        polygons: lists of vertex numbers, counter-clockwise.
        parent: for each polygon the quad it came from.
    """

    matrix: csr_matrix
    polygons: list[list[int]]
    parent: np.ndarray


def refine(quads: np.ndarray, vertex_count: int, selected: np.ndarray) -> Refined:
    """Splits the selected quads in four, with Catmull-Clark positions inside the selected region.

    Args:
        quads: ``(Q, 4)``.
        vertex_count: number of old vertices; they keep their numbers.
        selected: ``(Q,)`` bool.
    """
    edges: dict[tuple[int, int], list[int]] = {}
    for q, quad in enumerate(quads):
        for a, b in zip(quad, np.roll(quad, -1), strict=True):
            edges.setdefault((min(a, b), max(a, b)), []).append(q)

    rows: dict[int, dict[int, float]] = {}
    face_point = {q: vertex_count + k for k, q in enumerate(np.flatnonzero(selected).tolist())}
    for q, row in face_point.items():
        rows[row] = dict.fromkeys(map(int, quads[q]), 0.25)

    edge_point: dict[tuple[int, int], int] = {}
    for edge, owners in edges.items():
        chosen = [q for q in owners if selected[q]]
        if not chosen:
            continue
        row = edge_point[edge] = vertex_count + len(face_point) + len(edge_point)
        rows[row] = dict.fromkeys(edge, 0.5)
        if len(chosen) == 2:  # inside the region: the average of the ends and the two face points
            rows[row] = {}
            for end in edge:
                _add(rows[row], {end: 1.0}, 0.25)
            for q in chosen:
                _add(rows[row], rows[face_point[q]], 0.25)

    _vertex_points(rows, quads, vertex_count, selected, edges, face_point)
    polygons, parent = [], []
    for q, quad in enumerate(quads):
        ring: list[int] = []
        for a, b in zip(quad, np.roll(quad, -1), strict=True):
            ring.append(int(a))
            point = edge_point.get((min(a, b), max(a, b)))
            if point is not None:
                ring.append(point)
        if selected[q]:
            middle = face_point[q]
            for k in range(4):
                polygons.append([ring[2 * k], ring[2 * k + 1], middle, ring[2 * k - 1]])
                parent.append(q)
        else:
            polygons.append(ring)
            parent.append(q)
    count = vertex_count + len(face_point) + len(edge_point)
    entries = [(r, c, w) for r in range(count) for c, w in rows.get(r, {r: 1.0}).items()]
    r, c, w = (np.array(x) for x in zip(*entries, strict=True))
    return Refined(coo_matrix((w, (r, c)), shape=(count, vertex_count)).tocsr(), polygons, np.array(parent))


def _add(row: dict[int, float], other: dict[int, float], factor: float) -> None:
    for column, weight in other.items():
        row[column] = row.get(column, 0.0) + factor * weight


def _vertex_points(
    rows: dict[int, dict[int, float]],
    quads: np.ndarray,
    vertex_count: int,
    selected: np.ndarray,
    edges: dict[tuple[int, int], list[int]],
    face_point: dict[int, int],
) -> None:
    """Catmull-Clark's vertex rule where a vertex lies wholly inside the region; others stay where they are."""
    around: list[list[int]] = [[] for _ in range(vertex_count)]
    for q, quad in enumerate(quads):
        for v in quad:
            around[v].append(q)
    neighbours: list[list[int]] = [[] for _ in range(vertex_count)]
    border = np.zeros(vertex_count, bool)
    for (a, b), owners in edges.items():
        neighbours[a].append(b)
        neighbours[b].append(a)
        if len(owners) < 2:
            border[[a, b]] = True
    for v in range(vertex_count):
        n = len(around[v])
        if n < 3 or border[v] or not selected[around[v]].all():
            continue
        row: dict[int, float] = {v: (n - 3) / n + 1 / n}
        for u in neighbours[v]:  # twice the mean of edge middles, over n
            _add(row, {u: 1.0}, 1 / n**2)
        for q in around[v]:
            _add(row, rows[face_point[q]], 1 / n**2)
        rows[v] = row


def triangulate(polygons: list[list[int]], points: np.ndarray, mirror: np.ndarray) -> np.ndarray:
    """Fans each polygon from the corner that gives the roundest triangles, alike on both sides of the face.

    Args:
        polygons: counter-clockwise outlines; none crosses the plane x = 0.
        points: ``(V, 3)``.
        mirror: ``(V,)``.

    Returns:
        ``(T, 3)`` int32.
    """
    triangles: list[list[int]] = []
    for polygon in polygons:
        if points[polygon, 0].mean() <= 0:
            continue
        best, best_quality = 0, -1.0
        for start in range(len(polygon)):
            quality = min(_roundness(points[t]) for t in _fan(polygon, start))
            if quality > best_quality + 1e-9:
                best, best_quality = start, quality
        for a, b, c in _fan(polygon, best):
            triangles.append([a, b, c])
            triangles.append([int(mirror[a]), int(mirror[c]), int(mirror[b])])
    return np.array(triangles, np.int32)


def _fan(polygon: list[int], start: int) -> list[list[int]]:
    ring = polygon[start:] + polygon[:start]
    return [[ring[0], ring[k], ring[k + 1]] for k in range(1, len(ring) - 1)]


def _roundness(corners: np.ndarray) -> float:
    """1 for an equilateral triangle, 0 for a sliver."""
    sides = corners - np.roll(corners, 1, 0)
    area = np.linalg.norm(np.cross(sides[0], sides[1])) / 2
    return float(4 * np.sqrt(3) * area / max((sides**2).sum(), 1e-20))
