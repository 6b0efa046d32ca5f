"""morphable and the rotation it uses: the kernel against the reference, gradients, bfloat16 bases, bad input."""

from __future__ import annotations

import dataclasses

import pytest
import torch

from stylerig_fast import ops
from stylerig_fast.face import Camera
from tests.ops.meshes import needs_kernels, random_params, relative_error, tiny_model

INPUTS = ("identity", "albedo", "expression", "rotation", "translation")
FOCAL = 4.26


def call(model, values, impl, with_screen=True, **changed):
    arguments = {
        "mean": model.mean,
        "identity_basis": model.identity,
        "expression_basis": model.expression,
        "albedo_mean": model.albedo_mean,
        "albedo_basis": model.albedo,
        "landmark_vertices": model.landmarks,
        "focal": FOCAL,
        "with_screen": with_screen,
        **dict(zip(INPUTS, values, strict=True)),
    }
    return ops.morphable(**{**arguments, **changed}, impl=impl)


def leaves(model, batch, rotation_scale=1.0, seed=0):
    blocks = random_params(model, batch, seed).blocks
    blocks["rotation"] = blocks["rotation"] * rotation_scale
    return [blocks[name].clone().requires_grad_() for name in INPUTS]


def weighted(result):
    """A scalar that depends on everything, with other weights everywhere."""
    parts = [part for part in result if part is not None]
    return sum((part * torch.arange(part.numel(), dtype=part.dtype).view_as(part).cos()).sum() for part in parts)


@needs_kernels
@pytest.mark.parametrize("with_screen", [True, False])
@pytest.mark.parametrize("batch", [0, 1, 5])
def test_kernel_follows_reference(batch, with_screen):
    model = tiny_model(torch.float64)
    values = leaves(model, batch)
    found, wanted = (call(model, values, impl, with_screen) for impl in ("cpu", "reference"))
    for a, b in zip(found, wanted, strict=True):
        assert (a is None) == (b is None)
        if a is not None and b is not None:
            assert relative_error(a, b) < 1e-14
    grads, wanted_grads = (torch.autograd.grad(weighted(r), values) for r in (found, wanted))
    for name, a, b in zip(INPUTS, grads, wanted_grads, strict=True):
        assert relative_error(a, b) < 1e-12, name


@needs_kernels
def test_single_precision_is_as_good_as_the_reference_in_single_precision():
    model, exact_model = tiny_model(), tiny_model().to(dtype=torch.float64)
    values = leaves(model, 4)
    exact = [v.detach().double().requires_grad_() for v in values]
    truth = torch.autograd.grad(weighted(call(exact_model, exact, "reference")), exact)
    kernel = torch.autograd.grad(weighted(call(model, values, "cpu")), values)
    reference = torch.autograd.grad(weighted(call(model, values, "reference")), values)
    for name, true, found, other in zip(INPUTS, truth, kernel, reference, strict=True):
        assert relative_error(found, true) <= 2 * relative_error(other, true) + 1e-6, name


@pytest.mark.parametrize("impl", ["reference", pytest.param("cpu", marks=needs_kernels)])
@pytest.mark.parametrize("rotation_scale", [0.0, 1e-6, 0.3, 1.0, 10.0])
def test_gradcheck(rotation_scale, impl):
    model = tiny_model(torch.float64)
    keep = torch.arange(5)
    small = dataclasses.replace(
        model,
        **{k: getattr(model, k)[:, keep] for k in ("identity", "expression", "albedo")},
        mean=model.mean[keep],
        albedo_mean=model.albedo_mean[keep],
        triangles=model.triangles[:0],
        landmarks=model.landmarks[:68] % 5,
        mirror=keep,
    )
    values = leaves(small, 1, rotation_scale)

    def some(*inputs):
        result = call(small, inputs, impl)
        return result.vertices, result.albedo, result.landmarks[:, :6], result.screen

    assert torch.autograd.gradcheck(some, values)


@needs_kernels
@pytest.mark.parametrize("used", range(4))
def test_each_output_alone_has_its_gradient(used):
    model = tiny_model(torch.float64)
    values = leaves(model, 2)
    results = [
        torch.autograd.grad(call(model, values, impl)[used].square().sum(), values, allow_unused=True)
        for impl in ("cpu", "reference")
    ]
    for name, a, b in zip(INPUTS, *results, strict=True):
        left, right = (values[0].new_zeros(()) if g is None else g for g in (a, b))
        assert bool(((left - right).abs() < 1e-12).all()), name


@pytest.mark.parametrize("impl", ["reference", pytest.param("cpu", marks=needs_kernels)])
def test_what_comes_out(impl):
    model = tiny_model(torch.float64)
    values = [v.detach() for v in leaves(model, 2)]
    result = call(model, values, impl)
    identity, albedo, expression, rotation, translation = values
    shape = model.mean + torch.einsum("bk,kvc->bvc", identity, model.identity)
    shape = shape + torch.einsum("bk,kvc->bvc", expression, model.expression)
    turn = torch.linalg.matrix_exp(skew(rotation))
    vertices = torch.einsum("bij,bvj->bvi", turn, shape) + translation[:, None]
    assert torch.allclose(result.vertices, vertices, atol=1e-12)
    colours = model.albedo_mean + torch.einsum("bk,kvc->bvc", albedo, model.albedo)
    assert torch.allclose(result.albedo, colours)
    assert result.screen is not None
    assert torch.allclose(result.screen, Camera(FOCAL).project(vertices))
    assert torch.equal(result.landmarks, result.screen[:, model.landmarks])


def skew(vector):
    x, y, z = vector.unbind(-1)
    zero = torch.zeros_like(x)
    return torch.stack([zero, -z, y, z, zero, -x, -y, x, zero], -1).unflatten(-1, (3, 3))


@pytest.mark.parametrize("angle", [0.0, 1e-9, 1e-4, 0.0999, 0.1001, 1.0, 3.1, 9.0])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_rotation_matrix(angle, dtype):
    axis = torch.nn.functional.normalize(torch.tensor([[0.3, -0.5, 0.8]], dtype=torch.float64), dim=-1)
    rotation = (axis * angle).to(dtype)
    wanted = torch.linalg.matrix_exp(skew(rotation.double()))
    assert torch.allclose(ops.rotation_matrix(rotation).double(), wanted, atol=8 * torch.finfo(dtype).eps)
    jacobian = torch.autograd.functional.jacobian(ops.rotation_matrix, rotation)
    assert bool(jacobian.isfinite().all())


@needs_kernels
@pytest.mark.parametrize("impl", ["cpu", "reference"])
def test_bfloat16_bases_stay_within_their_bound(impl):
    """A basis entry loses at most 2^-8 of itself; so a vertex moves by at most that share of its offsets."""
    model = tiny_model()
    halves = dataclasses.replace(
        model, **{k: getattr(model, k).bfloat16() for k in ("identity", "expression", "albedo")}
    )
    values = leaves(model, 4)
    found, wanted = call(halves, values, impl), call(model, values, "reference")
    identity, _, expression, *_ = (v.detach().abs() for v in values)
    bound = 2**-8 * (
        torch.einsum("bk,kvc->bvc", identity, model.identity.abs())
        + torch.einsum("bk,kvc->bvc", expression, model.expression.abs())
    ).norm(dim=-1)
    moved = (found.vertices - wanted.vertices).detach().norm(dim=-1)
    assert bool((moved <= bound + 1e-5).all())
    assert float(moved.max()) > 0, "bfloat16 was not used"
    grads = [torch.autograd.grad(weighted(r), values) for r in (found, wanted)]
    assert all(relative_error(a, b) < 0.01 for a, b in zip(*grads, strict=True))


@needs_kernels
def test_blocks_without_coefficients_and_without_landmarks():
    model = tiny_model(torch.float64, identity=0, albedo=0)
    bare = leaves(model, 3)
    for impl in ("cpu", "reference"):
        result = call(model, bare, impl)
        grads = torch.autograd.grad(weighted(result), bare, allow_unused=True)
        assert result.vertices.shape == (3, model.num_vertices, 3)
        assert grads[0] is None or grads[0].shape == (3, 0)
    none = call(model, bare, "cpu", landmark_vertices=model.landmarks[:0])
    assert none.landmarks.shape == (3, 0, 2)


@needs_kernels
def test_non_contiguous_inputs():
    model = tiny_model(torch.float64)
    values = [v.detach() for v in leaves(model, 3)]
    strided = [torch.stack([v, v], dim=-1)[..., 0] for v in values]
    for a, b in zip(call(model, strided, "cpu"), call(model, values, "cpu"), strict=True):
        assert a is not None
        assert b is not None
        assert torch.equal(a, b)


@needs_kernels
def test_results_do_not_depend_on_threads():
    model, before, results = tiny_model(), torch.get_num_threads(), []
    values = leaves(model, 3)
    try:
        for threads in (1, 2, 3):
            torch.set_num_threads(threads)
            results.append(torch.autograd.grad(weighted(call(model, values, "cpu")), values[3:]))
    finally:
        torch.set_num_threads(before)
    assert all(torch.equal(a, b) for other in results[1:] for a, b in zip(other, results[0], strict=True))


def test_wrong_arguments_are_named():
    model = tiny_model()
    values = [v.detach() for v in leaves(model, 2)]
    with pytest.raises(ValueError, match=r"identity has shape \(2, 2\), expected \(B, A\) with A = 3"):
        call(model, [values[0][:, :2], *values[1:]], "auto")
    with pytest.raises(ValueError, match=r"rotation has shape \(1, 3\), expected \(B, 3\) with B = 2"):
        call(model, [*values[:3], values[3][:1], values[4]], "auto")
    with pytest.raises(ValueError, match=r"translation has dtype torch.float64, expected torch.float32"):
        call(model, [*values[:4], values[4].double()], "auto")
    with pytest.raises(ValueError, match=r"albedo is on meta"):
        call(model, [values[0], values[1].to("meta"), *values[2:]], "auto")


@needs_kernels
def test_what_the_kernel_cannot_do_raises():
    model = tiny_model()
    values = leaves(model, 2)
    learnt = dataclasses.replace(model, albedo=model.albedo.clone().requires_grad_())
    with pytest.raises(NotImplementedError, match="mean and bases"):
        call(learnt, values, "cpu")
    with pytest.raises(RuntimeError, match=r"landmark 0 is vertex 1000000"):
        call(model, values, "cpu", landmark_vertices=model.landmarks + 10**6)
    (gradient,) = torch.autograd.grad(call(model, values, "cpu").vertices.sum(), values[3], create_graph=True)
    with pytest.raises(NotImplementedError, match="no second derivative"):
        gradient.sum().backward()


@needs_kernels
@pytest.mark.parametrize("with_screen", [True, False])
def test_opcheck(with_screen):
    model = tiny_model(torch.float64)
    constants = (model.mean, model.identity, model.expression, model.albedo_mean, model.albedo, model.landmarks)
    arguments = (*constants, *leaves(model, 2), FOCAL, with_screen)
    torch.library.opcheck(torch.ops.stylerig.morphable_fwd, arguments)


@needs_kernels
def test_compiles_without_a_graph_break():
    model = tiny_model()
    values = leaves(model, 2)

    def energy(*inputs):
        return weighted(call(model, inputs, "auto"))

    energies = (torch.compile(energy, fullgraph=True, backend="aot_eager"), energy)
    grads = [torch.autograd.grad(e(*values), values) for e in energies]
    assert all(torch.allclose(a, b, rtol=1e-5, atol=1e-4) for a, b in zip(*grads, strict=True))
