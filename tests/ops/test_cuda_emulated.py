"""The CUDA kernels' logic, executed on the CPU by an emulator (tests/ops/emulation, built in conftest.py).

It shows that indices, bounds, barriers, warp exchanges and the arithmetic are right. It cannot show that the kernels
run on a GPU, nor how fast: for that there is test_cuda_device.py, which needs one.
"""

from __future__ import annotations

from typing import Any

import pytest
import torch

from stylerig_fast import ops
from stylerig_fast.ops.reference.morphable import morphable as reference
from tests.ops.meshes import photometric_inputs, random_mesh, random_params, relative_error, sphere, tiny_model

LEAVES = ("vertices", "albedo", "normals", "illumination")


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("seed", range(3))
def test_rasterize_equals_the_reference(emulated, seed, dtype):
    vertices, triangles = random_mesh(seed, dtype=dtype)
    triangles[-1, 0] = 10**6  # cannot be reported from a kernel; must not be read
    ids, depths = emulated.rasterize(vertices, triangles, 1.2, 37, 53, 0.01)
    wanted = ops.rasterize(vertices, triangles[:-1], 1.2, 37, 53, impl="reference")
    assert torch.equal(ids, wanted.triangle)
    assert torch.equal(depths, wanted.depth)


def test_rasterize_a_mesh_of_small_triangles(emulated):
    points, triangles = sphere(20, 30)
    vertices = points[None].repeat(3, 1, 1) - torch.tensor([0.0, 0.0, 4.0])
    ids, depths = emulated.rasterize(vertices, triangles, 2.0, 50, 40, 0.01)
    wanted = ops.rasterize(vertices, triangles, 2.0, 50, 40, impl="reference")
    assert torch.equal(ids, wanted.triangle)
    assert torch.equal(depths, wanted.depth)


@pytest.mark.parametrize(("batch", "count", "height"), [(0, 9, 8), (2, 0, 8), (2, 9, 0)])
def test_rasterize_nothing(emulated, batch, count, height):
    vertices, triangles = random_mesh(1)
    ids, _ = emulated.rasterize(vertices[:batch], triangles[:count], 1.0, height, 7, 0.01)
    wanted = ops.rasterize(vertices[:batch], triangles[:count], 1.0, height, 7, impl="reference").triangle
    assert torch.equal(ids, wanted)


@pytest.mark.parametrize("batch", [0, 1, 3])
def test_vertex_normals(emulated, batch):
    points, triangles = sphere(dtype=torch.float64)
    generator = torch.Generator().manual_seed(2)
    noise = torch.randn(batch, *points.shape, generator=generator, dtype=torch.float64)
    vertices = (points + 0.05 * noise).requires_grad_()
    wanted = ops.vertex_normals(vertices, triangles, impl="reference")
    weights = torch.randn(wanted.shape, generator=generator, dtype=torch.float64)
    (gradient,) = torch.autograd.grad((wanted * weights).sum(), vertices)
    neighbours = ops.adjacency(triangles, len(points))
    found, inverses = emulated.vertex_normals_fwd(vertices.detach(), triangles, *neighbours)
    assert relative_error(found, wanted) < 1e-14
    arguments = (weights, vertices.detach(), triangles, *neighbours, found, inverses)
    assert relative_error(emulated.vertex_normals_bwd(*arguments), gradient) < 1e-13


def test_a_wrong_adjacency_reads_nothing_outside(emulated):
    points, triangles = sphere(dtype=torch.float64)
    offsets, corners = ops.adjacency(triangles, len(points))
    for wrong in ((offsets + 10**6, corners), (offsets - 10**6, corners), (offsets, corners - 10**6)):
        normals, _ = emulated.vertex_normals_fwd(points[None], triangles, *wrong)
        assert bool(normals.isfinite().all())


def photometric(emulated, inputs, with_image=True, with_grad=True):
    neighbours = ops.adjacency(inputs["triangles"], inputs["vertices"].shape[1])
    tensors = [inputs[name] for name in (*LEAVES, "triangles", "triangle_ids", "target")]
    return emulated.masked_photometric_fwd(*tensors, *neighbours, inputs["focal"], with_image, with_grad)


# The coarse mesh has triangles of hundreds of pixels: those that a warp shares. Pictures of 40 x 56 pixels take 18
# blocks, more than one round of the warps that add them up; the fine mesh has triangles between the pixels.
@pytest.mark.parametrize(
    ("mesh", "size"), [((8, 12), (21, 17)), ((3, 4), (40, 56)), ((24, 36), (41, 56)), ((8, 12), (1, 1))]
)
@pytest.mark.parametrize("batch", [1, 3])
def test_masked_photometric(emulated, batch, mesh, size):
    inputs = photometric_inputs(batch, size, mesh=mesh)
    inputs["triangle_ids"][0, 0] = -1
    inputs["triangle_ids"][0, 20:30] = -1  # warps and blocks with nothing covered
    leaves = {name: inputs[name].clone().requires_grad_() for name in LEAVES}
    wanted = ops.masked_photometric(**{**inputs, **leaves}, with_image=True, impl="reference")
    gradients = torch.autograd.grad(wanted.loss.sum(), list(leaves.values()))
    loss, image, *found = photometric(emulated, inputs)
    assert relative_error(loss, wanted.loss) < 1e-13
    assert wanted.image is not None
    assert relative_error(image, wanted.image) < 1e-13
    for name, a, b in zip(LEAVES, found, gradients, strict=True):
        assert relative_error(a, b) < 1e-11, name
    alone = photometric(emulated, inputs, with_grad=False)
    assert torch.equal(alone[0], loss)
    assert torch.equal(alone[1], image)
    assert all(torch.equal(a, b) for a, b in zip(photometric(emulated, inputs)[2:], found, strict=True))
    factors = torch.arange(batch, dtype=torch.float64) + 0.5
    scaled = emulated.masked_photometric_bwd(factors, *found, *(inputs[name] for name in LEAVES))
    for a, b in zip(scaled, found, strict=True):
        assert torch.equal(a, factors[:, None, None] * b)


def test_masked_photometric_in_float32_is_as_exact_as_plain_torch(emulated):
    inputs = photometric_inputs(3, (64, 65), torch.float32, mesh=(20, 30))
    exact = {k: v.double() if torch.is_tensor(v) and v.is_floating_point() else v for k, v in inputs.items()}
    results = []
    for where in (exact, inputs):
        leaves = {name: where[name].clone().requires_grad_() for name in LEAVES}
        loss = ops.masked_photometric(**{**where, **leaves}, impl="reference").loss
        results.append([loss.detach(), *torch.autograd.grad(loss.sum(), list(leaves.values()))])
    loss, _, *gradients = photometric(emulated, inputs)
    for wanted, plain, found in zip(*results, (loss, *gradients), strict=True):
        assert relative_error(found, wanted) <= 2 * relative_error(plain, wanted) + 1e-6


def test_masked_photometric_without_pixels_or_gradients(emulated):
    inputs = photometric_inputs(2, (10, 10))
    inputs["triangle_ids"][0] = -1
    inputs["target"][0] = float("nan")
    loss, image, *grads = photometric(emulated, inputs, with_image=False)
    assert float(loss[0]) == 0
    assert image.numel() == 0
    assert all(bool((grad[0] == 0).all()) for grad in grads)
    assert all(grad.numel() == 0 for grad in photometric(emulated, inputs, with_grad=False)[2:])
    empty = {**inputs, "triangle_ids": inputs["triangle_ids"][:, :, :0], "target": inputs["target"][..., :0]}
    assert photometric(emulated, empty)[0].tolist() == [0, 0]


@pytest.mark.parametrize("bases", [torch.float64, torch.bfloat16])
@pytest.mark.parametrize(
    ("dtype", "batch"), [(torch.float64, 0), (torch.float64, 9), (torch.float32, 3), (torch.float32, 19)]
)
def test_morphable(emulated, dtype, batch, bases):
    # More coefficients than fit into shared memory at once, landmarks that share a vertex, and more blocks of vertices
    # than warps that add their sums up; 1082 vertices are no multiple of a warp.
    model = tiny_model(dtype, identity=100, mesh=(28, 40))
    chosen = bases if bases == torch.bfloat16 else dtype
    identity, expression, albedo = (b.to(chosen) for b in (model.identity, model.expression, model.albedo))
    marks = torch.cat([model.landmarks, model.landmarks[:9]])
    constants = (model.mean, identity, expression, model.albedo_mean, albedo, marks)
    blocks = random_params(model, batch).blocks
    names = ("identity", "albedo", "expression", "rotation", "translation")
    leaves = [blocks[name].clone().requires_grad_() for name in names]
    arguments: tuple[Any, ...] = (*constants, *leaves, 4.26, True)
    wanted = [part for part in reference(*arguments) if part is not None]
    found = emulated.morphable_fwd(*constants, *(x.detach() for x in leaves), 4.26, True)
    tolerance = 1e-13 if dtype == torch.float64 else 1e-5
    for a, b in zip(found, wanted, strict=True):
        assert relative_error(a, b) < tolerance
    weights = [torch.linspace(-1, 1, part.numel(), dtype=dtype).view_as(part).cos() for part in found]
    for used in ((0, 1, 2, 3), (2,), (0,), (3,)):
        total = torch.stack([(wanted[i] * weights[i]).sum() for i in used]).sum()
        gradients = torch.autograd.grad(total, leaves, retain_graph=True, allow_unused=True)
        given = [weights[i] if i in used else None for i in range(4)]
        pose = [x.detach() for x in leaves[3:]]
        kept = (found[0], identity, expression, albedo, marks)
        results = emulated.morphable_bwd(*given, *kept, *pose, 4.26)
        for name, a, b in zip(names, results, gradients, strict=True):
            if a.numel() == 0:
                continue
            expected = torch.zeros_like(a) if b is None else b
            assert bool(((a - expected).abs() <= 100 * tolerance * expected.abs().amax() + tolerance).all()), (
                name,
                used,
            )


# 33 pictures and 33 coefficients are more than a block of the products takes.
@pytest.mark.parametrize(("count", "batch"), [(1, 2), (2, 33), (31, 2), (33, 33)])
def test_morphable_of_a_few_vertices(emulated, count, batch):
    model = tiny_model(torch.float64, identity=33)
    names = ("identity", "albedo", "expression", "rotation", "translation")
    leaves = [random_params(model, batch).blocks[name].requires_grad_() for name in names]
    constants = (model.mean, model.identity, model.expression, model.albedo_mean, model.albedo)
    few: tuple[Any, ...] = tuple(array[..., :count, :].contiguous() for array in constants)
    marks = torch.zeros(1, dtype=torch.int64)
    arguments: tuple[Any, ...] = (*few, marks, *leaves, 4.26, True)
    wanted = [part for part in reference(*arguments) if part is not None]
    results = emulated.morphable_fwd(*few, marks, *(x.detach() for x in leaves), 4.26, True)
    for found, part in zip(results, wanted, strict=True):
        assert relative_error(found, part) < 1e-13
    weights = [torch.linspace(-1, 1, part.numel(), dtype=torch.float64).view_as(part).cos() for part in wanted[:2]]
    gradients = torch.autograd.grad([wanted[0], wanted[1]], leaves, weights)
    pose = [x.detach() for x in leaves[3:]]
    kept = (results[0], few[1], few[2], few[4], marks, *pose, 4.26)
    for found, gradient in zip(emulated.morphable_bwd(*weights, None, None, *kept), gradients, strict=True):
        assert relative_error(found, gradient) < 1e-12


def test_morphable_landmarks_that_are_not_there_are_nan(emulated):
    model = tiny_model()
    blocks = random_params(model, 2).blocks
    leaves = [blocks[name] for name in ("identity", "albedo", "expression", "rotation", "translation")]
    constants = (model.mean, model.identity, model.expression, model.albedo_mean, model.albedo)
    marks = torch.tensor([0, 10**9, -1])
    landmarks = emulated.morphable_fwd(*constants, marks, *leaves, 4.26, False)[2]
    assert landmarks.isnan().any(-1).tolist() == [[False, True, True]] * 2
