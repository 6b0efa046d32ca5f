"""Rendering and the render loss: gradients to every block, kernels against the reference, bad input."""

from __future__ import annotations

import math

import pytest
import torch

from stylerig_fast.face import Camera
from stylerig_fast.param_layout import BLOCKS
from stylerig_fast.params import FaceParams
from stylerig_fast.render import evaluate, landmark_loss, render, render_loss
from tests.ops.meshes import needs_kernels, random_params, relative_error, tiny_model

CAMERA = Camera(4.26)
IMPLS = ["reference", pytest.param("cpu", marks=needs_kernels)]


def targets(batch, size, dtype=torch.float64):
    generator = torch.Generator().manual_seed(9)
    picture = torch.rand(batch, 3, size, size, generator=generator, dtype=dtype)
    return picture, torch.rand(batch, 68, 2, generator=generator, dtype=dtype), torch.ones(68, dtype=dtype)


def with_gradients(params):
    return params.with_blocks(**{name: value.clone().requires_grad_() for name, value in params.blocks.items()})


@pytest.mark.parametrize("impl", IMPLS)
def test_gradients_of_every_block_against_finite_differences(impl):
    model = tiny_model(torch.float64)
    params = with_gradients(random_params(model, 1))
    target, landmarks, weights = targets(1, 24)

    def loss(**blocks):
        return render_loss(model, params.with_blocks(**blocks), CAMERA, target, landmarks, weights, impl=impl)

    seen = render(model, params, CAMERA, 24, impl=impl).triangles
    total = loss()
    grads = torch.autograd.grad(total.photometric.sum() + total.landmarks.sum(), list(params.blocks.values()))
    step = 1e-6
    for (name, value), gradient in zip(params.blocks.items(), grads, strict=True):
        direction = gradient / gradient.norm()
        ends = []
        for sign in (-1, 1):
            moved = (value + sign * step * direction).detach()
            # The mask is constant in the gradient: it must not change between the two ends either.
            assert torch.equal(
                render(model, params.with_blocks(**{name: moved}), CAMERA, 24, impl=impl).triangles, seen
            )
            ends.append(sum(float(part.detach().sum()) for part in loss(**{name: moved})))
        assert (ends[1] - ends[0]) / (2 * step) == pytest.approx(float(gradient.norm()), rel=1e-5), name


@needs_kernels
def test_kernels_follow_the_reference():
    model = tiny_model(torch.float64)
    results = {}
    for impl in ("cpu", "reference"):
        params = with_gradients(random_params(model, 3))
        loss = render_loss(model, params, CAMERA, *targets(3, 32), impl=impl)
        grads = torch.autograd.grad(loss.photometric.sum() + loss.landmarks.sum(), list(params.blocks.values()))
        results[impl] = [*loss, *grads]
    for found, wanted in zip(results["cpu"], results["reference"], strict=True):
        assert relative_error(found, wanted) < 1e-10


@needs_kernels
def test_the_same_fit_with_kernels_and_reference():
    """The loss curve of an optimisation is the same to rounding."""
    curves = {}
    for impl in ("cpu", "reference"):
        model = tiny_model()
        wanted = render(model, random_params(model, 2, seed=1), CAMERA, 32)
        params = with_gradients(random_params(model, 2, seed=2))
        optimizer = torch.optim.Adam(list(params.blocks.values()), lr=0.01)
        curve = []
        for _ in range(15):
            loss = render_loss(model, params, CAMERA, wanted.image, wanted.landmarks, torch.ones(68), impl=impl)
            total = (loss.photometric + 10 * loss.landmarks).sum()
            optimizer.zero_grad()
            total.backward()
            optimizer.step()
            curve.append(float(total.detach()))
        curves[impl] = curve
    assert curves["cpu"][-1] < 0.7 * curves["cpu"][0]
    assert curves["cpu"] == pytest.approx(curves["reference"], rel=1e-3)


@pytest.mark.parametrize("impl", IMPLS)
def test_what_render_returns(impl):
    model = tiny_model()
    params = random_params(model, 2)
    result = render(model, params, CAMERA, 40, impl=impl)
    surface = evaluate(model, params, CAMERA, impl=impl)
    assert result.image.shape == (2, 3, 40, 40)
    assert torch.equal(result.mask, result.triangles >= 0)
    assert torch.equal(result.mask, result.depth > 0)
    assert bool((result.image.permute(0, 2, 3, 1)[~result.mask] == 0).all())
    # A sphere of radius 1 at distance 9 covers a disc of about 4.26 / 9 image widths radius.
    assert float(result.mask.float().mean()) == pytest.approx(math.pi * (4.26 / 9) ** 2, rel=0.15)
    assert torch.allclose(result.landmarks, CAMERA.project(surface.vertices[:, model.landmarks]), atol=1e-6)


@pytest.mark.parametrize("impl", IMPLS)
def test_the_picture_has_a_gradient_where_one_is_wanted(impl):
    model = tiny_model(torch.float64)
    params = random_params(model, 1)
    leaf = params.blocks["albedo"].clone().requires_grad_()
    with_gradient = render(model, params.with_blocks(albedo=leaf), CAMERA, 24, impl=impl).image
    assert torch.allclose(with_gradient.detach(), render(model, params, CAMERA, 24, impl=impl).image, atol=1e-12)
    with_gradient.sum().backward()
    assert leaf.grad is not None
    assert float(leaf.grad.abs().max()) > 0


def test_landmark_loss():
    found, wanted = torch.zeros(1, 3, 2), torch.tensor([[[3.0, 4], [1, 0], [math.nan, math.nan]]])
    weights = torch.tensor([1.0, 3, 0])
    assert landmark_loss(found, wanted, weights).tolist() == [(25 + 3) / 4]
    assert landmark_loss(found, wanted, torch.zeros(3)).tolist() == [0]


def test_mistakes_are_named():
    model = tiny_model()
    params = random_params(model, 2)
    target, landmarks, weights = targets(2, 16, torch.float32)
    with pytest.raises(ValueError, match=r"target has shape \(2, 3, 16, 15\), expected \(B, 3, S, S\)"):
        render_loss(model, params, CAMERA, target[..., :15], landmarks, weights)
    with pytest.raises(ValueError, match=r"landmarks have shape \(2, 67, 2\)"):
        render_loss(model, params, CAMERA, target, landmarks[:, 1:], weights)
    with pytest.raises(ValueError, match="identity is None"):
        render(model, FaceParams(rotation=params.rotation), CAMERA, 16)
    assert set(params.blocks) == set(BLOCKS)


@needs_kernels
def test_nothing_per_pixel_is_kept_for_the_backward_pass():
    model = tiny_model()
    kept = {}
    for size in (16, 64):
        params = with_gradients(random_params(model, 2))
        tensors: dict[int, int] = {}

        def note(tensor: torch.Tensor, tensors: dict[int, int] = tensors) -> torch.Tensor:
            tensors[tensor.data_ptr()] = tensor.nbytes
            return tensor

        with torch.autograd.graph.saved_tensors_hooks(note, lambda tensor: tensor):
            loss = render_loss(model, params, CAMERA, *targets(2, size, torch.float32), impl="cpu")
        assert bool(loss.photometric.requires_grad)
        kept[size] = sum(tensors.values())
    assert kept[16] == kept[64] > 0


@needs_kernels
def test_the_whole_render_loss_compiles_without_a_graph_break():
    model, params = tiny_model(), with_gradients(random_params(tiny_model(), 2))
    arguments = targets(2, 24, torch.float32)

    def total(*values):
        given = params.with_blocks(**dict(zip(params.blocks, values, strict=True)))
        loss = render_loss(model, given, CAMERA, *arguments)
        return (loss.photometric + loss.landmarks).sum()

    leaves = list(params.blocks.values())
    compiled = torch.compile(total, fullgraph=True, backend="aot_eager")
    for found, wanted in zip(
        torch.autograd.grad(compiled(*leaves), leaves), torch.autograd.grad(total(*leaves), leaves), strict=True
    ):
        assert relative_error(found, wanted) < 1e-5
