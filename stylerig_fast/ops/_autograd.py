"""Shapes for tracing (``register_fake``) and gradients (``register_autograd``) of the compiled operations.

Gradients are computed by kernels, once. A gradient of a gradient raises: it would need formulas that are not there,
and leaving terms out silently would be worse.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

_registered = False


def register() -> None:
    """Registers everything with torch; called when the library is loaded."""
    global _registered
    if not _registered:
        _registered = True
        _register_morphable()
        _register_rasterize()
        _register_vertex_normals()
        _register_masked_photometric()
        _register_without_gradient()


def _no_second_gradient(op: str) -> None:
    """Makes differentiating a backward kernel raise."""

    def backward(_ctx: Any, *_grads: Tensor | None) -> None:
        raise NotImplementedError(f"{op}: the kernels have no second derivative; use impl='reference'")

    torch.library.register_autograd(f"stylerig::{op}_bwd", backward)


def _register_morphable() -> None:
    @torch.library.register_fake("stylerig::morphable_fwd")
    def _(
        mean: Tensor,
        identity_basis: Tensor,
        expression_basis: Tensor,
        albedo_mean: Tensor,
        albedo_basis: Tensor,
        landmark_vertices: Tensor,
        identity: Tensor,
        albedo: Tensor,
        expression: Tensor,
        rotation: Tensor,
        translation: Tensor,
        focal: float,
        with_screen: bool,
    ) -> tuple[Tensor, ...]:
        batch, count, marks = rotation.shape[0], mean.shape[0], landmark_vertices.shape[0]
        surface = (batch, count, 3)
        screen = mean.new_empty((batch if with_screen else 0, count, 2))
        return mean.new_empty(surface), mean.new_empty(surface), mean.new_empty((batch, marks, 2)), screen

    @torch.library.register_fake("stylerig::morphable_bwd")
    def _(
        v_vertices: Tensor | None,
        v_albedo: Tensor | None,
        v_landmarks: Tensor | None,
        v_screen: Tensor | None,
        vertices: Tensor,
        identity_basis: Tensor,
        expression_basis: Tensor,
        albedo_basis: Tensor,
        landmark_vertices: Tensor,
        rotation: Tensor,
        translation: Tensor,
        focal: float,
    ) -> tuple[Tensor, ...]:
        batch = vertices.shape[0]
        blocks = [vertices.new_empty((batch, len(b))) for b in (identity_basis, albedo_basis, expression_basis)]
        return *blocks, torch.empty_like(rotation), torch.empty_like(translation)

    def setup(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, ...]) -> None:
        _, identity_basis, expression_basis, _, albedo_basis, marks, *_, rotation, translation, focal, screen = inputs
        ctx.save_for_backward(output[0], identity_basis, expression_basis, albedo_basis, marks, rotation, translation)
        ctx.focal, ctx.with_screen = focal, screen
        ctx.set_materialize_grads(False)
        if not screen:
            ctx.mark_non_differentiable(output[3])

    def backward(ctx: Any, *grads: Tensor | None) -> tuple[Tensor | None, ...]:
        given = [None if g is None else g.contiguous() for g in grads]
        if not ctx.with_screen:
            given[3] = None
        found = torch.ops.stylerig.morphable_bwd(*given, *ctx.saved_tensors, ctx.focal)
        return *[None] * 6, *found, None, None

    torch.library.register_autograd("stylerig::morphable_fwd", backward, setup_context=setup)
    _no_second_gradient("morphable")


def _register_rasterize() -> None:
    @torch.library.register_fake("stylerig::rasterize")
    def _(
        vertices: Tensor, triangles: Tensor, focal: float, height: int, width: int, near: float
    ) -> tuple[Tensor, Tensor]:
        shape = (vertices.shape[0], height, width)
        return vertices.new_empty(shape, dtype=torch.int32), vertices.new_empty(shape)


def _register_vertex_normals() -> None:
    @torch.library.register_fake("stylerig::vertex_normals_fwd")
    def _(vertices: Tensor, triangles: Tensor, offsets: Tensor, corners: Tensor) -> tuple[Tensor, Tensor]:
        return torch.empty_like(vertices), vertices.new_empty(vertices.shape[:2])

    @torch.library.register_fake("stylerig::vertex_normals_bwd")
    def _(v_normals: Tensor, vertices: Tensor, *_rest: Tensor) -> Tensor:
        return torch.empty_like(vertices)

    def setup(ctx: Any, inputs: tuple[Tensor, ...], output: tuple[Tensor, Tensor]) -> None:
        ctx.save_for_backward(*inputs, *output)
        ctx.mark_non_differentiable(output[1])
        ctx.set_materialize_grads(False)

    def backward(ctx: Any, v_normals: Tensor | None, _v_inverses: Tensor | None) -> tuple[Tensor | None, ...]:
        if v_normals is None:
            return None, None, None, None
        return torch.ops.stylerig.vertex_normals_bwd(v_normals.contiguous(), *ctx.saved_tensors), None, None, None

    torch.library.register_autograd("stylerig::vertex_normals_fwd", backward, setup_context=setup)
    _no_second_gradient("vertex_normals")


def _register_masked_photometric() -> None:
    @torch.library.register_fake("stylerig::masked_photometric_fwd")
    def _(
        vertices: Tensor,
        albedo: Tensor,
        normals: Tensor,
        illumination: Tensor,
        triangles: Tensor,
        triangle_ids: Tensor,
        target: Tensor,
        offsets: Tensor,
        corners: Tensor,
        focal: float,
        with_image: bool,
        with_grad: bool,
    ) -> tuple[Tensor, ...]:
        batch = vertices.shape[0]
        image = target.new_empty((batch if with_image else 0, *target.shape[1:]))
        kept = [x.new_empty((batch if with_grad else 0, *x.shape[1:])) for x in (vertices, albedo, normals)]
        return vertices.new_empty(batch), image, *kept, illumination.new_empty((batch if with_grad else 0, 9, 3))

    @torch.library.register_fake("stylerig::masked_photometric_bwd")
    def _(v_loss: Tensor, *saved: Tensor) -> tuple[Tensor, ...]:
        return tuple(torch.empty_like(value) for value in saved[:4])

    def setup(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, ...]) -> None:
        ctx.with_grad = inputs[-1]
        ctx.save_for_backward(*output[2:], *inputs[:4])
        ctx.mark_non_differentiable(*output[1:])
        ctx.set_materialize_grads(False)  # zeros as large as every output would cost more than the kernel

    def backward(ctx: Any, v_loss: Tensor | None, *_rest: Tensor | None) -> tuple[Tensor | None, ...]:
        if v_loss is None:
            return (None,) * 12
        if not ctx.with_grad:
            raise RuntimeError("masked_photometric was called with with_grad=False and cannot be differentiated")
        grads = torch.ops.stylerig.masked_photometric_bwd(v_loss.contiguous(), *ctx.saved_tensors)
        return *grads, *[None] * 8

    torch.library.register_autograd("stylerig::masked_photometric_fwd", backward, setup_context=setup)
    _no_second_gradient("masked_photometric")


def _register_without_gradient() -> None:
    """What writes to its arguments and returns nothing."""
    for op in ("mobile_synthesis", "styled_epilogue", "upsample_filter", "depthwise_layer", "picture_layer"):
        torch.library.register_fake(f"stylerig::{op}", lambda *_arguments: None)
