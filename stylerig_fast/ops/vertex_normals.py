"""``vertex_normals``: area-weighted unit normals."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from stylerig_fast.ops import _library
from stylerig_fast.ops._checks import Shapes
from stylerig_fast.ops.adjacency import Adjacency
from stylerig_fast.ops.adjacency import adjacency as find_adjacency
from stylerig_fast.ops.reference import vertex_normals as reference


def vertex_normals(
    vertices: Tensor, triangles: Tensor, *, adjacency: Adjacency | None = None, impl: _library.Impl = "auto"
) -> Tensor:
    """Unit normals at the vertices, each triangle weighted by its area.

    Args:
        vertices: ``(B, V, 3)``.
        triangles: ``(T, 3)`` int32, counter-clockwise seen from outside.
        adjacency: ``ops.adjacency(triangles, V)``; given, it is not computed again.
        impl: which implementation, see ``stylerig_fast.ops``.

    Returns:
        ``(B, V, 3)``. Where the areas around a vertex sum to nothing (below 1e-12), the normal and its gradient
        are the zero vector.

    Raises:
        ValueError: shapes, dtypes or devices that do not fit.
    """
    shapes = Shapes("vertex_normals")
    shapes.check("vertices", vertices, ("B", "V", 3))
    shapes.check("triangles", triangles, ("T", 3), (torch.int32,))
    if _library.choose("vertex_normals", impl, vertices.device) == "reference":
        return reference.vertex_normals(vertices, triangles)
    offsets, corners = adjacency if adjacency is not None else find_adjacency(triangles, vertices.shape[1])
    shapes.check("adjacency.offsets", offsets, (vertices.shape[1] + 1,), (torch.int32,))
    shapes.check("adjacency.corners", corners, (3 * triangles.shape[0],), (torch.int32,))
    return torch.ops.stylerig.vertex_normals_fwd(vertices.contiguous(), triangles.contiguous(), offsets, corners)[0]


@_library.when_loaded
def _register() -> None:
    """Shapes for tracing, and the gradient, which one kernel computes."""

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
    _library.refuse_second_derivative("vertex_normals")
