"""rasterize: the kernel against the reference, both against PyTorch3D's output, and every awkward input."""

from __future__ import annotations

import math
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from stylerig_fast import ops
from stylerig_fast.errors import BackendUnavailable
from tests.ops.meshes import needs_kernels, random_mesh, sphere

FOCAL = 1.2


def assert_same(vertices, triangles, height, width, focal=FOCAL):
    """Elementwise arithmetic in the same order: the kernel is equal to the reference, not just close."""
    found = ops.rasterize(vertices, triangles, focal, height, width, impl="cpu")
    wanted = ops.rasterize(vertices, triangles, focal, height, width, impl="reference")
    assert found.triangle.dtype == torch.int32
    assert torch.equal(found.triangle, wanted.triangle)
    assert torch.equal(found.depth, wanted.depth)
    return found


@needs_kernels
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("seed", range(6))
def test_kernel_equals_reference_around_the_camera(seed, dtype):
    vertices, triangles = random_mesh(seed, dtype=dtype)
    seen = assert_same(vertices, triangles, 37, 53)
    assert bool((seen.triangle >= 0).any()), "the mesh was meant to be seen"


@needs_kernels
@pytest.mark.parametrize(("batch", "count"), [(0, 5), (3, 0), (0, 0), (1, 1)])
def test_empty_and_single(batch, count):
    vertices, triangles = random_mesh(1, batch=max(batch, 1), triangles=70)
    assert_same(vertices[:batch], triangles[5 : 5 + count], 9, 7)


@needs_kernels
@pytest.mark.parametrize(("height", "width"), [(0, 8), (8, 0), (1, 1), (1, 300), (257, 3)])
def test_odd_sizes(height, width):
    vertices, triangles = random_mesh(2)
    assert_same(vertices, triangles, height, width)


@needs_kernels
def test_more_than_a_million_pixels():
    points, triangles = sphere(40, 60)
    seen = assert_same(points[None] - torch.tensor([0.0, 0.0, 3.0]), triangles, 1029, 1031)
    assert float((seen.triangle >= 0).float().mean()) > 0.3


@needs_kernels
def test_non_contiguous_inputs():
    vertices, triangles = random_mesh(3)
    strided = torch.stack([vertices, vertices], dim=-1)[..., 0]
    columns = triangles.t().contiguous().t()
    assert not strided.is_contiguous()
    assert not columns.is_contiguous()
    assert_same(strided, columns, 20, 24)


@needs_kernels
def test_the_result_does_not_depend_on_threads_or_runs():
    points, triangles = sphere(30, 40)
    vertices = points[None] - torch.tensor([0.0, 0.0, 3.0])
    before = torch.get_num_threads()
    results = []
    try:
        for threads in (1, 2, 2, 5):
            torch.set_num_threads(threads)
            results.append(ops.rasterize(vertices, triangles, 1.4, 200, 200, impl="cpu"))
    finally:
        torch.set_num_threads(before)
    for other in results[1:]:
        assert torch.equal(results[0].triangle, other.triangle)
        assert torch.equal(results[0].depth, other.depth)


@pytest.mark.parametrize("impl", ["reference", pytest.param("cpu", marks=needs_kernels)])
@pytest.mark.parametrize("size", [64, 128])
def test_golden_of_pytorch3d(shared: Path, size, impl):
    golden = np.load(shared / "goldens" / "raster_pytorch3d.npz")
    vertices, triangles = torch.from_numpy(golden["camera_vertices"]), torch.from_numpy(golden["triangles"])
    seen = ops.rasterize(vertices, triangles, float(golden["focal"]), size, size, impl=impl)
    wanted = torch.from_numpy(golden[f"triangle_{size}"])
    same = seen.triangle == wanted
    assert float(same.float().mean()) >= 0.999
    covered = same & (wanted >= 0)
    # The file is in centimetres, about 100 of them away.
    assert float((seen.depth - torch.from_numpy(golden[f"depth_{size}"]))[covered].abs().max()) < 1e-4
    weights = ops.barycentrics(vertices, triangles, seen.triangle, float(golden["focal"]))
    assert float((weights - torch.from_numpy(golden[f"bary_{size}"]))[covered].abs().max()) < 1e-4


@pytest.mark.parametrize("impl", ["reference", pytest.param("cpu", marks=needs_kernels)])
def test_a_tilted_plane_has_its_analytic_depth_and_no_holes(impl):
    # z = -5 + x/2 + y/4, cut into a grid whose edges pass through pixel centres.
    steps = torch.linspace(-4, 4, 17)
    x, y = torch.meshgrid(steps, steps, indexing="xy")
    vertices = torch.stack([x, y, -5 + x / 2 + y / 4], dim=-1).reshape(1, -1, 3)
    index = torch.arange(17 * 17).view(17, 17)
    a, b, c, d = (index[i : 16 + i, j : 16 + j].reshape(-1) for i, j in ((0, 0), (0, 1), (1, 0), (1, 1)))
    triangles = torch.cat([torch.stack([a, b, c], -1), torch.stack([b, d, c], -1)]).int()
    size = 64
    seen = ops.rasterize(vertices, triangles, 1.0, size, size, impl=impl)
    assert bool((seen.triangle >= 0).all()), "neighbouring triangles left a hole"
    centres = (torch.arange(size) + 0.5) / size - 0.5
    ray_x, ray_y = centres[None, :], -centres[:, None]
    wanted = 5 / (1 + ray_x / 2 + ray_y / 4)
    assert torch.allclose(seen.depth[0], wanted, rtol=1e-5)


@pytest.mark.parametrize("impl", ["reference", pytest.param("cpu", marks=needs_kernels)])
def test_a_floor_that_reaches_behind_the_camera(impl):
    # The plane y = -1 from z = -100 to z = +100: everything below the horizon.
    vertices = torch.tensor([[[-500.0, -1, -100], [500, -1, -100], [500, -1, 100], [-500, -1, 100]]])
    triangles = torch.tensor([[0, 1, 2], [0, 2, 3]], dtype=torch.int32)
    seen = ops.rasterize(vertices, triangles, 0.5, 32, 32, impl=impl)
    down = ((torch.arange(32) + 0.5) / 32 - 0.5) / 0.5
    visible = (down > 0) & (1 / down < 100)
    assert torch.equal(seen.triangle[0] >= 0, visible[:, None].expand(32, 32))
    assert torch.allclose(seen.depth[0, visible], (1 / down[visible])[:, None].expand(-1, 32), rtol=1e-4)


@pytest.mark.parametrize("impl", ["reference", pytest.param("cpu", marks=needs_kernels)])
def test_equal_depth_goes_to_the_lower_number(impl):
    vertices = torch.tensor([[[-1.0, -1, -3], [1, -1, -3], [0, 1, -3]]])
    triangles = torch.tensor([[0, 1, 2], [2, 1, 0], [0, 1, 2]], dtype=torch.int32)
    seen = ops.rasterize(vertices, triangles, 1.0, 16, 16, impl=impl).triangle
    assert set(seen.unique().tolist()) == {-1, 0}
    nearer = torch.cat([vertices, vertices + torch.tensor([0.0, 0, 1])], dim=1)
    triangles = torch.tensor([[0, 1, 2], [3, 4, 5]], dtype=torch.int32)
    seen = ops.rasterize(nearer, triangles, 1.0, 16, 16, impl=impl).triangle
    assert set(seen.unique().tolist()) == {-1, 1}, "the near triangle hides the far one"


@pytest.mark.parametrize("impl", ["reference", pytest.param("cpu", marks=needs_kernels)])
@pytest.mark.parametrize("z", [3.0, -0.005, math.nan, math.inf])
def test_nothing_is_seen_behind_the_near_plane(z, impl):
    vertices = torch.tensor([[[-1.0, -1, z], [1, -1, z], [0, 1, z]]])
    seen = ops.rasterize(vertices, torch.tensor([[0, 1, 2]], dtype=torch.int32), 1.0, 8, 8, impl=impl)
    assert bool((seen.triangle == -1).all())
    assert bool((seen.depth == 0).all())


def test_wrong_arguments_are_named():
    vertices, triangles = random_mesh(4)
    with pytest.raises(ValueError, match=r"vertices has shape \(40, 3\), expected \(B, V, 3\)"):
        ops.rasterize(vertices[0], triangles, 1.0, 4, 4)
    with pytest.raises(ValueError, match=r"triangles has dtype torch.int64, expected torch.int32"):
        ops.rasterize(vertices, triangles.long(), 1.0, 4, 4)
    with pytest.raises(ValueError, match=r"vertices has dtype torch.float16"):
        ops.rasterize(vertices.half(), triangles, 1.0, 4, 4)
    with pytest.raises(ValueError, match=r"triangles is on meta"):
        ops.rasterize(vertices, triangles.to("meta"), 1.0, 4, 4)
    with pytest.raises(ValueError, match="focal"):
        ops.rasterize(vertices, triangles, 0.0, 4, 4)
    with pytest.raises(ValueError, match="height -1"):
        ops.rasterize(vertices, triangles, 1.0, -1, 4)
    with pytest.raises(ValueError, match="impl='cuda' needs tensors on that device"):
        ops.rasterize(vertices, triangles, 1.0, 4, 4, impl="cuda")
    with pytest.raises(ValueError, match="impl must be"):
        ops.rasterize(vertices, triangles, 1.0, 4, 4, impl="gpu")


@needs_kernels
@pytest.mark.parametrize("bad", [-1, 40, 2**31 - 1])
def test_a_triangle_that_names_no_vertex_raises(bad):
    vertices, triangles = random_mesh(4)
    triangles[13, 1] = bad
    with pytest.raises(RuntimeError, match="40 vertices"):
        ops.rasterize(vertices, triangles, 1.0, 4, 4, impl="cpu")


@needs_kernels
def test_opcheck():
    vertices, triangles = random_mesh(5)
    torch.library.opcheck(torch.ops.stylerig.rasterize, (vertices, triangles, 1.0, 11, 13, 0.01))


@needs_kernels
def test_compiles_without_a_graph_break():
    vertices, triangles = random_mesh(6)

    def covered(points):
        return ops.rasterize(points * 2, triangles, 1.0, 11, 13).triangle.add(1)

    compiled = torch.compile(covered, fullgraph=True, backend="aot_eager")
    assert torch.equal(compiled(vertices), covered(vertices))


def test_pytorch3d_agrees():
    pytest.importorskip("pytorch3d", reason="PyTorch3D is not installed", exc_type=ImportError)
    points, triangles = sphere(20, 30)
    vertices = points[None].repeat(2, 1, 1) - torch.tensor([0.0, 0.0, 5.0])
    found = ops.rasterize(vertices, triangles, 2.0, 48, 40, impl="pytorch3d")
    wanted = ops.rasterize(vertices, triangles, 2.0, 48, 40)
    same = found.triangle == wanted.triangle
    assert float(same.float().mean()) > 0.998
    assert torch.allclose(found.depth[same], wanted.depth[same], atol=1e-4)


def test_without_pytorch3d_the_message_says_what_is_missing(monkeypatch):
    monkeypatch.setitem(sys.modules, "pytorch3d.renderer.mesh.rasterize_meshes", None)
    vertices, triangles = random_mesh(7)
    with pytest.raises(BackendUnavailable, match="needs PyTorch3D"):
        ops.rasterize(vertices, triangles, 2.0, 8, 8, impl="pytorch3d")
