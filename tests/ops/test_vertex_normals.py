"""vertex_normals: the kernel against the reference, gradients, degenerate triangles."""

from __future__ import annotations

import pytest
import torch

from stylerig_fast import ops
from tests.ops.meshes import needs_kernels, random_mesh, relative_error, sphere

# Sums of about six cross products in another order: some ten roundings.
EPSILON = {torch.float32: 10 * 2**-23, torch.float64: 10 * 2**-52}


def finite_mesh(seed=0, batch=2, dtype=torch.float64):
    generator = torch.Generator().manual_seed(seed)
    points, triangles = sphere(dtype=dtype)
    noise = torch.randn(batch, *points.shape, generator=generator, dtype=torch.float64)
    return points + 0.05 * noise.to(dtype), triangles


@pytest.mark.parametrize("impl", ["reference", pytest.param("cpu", marks=needs_kernels)])
def test_a_sphere_points_outwards(impl):
    points, triangles = sphere(24, 36)
    normals = ops.vertex_normals(points[None] * 0.7, triangles, impl=impl)[0]
    assert float((normals * points).sum(-1).min()) > 0.995
    assert torch.allclose(normals.norm(dim=-1), torch.ones(len(points)))


@pytest.mark.parametrize("impl", ["reference", pytest.param("cpu", marks=needs_kernels)])
def test_areas_are_the_weights(impl):
    # A large triangle facing +z and a small one facing +x meet in vertex 0.
    vertices = torch.tensor([[[0.0, 0, 0], [4, 0, 0], [0, 4, 0], [0, 1, 0], [0, 0, 1]]])
    triangles = torch.tensor([[0, 1, 2], [0, 3, 4]], dtype=torch.int32)
    normal = ops.vertex_normals(vertices, triangles, impl=impl)[0, 0]
    assert torch.allclose(normal, torch.nn.functional.normalize(torch.tensor([1.0, 0, 16]), dim=0))


@needs_kernels
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("batch", [0, 1, 5])
def test_kernel_follows_reference(batch, dtype):
    vertices, triangles = finite_mesh(batch=batch, dtype=dtype)
    weights = torch.randn(vertices.shape, generator=torch.Generator().manual_seed(1), dtype=dtype)
    results = {}
    for impl in ("reference", "cpu"):
        leaf = vertices.clone().requires_grad_()
        normals = ops.vertex_normals(leaf, triangles, impl=impl)
        (gradient,) = torch.autograd.grad((normals * weights).sum(), leaf)
        results[impl] = normals.detach(), gradient
    assert relative_error(results["cpu"][0], results["reference"][0]) < EPSILON[dtype]
    assert relative_error(results["cpu"][1], results["reference"][1]) < 10 * EPSILON[dtype]


@needs_kernels
def test_adjacency_changes_nothing_and_is_checked():
    vertices, triangles = finite_mesh()
    given = ops.adjacency(triangles, vertices.shape[1])
    assert torch.equal(
        ops.vertex_normals(vertices, triangles, adjacency=given, impl="cpu"),
        ops.vertex_normals(vertices, triangles, impl="cpu"),
    )
    with pytest.raises(ValueError, match=r"adjacency.offsets"):
        ops.vertex_normals(vertices, triangles, adjacency=ops.adjacency(triangles, 7), impl="cpu")
    broken = given._replace(corners=given.corners + 10**6)
    with pytest.raises(RuntimeError, match="adjacency"):
        ops.vertex_normals(vertices, triangles, adjacency=broken, impl="cpu")


def test_adjacency_lists_every_corner_once():
    _, triangles = random_mesh(0)
    offsets, corners = ops.adjacency(triangles, 40)
    assert sorted(corners.tolist()) == list(range(3 * len(triangles)))
    flat = triangles.reshape(-1)
    for vertex in range(40):
        mine = corners[offsets[vertex] : offsets[vertex + 1]]
        assert bool((flat[mine.long()] == vertex).all())
        assert mine.tolist() == sorted(mine.tolist())


@pytest.mark.parametrize("impl", ["reference", pytest.param("cpu", marks=needs_kernels)])
def test_degenerate_triangles_have_finite_gradients(impl):
    vertices = torch.zeros(1, 6, 3)
    vertices[0, 3:] = torch.tensor([[0.0, 0, 0], [1, 0, 0], [2, 0, 0]])  # a point, and a line
    vertices.requires_grad_()
    triangles = torch.tensor([[0, 1, 2], [3, 4, 5], [2, 2, 2]], dtype=torch.int32)
    normals = ops.vertex_normals(vertices, triangles, impl=impl)
    assert bool((normals == 0).all())
    normals.sum().backward()
    assert vertices.grad is not None
    assert bool((vertices.grad == 0).all())


@pytest.mark.parametrize("impl", ["reference", pytest.param("cpu", marks=needs_kernels)])
def test_gradcheck(impl):
    vertices, triangles = finite_mesh(batch=1)
    vertices = vertices[:, :30].clone().requires_grad_()
    triangles = triangles[(triangles < 30).all(-1)]
    assert torch.autograd.gradcheck(lambda v: ops.vertex_normals(v, triangles, impl=impl), vertices)


@needs_kernels
def test_results_do_not_depend_on_threads():
    vertices, triangles = finite_mesh(batch=2, dtype=torch.float32)
    before, results = torch.get_num_threads(), []
    try:
        for threads in (1, 2, 4):
            torch.set_num_threads(threads)
            leaf = vertices.clone().requires_grad_()
            normals = ops.vertex_normals(leaf, triangles, impl="cpu")
            normals.square().mul(torch.arange(3.0)).sum().backward()
            results.append((normals.detach(), leaf.grad))
    finally:
        torch.set_num_threads(before)
    for normals, gradient in results[1:]:
        assert torch.equal(normals, results[0][0])
        assert torch.equal(gradient, results[0][1])


@needs_kernels
def test_opcheck_and_second_derivative():
    vertices, triangles = finite_mesh(batch=1)
    vertices.requires_grad_()
    neighbours = ops.adjacency(triangles, vertices.shape[1])
    torch.library.opcheck(torch.ops.stylerig.vertex_normals_fwd, (vertices, triangles, *neighbours))
    normals = ops.vertex_normals(vertices, triangles, impl="cpu")
    (gradient,) = torch.autograd.grad(normals[..., 0].sum(), vertices, create_graph=True)
    with pytest.raises(NotImplementedError, match="no second derivative"):
        gradient.sum().backward()


@needs_kernels
def test_compiles_without_a_graph_break():
    vertices, triangles = finite_mesh(dtype=torch.float32)
    leaves = [vertices.clone().requires_grad_() for _ in range(2)]

    def energy(points):
        return ops.vertex_normals(points, triangles)[..., 2].square().sum()

    torch.compile(energy, fullgraph=True, backend="aot_eager")(leaves[0]).backward()
    energy(leaves[1]).backward()
    assert leaves[0].grad is not None
    assert torch.equal(leaves[0].grad, leaves[1].grad)
