"""``masked_photometric``: shade the visible pixels and compare them with a picture, in one pass."""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from torch import Tensor

from stylerig_fast.ops import _library
from stylerig_fast.ops._checks import Shapes, check_focal
from stylerig_fast.ops.adjacency import Adjacency
from stylerig_fast.ops.adjacency import adjacency as find_adjacency
from stylerig_fast.ops.reference import masked_photometric as reference


class Photometric(NamedTuple):
    """What ``masked_photometric`` returns.

    Attributes:
        loss: ``(B,)``, mean over covered pixels of the mean over RGB of the squared difference.
        image: ``(B, 3, H, W)`` rendered picture, 0 outside the mask, not clamped; None if not asked for.
    """

    loss: Tensor
    image: Tensor | None


def masked_photometric(
    vertices: Tensor,
    albedo: Tensor,
    normals: Tensor,
    illumination: Tensor,
    triangles: Tensor,
    triangle_ids: Tensor,
    focal: float,
    target: Tensor,
    *,
    with_image: bool = False,
    adjacency: Adjacency | None = None,
    impl: _library.Impl = "auto",
) -> Photometric:
    """Renders the covered pixels and returns their squared difference with a picture (L_photo).

    Albedo and normal are interpolated with perspective-correct barycentric coordinates, the normal is made unit
    length again, and lit by three bands of spherical harmonics (`stylerig_fast.face.lighting`). The gradients are
    exact inside triangles and flow through the barycentric coordinates into the vertices. Visibility is constant:
    what a silhouette would gain by moving is not seen here; landmarks do that.

    Args:
        vertices: ``(B, V, 3)`` camera space.
        albedo: ``(B, V, 3)`` RGB.
        normals: ``(B, V, 3)`` unit normals, camera space.
        illumination: ``(B, 9, 3)`` gamma.
        triangles: ``(T, 3)`` int32.
        triangle_ids: ``(B, H, W)`` int32 from ``rasterize`` of the same vertices; -1 is outside the mask.
        focal: focal length in image widths.
        target: ``(B, 3, H, W)`` in [0, 1]; what it holds outside the mask, NaN included, does not matter.
        with_image: also return the rendered picture (without gradient).
        adjacency: ``ops.adjacency(triangles, V)``; given, it is not computed again where the kernel needs it.
        impl: which implementation, see ``stylerig_fast.ops``.

    Raises:
        ValueError: shapes, dtypes or devices that do not fit.
        NotImplementedError: a kernel was to differentiate the target.
    """
    shapes = Shapes("masked_photometric")
    shapes.check("vertices", vertices, ("B", "V", 3))
    shapes.check("albedo", albedo, ("B", "V", 3))
    shapes.check("normals", normals, ("B", "V", 3))
    shapes.check("illumination", illumination, ("B", 9, 3))
    shapes.check("triangles", triangles, ("T", 3), (torch.int32,))
    shapes.check("triangle_ids", triangle_ids, ("B", "H", "W"), (torch.int32,))
    shapes.check("target", target, ("B", 3, "H", "W"))
    check_focal("masked_photometric", focal)
    path = _library.choose("masked_photometric", impl, vertices.device)
    if path == "reference":
        arguments = (vertices, albedo, normals, illumination, triangles, triangle_ids, focal, target)
        loss, image = reference.masked_photometric(*arguments)
        return Photometric(loss, image.detach() if with_image else None)
    differentiable = (vertices, albedo, normals, illumination)
    with_grad = torch.is_grad_enabled() and any(t.requires_grad for t in differentiable)
    if torch.is_grad_enabled() and target.requires_grad:
        raise NotImplementedError("masked_photometric: the kernels have no gradient for target; use impl='reference'")
    if path == "cpu":  # the CPU kernel sums per picture and needs no list of neighbours
        offsets = corners = triangles.new_empty(0)
    else:
        offsets, corners = adjacency if adjacency is not None else find_adjacency(triangles, vertices.shape[1])
        shapes.check("adjacency.offsets", offsets, (vertices.shape[1] + 1,), (torch.int32,))
        shapes.check("adjacency.corners", corners, (3 * triangles.shape[0],), (torch.int32,))
    contiguous = [t.contiguous() for t in (*differentiable, triangles, triangle_ids, target, offsets, corners)]
    loss, image, *_ = torch.ops.stylerig.masked_photometric_fwd(*contiguous, float(focal), with_image, with_grad)
    return Photometric(loss, image if with_image else None)


@_library.when_loaded
def _register() -> None:
    """Shapes for tracing, and the gradient, which the forward pass has computed already."""

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
    _library.refuse_second_derivative("masked_photometric")
