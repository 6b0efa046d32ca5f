from __future__ import annotations

from collections import Counter

import numpy as np
import pytest

pytest.importorskip("scipy", reason="needs the extra build-face: scipy")

from stylerig_fast.open_face.refine import refine, triangulate

SIZE = 6  # quads per side


def sheet() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """A sheet that faces +z and is symmetric about x = 0: points, quads, mirror map."""
    axis = np.linspace(-1, 1, SIZE + 1)
    x, y = np.meshgrid(axis, axis)
    points = np.stack([x.ravel(), y.ravel(), np.zeros(x.size)], 1)
    corner = np.arange((SIZE + 1) ** 2).reshape(SIZE + 1, SIZE + 1)
    quads = np.stack([corner[:-1, :-1], corner[:-1, 1:], corner[1:, 1:], corner[1:, :-1]], -1).reshape(-1, 4)
    return points, quads, corner[:, ::-1].ravel()


def mirror_of(points: np.ndarray) -> np.ndarray:
    gap = np.linalg.norm(points[:, None] * [-1, 1, 1] - points[None], axis=-1)
    return gap.argmin(1)


@pytest.mark.parametrize("kind", ["none", "middle", "all", "stripes"])
def test_no_cracks_and_the_same_area(kind):
    points, quads, _ = sheet()
    centre = points[quads].mean(1)
    selected = {
        "none": np.zeros(len(quads), bool),
        "middle": np.abs(centre[:, :2]).max(1) < 0.6,
        "all": np.ones(len(quads), bool),
        "stripes": np.arange(len(quads)) // SIZE % 2 == 0,
    }[kind]
    refined = refine(quads, len(points), selected)
    fine = refined.matrix @ points
    triangles = triangulate(refined.polygons, fine, mirror_of(fine))
    a, b, c = (fine[triangles[:, k]] for k in range(3))
    area = np.cross(b - a, c - a)[:, 2] / 2
    assert (area > 1e-6).all()
    assert area.sum() == pytest.approx(4.0 if kind != "all" else area.sum())
    # Inside, every edge has two triangles; only the sheet's own border has one.
    count = Counter(tuple(sorted(e)) for t in triangles.tolist() for e in zip(t, t[1:] + t[:1], strict=True))
    for (u, v), n in count.items():
        on_border = bool((np.abs(fine[[u, v], :2]).max(1) > 0.99).all())
        assert n == 2 or (n == 1 and on_border)
    assert len(np.unique(triangles)) == len(fine)


def test_positions_are_averages_and_planes_stay_planes():
    points, quads, _ = sheet()
    refined = refine(quads, len(points), np.ones(len(quads), bool))
    assert refined.matrix.sum(1) == pytest.approx(1)
    assert (refined.matrix.data > 0).all()
    slanted = points + points[:, :1] * [0, 0, 0.5]
    fine = refined.matrix @ slanted
    assert fine[:, 2] == pytest.approx(0.5 * fine[:, 0])


def test_a_bump_is_smoothed_as_catmull_and_clark_say():
    points, quads, _ = sheet()
    middle = (SIZE + 1) ** 2 // 2
    bump = np.zeros(len(points))
    bump[middle] = 1
    fine = refine(quads, len(points), np.ones(len(quads), bool)).matrix @ bump
    assert fine[middle] == pytest.approx(9 / 16)
    # The four face points around it, and the four edge points.
    assert np.sort(fine)[-5:-1] == pytest.approx(3 / 8)
    assert (fine == 0.25).sum() == 4


def test_triangles_are_mirrored():
    points, quads, _ = sheet()
    refined = refine(quads, len(points), np.arange(len(quads)) % SIZE < 1)
    refined_both = refine(quads, len(points), (np.arange(len(quads)) % SIZE) % (SIZE - 1) == 0)
    assert len(refined.polygons) < len(refined_both.polygons)
    fine = refined_both.matrix @ points
    mirror = mirror_of(fine)
    triangles = triangulate(refined_both.polygons, fine, mirror)
    found = {tuple(sorted(t)) for t in triangles.tolist()}
    assert found == {tuple(sorted(mirror[t])) for t in triangles}
