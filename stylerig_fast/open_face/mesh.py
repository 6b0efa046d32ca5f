"""The face model's mesh: cropped, evened out, triangulated, with its mirror map and painted regions."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.sparse import csr_matrix

from stylerig_fast.open_face import crop
from stylerig_fast.open_face.anny_source import HeadSource
from stylerig_fast.open_face.refine import refine, triangulate

# Quads with a longer mean edge (dm) are split in four.
SPLIT_ABOVE = 0.05
# Between the ears, at the height of the eyes' lower lids: the model's origin in the source's frame.
ORIGIN = (0.0, 6.85, 0.5)


@dataclass(frozen=True)
class FaceMesh:
    """The mesh and how to bring shapes of the source head onto it.

    Attributes:
        source_vertices: ``(n,)`` vertices of the source that are used.
        matrix: ``(V, n)``; a shape or an offset of the source at those vertices becomes one of the mesh.
        triangles: ``(T, 3)`` int32.
        mirror: ``(V,)``.
        weights: per region ``(V,)`` in [0, 1], the same on both sides: lips, eyelids, ears, eye (the balls),
            mouth_inside, lid_inside.
    """

    source_vertices: np.ndarray
    matrix: csr_matrix
    triangles: np.ndarray
    mirror: np.ndarray
    weights: dict[str, np.ndarray]

    def shape(self, source_points: np.ndarray) -> np.ndarray:
        """Brings ``(..., n, 3)`` source positions or offsets onto the mesh ``(..., V, 3)``."""
        flat = source_points.reshape(-1, *source_points.shape[-2:])
        return np.stack([self.matrix @ part for part in flat]).reshape(*source_points.shape[:-2], -1, 3)


def build_mesh(source: HeadSource) -> FaceMesh:
    """Crops the head and refines its coarse parts."""
    kept = crop.rough_quads(source)
    used = np.unique(source.quads[kept])
    renumber = np.full(len(source.rest), -1)
    renumber[used] = np.arange(len(used))
    quads, points = renumber[source.quads[kept]], source.rest[used]
    eyes = (source.regions["eye_front.L"] | source.regions["eye_front.R"])[kept]
    edge = np.linalg.norm(points[quads] - points[np.roll(quads, -1, 1)], axis=-1).mean(1)
    twins = _twins(quads, renumber[source.mirror[used]])
    selected = eyes | (np.maximum(edge, edge[twins]) > SPLIT_ABOVE)
    refined = refine(quads, len(used), selected)
    fine = refined.matrix @ points
    mirror = _mirror_map(refined.matrix, renumber[source.mirror[used]])

    # The fine cut: what the source calls face skin must lie within; ears, lids and mouth are kept whole.
    skin = (source.regions["head"] & ~(source.texture("ears").mean(1) > 0.5))[kept][refined.parent]
    centre = np.stack([fine[p].mean(0) for p in refined.polygons])
    centre[:, 0] = 0
    good = ~skin | crop.within(centre)
    polygons = [p for p, ok in zip(refined.polygons, good, strict=True) if ok]
    triangles = triangulate(polygons, fine, mirror)
    triangles = triangles[crop.largest_pieces(triangles, len(fine), pieces=3)]

    alive = np.unique(triangles)
    final = np.full(len(fine), -1)
    final[alive] = np.arange(len(alive))
    return FaceMesh(
        source_vertices=used,
        matrix=refined.matrix[alive],
        triangles=final[triangles].astype(np.int32),
        mirror=final[mirror[alive]],
        weights={
            name: (value + value[final[mirror[alive]]]) / 2
            for name, value in _paint(source, kept, quads, len(used), refined.matrix[alive]).items()
        },
    )


def _twins(quads: np.ndarray, mirror: np.ndarray) -> np.ndarray:
    """For each quad the one on the other side."""
    number = {tuple(sorted(quad)): q for q, quad in enumerate(quads.tolist())}
    return np.array([number[tuple(sorted(quad))] for quad in mirror[quads].tolist()])


def _mirror_map(matrix: csr_matrix, mirror: np.ndarray) -> np.ndarray:
    """The mirrored vertex of each new vertex: the one whose weights are the same on mirrored old vertices."""

    def key(columns: np.ndarray, weights: np.ndarray) -> tuple[tuple[int, float], ...]:
        return tuple(sorted((int(c), round(float(w), 6)) for c, w in zip(columns, weights, strict=True)))

    rows = [slice(matrix.indptr[r], matrix.indptr[r + 1]) for r in range(matrix.shape[0])]
    number = {key(matrix.indices[row], matrix.data[row]): r for r, row in enumerate(rows)}
    return np.array([number[key(mirror[matrix.indices[row]], matrix.data[row])] for row in rows])


def _paint(
    source: HeadSource, kept: np.ndarray, quads: np.ndarray, count: int, matrix: csr_matrix
) -> dict[str, np.ndarray]:
    """Region weights at the mesh's vertices."""
    corner = {name: source.texture(name)[kept] for name in ("lips", "eyelids", "ears")}
    regions = {name: mask[kept] for name, mask in source.regions.items()}
    as_corner = {
        "eye": regions["eye_front.L"] | regions["eye_front.R"],
        "mouth_inside": regions["mouth_cavity"],
        "lid_inside": regions["eye_cavity.L"] | regions["eye_cavity.R"],
    }
    corner |= {name: np.repeat(mask[:, None], 4, 1).astype(float) for name, mask in as_corner.items()}
    skin = regions["head"]
    weights = {}
    for name, value in corner.items():
        rows = np.ones(len(quads), bool) if name in as_corner else skin
        total, number = np.zeros(count), np.zeros(count)
        np.add.at(total, quads[rows], value[rows])
        np.add.at(number, quads[rows], 1)
        weights[name] = np.clip(matrix @ (total / np.maximum(number, 1)), 0, 1)
    return weights
