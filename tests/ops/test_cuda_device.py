"""The CUDA kernels on a GPU. Skipped where there is none: continuous integration has never run this file."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from stylerig_fast import ops
from stylerig_fast.face import Camera
from stylerig_fast.ops import _library
from stylerig_fast.render import render_loss
from tests.ops.meshes import photometric_inputs, random_mesh, random_params, relative_error, sphere, tiny_model

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA GPU"),
    pytest.mark.skipif(not _library.has_kernel("rasterize", "cuda"), reason="the library was built without CUDA"),
]
LEAVES = ("vertices", "albedo", "normals", "illumination")


def to_gpu(values: dict[str, Any]) -> dict[str, Any]:
    return {name: value.cuda() if torch.is_tensor(value) else value for name, value in values.items()}


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("seed", range(6))
def test_rasterize_equals_the_reference(seed, dtype):
    vertices, triangles = random_mesh(seed, dtype=dtype)
    found = ops.rasterize(vertices.cuda(), triangles.cuda(), 1.2, 37, 53, impl="cuda")
    wanted = ops.rasterize(vertices, triangles, 1.2, 37, 53, impl="reference")
    assert torch.equal(found.triangle.cpu(), wanted.triangle)
    assert torch.equal(found.depth.cpu(), wanted.depth)


def test_rasterize_more_than_a_million_pixels_twice():
    points, triangles = sphere(60, 90)
    vertices = (points[None] - torch.tensor([0.0, 0.0, 3.0])).cuda()
    first, second = (ops.rasterize(vertices, triangles.cuda(), 1.2, 1029, 1031, impl="cuda") for _ in range(2))
    wanted = ops.rasterize(vertices.cpu(), triangles, 1.2, 1029, 1031)
    assert torch.equal(first.triangle, second.triangle)
    assert torch.equal(first.triangle.cpu(), wanted.triangle)


def test_more_pictures_than_a_grid_has_rows():
    """Kernels loop over the pictures beyond 65535: each is that of a small batch."""
    batch = 70_000
    inputs = to_gpu(photometric_inputs(1, (2, 3), torch.float32, mesh=(3, 4)))
    few, many = (
        {k: v if k in ("triangles", "focal") else v.expand(n, *v.shape[1:]) for k, v in inputs.items()}
        for n in (1, batch)
    )
    for run in (seen_of, normals_of, photometric_of):
        for found, wanted in zip(run(many), run(few), strict=True):
            assert len(found) == batch
            assert torch.equal(found, wanted.expand_as(found))


def seen_of(inputs: dict[str, Any]) -> list[Tensor]:
    return list(ops.rasterize(inputs["vertices"], inputs["triangles"], 4.26, 2, 3, impl="cuda"))


def normals_of(inputs: dict[str, Any]) -> list[Tensor]:
    vertices = inputs["vertices"].clone().requires_grad_()
    normals = ops.vertex_normals(vertices, inputs["triangles"], impl="cuda")
    return [normals.detach(), *torch.autograd.grad(normals[..., 0].sum(), vertices)]


def photometric_of(inputs: dict[str, Any]) -> list[Tensor]:
    leaves = {name: inputs[name].clone().requires_grad_() for name in LEAVES}
    loss = ops.masked_photometric(**{**inputs, **leaves}, impl="cuda").loss
    return [loss.detach(), *torch.autograd.grad(loss.sum(), list(leaves.values()))]


def test_vertex_normals():
    points, triangles = sphere(dtype=torch.float64)
    vertices = (points[None] * 1.1).repeat(3, 1, 1).requires_grad_()
    on_gpu = vertices.detach().cuda().requires_grad_()
    wanted = ops.vertex_normals(vertices, triangles, impl="reference")
    found = ops.vertex_normals(on_gpu, triangles.cuda(), impl="cuda")
    weights = torch.randn(wanted.shape, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    (gradient,) = torch.autograd.grad((wanted * weights).sum(), vertices)
    (gpu_gradient,) = torch.autograd.grad((found * weights.cuda()).sum(), on_gpu)
    assert relative_error(found.cpu(), wanted) < 1e-13
    assert relative_error(gpu_gradient.cpu(), gradient) < 1e-12


# Triangles of hundreds of pixels, and triangles between the pixels.
@pytest.mark.parametrize(("mesh", "size"), [((8, 12), (21, 17)), ((3, 4), (80, 90)), ((60, 90), (64, 65))])
def test_masked_photometric(mesh, size):
    inputs = photometric_inputs(3, size, mesh=mesh)
    inputs["triangle_ids"][0, 10:16] = -1  # warps with nothing covered
    results = []
    for where, impl in ((inputs, "reference"), (to_gpu(inputs), "cuda"), (to_gpu(inputs), "cuda")):
        leaves = {name: where[name].clone().requires_grad_() for name in LEAVES}
        loss = ops.masked_photometric(**{**where, **leaves}, impl=impl).loss
        grads = torch.autograd.grad(loss.sum(), list(leaves.values()))
        results.append([loss.detach().cpu(), *(gradient.cpu() for gradient in grads)])
    for wanted, found, again in zip(*results, strict=True):
        assert relative_error(found, wanted) < 1e-11
        assert torch.equal(found, again)


def test_masked_photometric_in_float32_is_as_exact_as_plain_torch():
    inputs = photometric_inputs(3, (64, 65), torch.float32, mesh=(20, 30))
    exact = {k: v.double() if torch.is_tensor(v) and v.is_floating_point() else v for k, v in inputs.items()}
    results = []
    for where, impl in ((exact, "reference"), (inputs, "reference"), (to_gpu(inputs), "cuda")):
        leaves = {name: where[name].clone().requires_grad_() for name in LEAVES}
        loss = ops.masked_photometric(**{**where, **leaves}, impl=impl).loss
        results.append(
            [loss.detach().cpu(), *(g.cpu() for g in torch.autograd.grad(loss.sum(), list(leaves.values())))]
        )
    for wanted, plain, found in zip(*results, strict=True):
        assert relative_error(found, wanted) <= 2 * relative_error(plain, wanted) + 1e-6


def test_the_picture_and_the_loss_do_not_depend_on_whether_gradients_are_asked_for():
    inputs = to_gpu(photometric_inputs(3, (64, 65), torch.float32, mesh=(20, 30)))
    alone = ops.masked_photometric(**inputs, with_image=True, impl="cuda")
    inputs["albedo"].requires_grad_()
    asked = ops.masked_photometric(**inputs, with_image=True, impl="cuda")
    assert alone.image is not None and asked.image is not None
    assert relative_error(alone.image, asked.image) < 1e-6
    assert relative_error(alone.loss, asked.loss) < 1e-6
    with torch.no_grad():
        inputs["triangle_ids"].fill_(-1)
        nothing = ops.masked_photometric(**inputs, with_image=True, impl="cuda")
    assert not nothing.loss.any() and nothing.image is not None and not nothing.image.any()


# More vertices than a block adds up at a time, and no whole number of warps.
@pytest.mark.parametrize("mesh", [(8, 12), (28, 40)])
@pytest.mark.parametrize("stored", [None, torch.bfloat16])
@pytest.mark.parametrize(("dtype", "batch"), [(torch.float64, 5), (torch.float32, 19)])
def test_morphable(dtype, batch, stored, mesh):
    model = tiny_model(dtype, identity=100, mesh=mesh)
    blocks = random_params(model, batch).blocks
    results = []
    for device, impl in (("cpu", "reference"), ("cuda", "cuda"), ("cuda", "cuda")):
        there = model.to(device)
        names = ("identity", "albedo", "expression", "rotation", "translation")
        leaves = {name: blocks[name].to(device).requires_grad_() for name in names}
        bases = {"identity_basis": there.identity, "expression_basis": there.expression, "albedo_basis": there.albedo}
        bases = {name: basis.to(stored or dtype) for name, basis in bases.items()}
        found = ops.morphable(
            mean=there.mean,
            albedo_mean=there.albedo_mean,
            landmark_vertices=there.landmarks,
            focal=4.26,
            with_screen=True,
            impl=impl,
            **bases,
            **leaves,
        )
        parts = [part for part in found if part is not None]
        total = torch.stack([part.square().sum() for part in parts]).sum()
        grads = torch.autograd.grad(total, list(leaves.values()))
        results.append([*(part.detach().cpu() for part in parts), *(gradient.cpu() for gradient in grads)])
    tolerance = 1e-12 if dtype == torch.float64 else 1e-4
    for wanted, found_there, again in zip(*results, strict=True):
        assert relative_error(found_there, wanted) < tolerance
        assert torch.equal(found_there, again)


def test_the_library_was_built_for_this_gpu():
    library = _library.library()
    assert library.architectures, "csrc/architectures.cpp says for which GPUs this library is"
    assert _library.why_slow("rasterize", torch.device("cuda")) == ""
    assert torch.cuda.current_device() in library.refusals


def test_gradcheck_and_opcheck():
    inputs = to_gpu(photometric_inputs(1, (6, 5), mesh=(4, 5)))
    leaves = tuple(inputs[name].requires_grad_() for name in LEAVES)
    assert torch.autograd.gradcheck(
        lambda *v: ops.masked_photometric(**{**inputs, **dict(zip(LEAVES, v, strict=True))}, impl="cuda").loss, leaves
    )
    points, triangles = sphere(4, 5, dtype=torch.float64)
    points, triangles = points[None].cuda().requires_grad_(), triangles.cuda()
    assert torch.autograd.gradcheck(lambda v: ops.vertex_normals(v, triangles, impl="cuda"), points)
    neighbours = ops.adjacency(triangles, points.shape[1])
    torch.library.opcheck(torch.ops.stylerig.vertex_normals_fwd, (points, triangles, *neighbours))
    torch.library.opcheck(torch.ops.stylerig.rasterize, (points.detach(), triangles, 1.0, 9, 9, 0.01))


def step_of(model, params, target, landmarks, weights):
    leaves = list(params.blocks.values())
    loss = render_loss(model, params, Camera(), target, landmarks, weights)
    return torch.autograd.grad(loss.photometric.sum() + loss.landmarks.sum(), leaves)


def test_a_training_step_can_be_captured():
    """No synchronisation and no allocation outside torch's pool: the whole step goes into a CUDA graph."""
    model = tiny_model().to("cuda")
    params = random_params(model.to("cpu"), 4).to("cuda")
    params = params.with_blocks(**{name: value.requires_grad_() for name, value in params.blocks.items()})
    arguments = (torch.rand(4, 3, 64, 64).cuda(), torch.rand(4, 68, 2).cuda(), torch.ones(68).cuda())
    side = torch.cuda.Stream()
    side.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(side):
        wanted = [gradient.clone() for gradient in step_of(model, params, *arguments)]
    torch.cuda.current_stream().wait_stream(side)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        captured = step_of(model, params, *arguments)
    graph.replay()
    for found, expected in zip(captured, wanted, strict=True):
        assert torch.allclose(found, expected, rtol=1e-4, atol=1e-6)
