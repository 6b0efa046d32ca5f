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
        _register_rasterize()
        _register_vertex_normals()
        _register_masked_photometric()


def _no_second_gradient(op: str) -> None:
    """Makes differentiating a backward kernel raise."""

    def backward(_ctx: Any, *_grads: Tensor | None) -> None:
        raise NotImplementedError(f"{op}: the kernels have no second derivative; use impl='reference'")

    torch.library.register_autograd(f"stylerig::{op}_bwd", backward)


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

    def backward(ctx: Any, v_normals: Tensor, _v_inverses: Tensor | None) -> tuple[Tensor | None, ...]:
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
        return tuple(torch.empty_like(value) for value in saved)

    def setup(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, ...]) -> None:
        ctx.with_grad = inputs[-1]
        ctx.save_for_backward(*output[2:])
        ctx.mark_non_differentiable(*output[1:])

    def backward(ctx: Any, v_loss: Tensor, *_rest: Tensor | None) -> tuple[Tensor | None, ...]:
        if not ctx.with_grad:
            raise RuntimeError("masked_photometric was called with with_grad=False and cannot be differentiated")
        grads = torch.ops.stylerig.masked_photometric_bwd(v_loss.contiguous(), *ctx.saved_tensors)
        return *grads, *[None] * 8

    torch.library.register_autograd("stylerig::masked_photometric_fwd", backward, setup_context=setup)
    _no_second_gradient("masked_photometric")
