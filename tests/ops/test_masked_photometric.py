"""masked_photometric: the fused kernel against the reference, its gradients, masks and bad input."""

from __future__ import annotations

import math

import pytest
import torch

from stylerig_fast import ops
from tests.ops.meshes import needs_kernels, photometric_inputs, relative_error

LEAVES = ("vertices", "albedo", "normals", "illumination")


def run(inputs, impl, **options):
    """Loss, and the gradients of a weighted sum of it."""
    leaves = {name: inputs[name].clone().requires_grad_() for name in LEAVES}
    loss = ops.masked_photometric(**{**inputs, **leaves}, impl=impl, **options).loss
    weights = torch.arange(1, len(loss) + 1, dtype=loss.dtype)
    return loss.detach(), torch.autograd.grad((loss * weights).sum(), list(leaves.values()))


@needs_kernels
@pytest.mark.parametrize("size", [(21, 17), (1, 1), (32, 24)])
@pytest.mark.parametrize("batch", [1, 3, 17])
def test_kernel_follows_reference_in_double(batch, size):
    inputs = photometric_inputs(batch, size)
    (loss, grads), (wanted, wanted_grads) = run(inputs, "cpu"), run(inputs, "reference")
    assert relative_error(loss, wanted) < 1e-13
    for name, found, expected in zip(LEAVES, grads, wanted_grads, strict=True):
        assert relative_error(found, expected) < 1e-11, name


@needs_kernels
def test_single_precision_is_as_good_as_the_reference_in_single_precision():
    exact = photometric_inputs(4, (64, 64))
    single = {k: v.float() if torch.is_tensor(v) and v.is_floating_point() else v for k, v in exact.items()}
    (_, truth), (_, kernel), (_, reference) = run(exact, "cpu"), run(single, "cpu"), run(single, "reference")
    for name, true, found, other in zip(LEAVES, truth, kernel, reference, strict=True):
        assert relative_error(found, true) <= 2 * relative_error(other, true) + 1e-6, name
        cosine = torch.nn.functional.cosine_similarity(found.double().flatten(), true.flatten(), dim=0)
        assert float(cosine) > 1 - 1e-8, name


@pytest.mark.parametrize("impl", ["reference", pytest.param("cpu", marks=needs_kernels)])
def test_gradcheck(impl):
    inputs = photometric_inputs(1, (6, 5), mesh=(3, 4))
    leaves = tuple(inputs[name].clone().requires_grad_() for name in LEAVES)

    def loss(*values):
        return ops.masked_photometric(**{**inputs, **dict(zip(LEAVES, values, strict=True))}, impl=impl).loss

    assert torch.autograd.gradcheck(loss, leaves)


@pytest.mark.parametrize("impl", ["reference", pytest.param("cpu", marks=needs_kernels)])
def test_nothing_outside_the_mask_leaks(impl):
    inputs = photometric_inputs(2, (24, 24))
    outside = (inputs["triangle_ids"] < 0)[:, None].expand_as(inputs["target"])
    assert bool(outside.any())
    assert not bool(outside.all())
    loss, grads = run(inputs, impl)
    for nonsense in (math.nan, math.inf, 1e30):
        target = inputs["target"].masked_fill(outside, nonsense)
        other_loss, other_grads = run({**inputs, "target": target}, impl)
        assert torch.equal(loss, other_loss)
        assert all(torch.equal(a, b) for a, b in zip(grads, other_grads, strict=True))


@pytest.mark.parametrize("impl", ["reference", pytest.param("cpu", marks=needs_kernels)])
def test_a_nan_inside_the_mask_shows(impl):
    inputs = photometric_inputs(2, (24, 24))
    row, column = (inputs["triangle_ids"][1] >= 0).nonzero()[0].tolist()
    inputs["target"][1, 0, row, column] = math.nan
    loss, _ = run(inputs, impl)
    assert not bool(loss[0].isnan())
    assert bool(loss[1].isnan())


@pytest.mark.parametrize("impl", ["reference", pytest.param("cpu", marks=needs_kernels)])
def test_an_empty_mask_costs_nothing(impl):
    inputs = photometric_inputs(2, (10, 10))
    inputs["triangle_ids"][0] = -1
    loss, grads = run(inputs, impl)
    assert float(loss[0]) == 0
    assert float(loss[1]) > 0
    assert all(bool((grad[0] == 0).all()) for grad in grads)


@needs_kernels
@pytest.mark.parametrize("batch", [0, 2])
def test_picture(batch):
    inputs = photometric_inputs(batch, (30, 20))
    found = ops.masked_photometric(**inputs, with_image=True, impl="cpu").image
    wanted = ops.masked_photometric(**inputs, with_image=True, impl="reference").image
    assert found is not None
    assert wanted is not None
    assert found.shape == (batch, 3, 30, 20)
    assert relative_error(found, wanted) < 1e-13
    assert bool((found.permute(0, 2, 3, 1)[inputs["triangle_ids"] < 0] == 0).all())
    assert ops.masked_photometric(**inputs, impl="cpu").image is None


@needs_kernels
def test_empty_pictures_and_meshes():
    inputs = photometric_inputs(2, (10, 10))
    narrow = {**inputs, "triangle_ids": inputs["triangle_ids"][:, :, :0], "target": inputs["target"][..., :0]}
    assert run(narrow, "cpu")[0].tolist() == [0, 0]
    bare = {**inputs, "triangles": inputs["triangles"][:0], "triangle_ids": torch.full_like(inputs["triangle_ids"], -1)}
    assert run(bare, "cpu")[0].tolist() == [0, 0]


@needs_kernels
def test_non_contiguous_inputs():
    inputs = photometric_inputs(2, (12, 14))
    strided = {
        k: torch.stack([v, v], dim=-1)[..., 0] if torch.is_tensor(v) else v for k, v in inputs.items() if k != "focal"
    }
    (loss, grads), (wanted, wanted_grads) = run({**strided, "focal": 4.26}, "cpu"), run(inputs, "cpu")
    assert torch.equal(loss, wanted)
    assert all(torch.equal(a, b) for a, b in zip(grads, wanted_grads, strict=True))


@needs_kernels
@pytest.mark.parametrize("batch", [1, 2])
def test_results_do_not_depend_on_threads_or_runs(batch):
    inputs = photometric_inputs(batch, (60, 60), torch.float32)
    before, results = torch.get_num_threads(), []
    try:
        for threads in (1, 2, 2, 3):
            torch.set_num_threads(threads)
            results.append(run(inputs, "cpu"))
    finally:
        torch.set_num_threads(before)
    for loss, grads in results[1:]:
        assert torch.equal(loss, results[0][0])
        assert all(torch.equal(a, b) for a, b in zip(grads, results[0][1], strict=True))


def test_wrong_arguments_are_named():
    inputs = photometric_inputs(2, (8, 8))
    with pytest.raises(ValueError, match=r"illumination has shape \(2, 27\), expected \(B, 9, 3\) with B = 2"):
        ops.masked_photometric(**{**inputs, "illumination": inputs["illumination"].flatten(1)})
    with pytest.raises(ValueError, match=r"target has shape \(2, 3, 8, 7\), expected \(B, 3, H, W\) with .*W = 8"):
        ops.masked_photometric(**{**inputs, "target": inputs["target"][..., :7]})
    with pytest.raises(ValueError, match=r"albedo has dtype torch.float32, expected torch.float64"):
        ops.masked_photometric(**{**inputs, "albedo": inputs["albedo"].float()})
    with pytest.raises(ValueError, match=r"triangle_ids has dtype torch.int64"):
        ops.masked_photometric(**{**inputs, "triangle_ids": inputs["triangle_ids"].long()})
    with pytest.raises(ValueError, match=r"normals is on meta"):
        ops.masked_photometric(**{**inputs, "normals": inputs["normals"].to("meta")})


@needs_kernels
def test_ids_and_vertices_that_are_not_there_raise():
    inputs = photometric_inputs(2, (8, 8))
    with pytest.raises(RuntimeError, match="triangle_ids"):
        ops.masked_photometric(**{**inputs, "triangle_ids": inputs["triangle_ids"] + 10**6}, impl="cpu")
    with pytest.raises(RuntimeError, match="vertices"):
        ops.masked_photometric(**{**inputs, "triangles": inputs["triangles"] + 10**6}, impl="cpu")


@needs_kernels
def test_gradients_that_are_not_there_raise():
    inputs = photometric_inputs(2, (8, 8))
    with pytest.raises(NotImplementedError, match="target"):
        ops.masked_photometric(**{**inputs, "target": inputs["target"].requires_grad_()}, impl="cpu")
    inputs["target"] = inputs["target"].detach()
    albedo = inputs["albedo"].requires_grad_()
    result = ops.masked_photometric(**inputs, with_image=True, impl="cpu")
    assert result.image is not None
    assert not result.image.requires_grad
    (gradient,) = torch.autograd.grad(result.loss.sum(), albedo, create_graph=True)
    with pytest.raises(NotImplementedError, match="no second derivative"):
        gradient.sum().backward()


@needs_kernels
@pytest.mark.parametrize("with_grad", [True, False])
def test_opcheck(with_grad):
    inputs = photometric_inputs(2, (8, 8))
    tensors = [inputs[name] for name in LEAVES]
    if with_grad:
        tensors = [t.requires_grad_() for t in tensors]
    none = inputs["triangles"].new_empty(0)
    rest = (inputs["triangles"], inputs["triangle_ids"], inputs["target"], none, none, 4.26, True, with_grad)
    torch.library.opcheck(torch.ops.stylerig.masked_photometric_fwd, (*tensors, *rest))


@needs_kernels
def test_compiles_without_a_graph_break():
    inputs = photometric_inputs(2, (16, 16), torch.float32)
    leaves = [inputs["vertices"].clone().requires_grad_() for _ in range(2)]

    def loss(points):
        return ops.masked_photometric(**{**inputs, "vertices": points}).loss.sum()

    torch.compile(loss, fullgraph=True, backend="aot_eager")(leaves[0]).backward()
    loss(leaves[1]).backward()
    assert leaves[0].grad is not None
    assert torch.equal(leaves[0].grad, leaves[1].grad)
