"""``morphable``: 3DMM coefficients and pose to camera-space vertices, colours, landmarks and screen positions."""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from torch import Tensor

from stylerig_fast.ops import _library
from stylerig_fast.ops._checks import Shapes, check_focal
from stylerig_fast.ops.reference import morphable as reference


class Morphed(NamedTuple):
    """What ``morphable`` returns.

    Attributes:
        vertices: ``(B, V, 3)`` camera space.
        albedo: ``(B, V, 3)`` RGB, not clamped.
        landmarks: ``(B, L, 2)`` in image widths from the top-left corner.
        screen: ``(B, V, 2)`` likewise for every vertex, or None if not asked for.
    """

    vertices: Tensor
    albedo: Tensor
    landmarks: Tensor
    screen: Tensor | None


def morphable(
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
    *,
    with_screen: bool = False,
    impl: _library.Impl = "auto",
) -> Morphed:
    """Evaluates the morphable model, poses it and projects it (eq. 1-4 of MoFA, which StyleRig uses).

    Args:
        mean: ``(V, 3)``.
        identity_basis: ``(A, V, 3)``; the three bases may also be bfloat16.
        expression_basis: ``(E, V, 3)``.
        albedo_mean: ``(V, 3)``.
        albedo_basis: ``(C, V, 3)``.
        landmark_vertices: ``(L,)`` int64.
        identity: ``(B, A)``.
        albedo: ``(B, C)``.
        expression: ``(B, E)``.
        rotation: ``(B, 3)`` axis-angle, radians, about the model's origin.
        translation: ``(B, 3)``.
        focal: focal length in image widths.
        with_screen: also project every vertex.
        impl: which implementation, see ``stylerig_fast.ops``.

    Gradients reach the coefficients and the pose. The model is constant: a basis or mean that requires a
    gradient needs ``impl="reference"``.

    Raises:
        ValueError: shapes, dtypes or devices that do not fit.
        NotImplementedError: a kernel was to differentiate the model itself.
    """
    shapes = Shapes("morphable")
    shapes.check("mean", mean, ("V", 3))
    bases = (mean.dtype, torch.bfloat16)
    shapes.check("identity_basis", identity_basis, ("A", "V", 3), bases)
    shapes.check("expression_basis", expression_basis, ("E", "V", 3), bases)
    shapes.check("albedo_mean", albedo_mean, ("V", 3))
    shapes.check("albedo_basis", albedo_basis, ("C", "V", 3), bases)
    shapes.check("landmark_vertices", landmark_vertices, ("L",), (torch.int64,))
    shapes.check("identity", identity, ("B", "A"))
    shapes.check("albedo", albedo, ("B", "C"))
    shapes.check("expression", expression, ("B", "E"))
    shapes.check("rotation", rotation, ("B", 3))
    shapes.check("translation", translation, ("B", 3))
    check_focal("morphable", focal)
    model = (mean, identity_basis, expression_basis, albedo_mean, albedo_basis)
    inputs = (identity, albedo, expression, rotation, translation)
    if _library.choose("morphable", impl, mean.device) == "reference":
        return Morphed(*reference.morphable(*model, landmark_vertices, *inputs, focal, with_screen))
    if torch.is_grad_enabled() and any(t.requires_grad for t in model):
        raise NotImplementedError(
            "morphable: the kernels have no gradient for the model's mean and bases; use impl='reference'"
        )
    contiguous = [t.contiguous() for t in (*model, landmark_vertices, *inputs)]
    vertices, colours, landmarks, screen = torch.ops.stylerig.morphable_fwd(*contiguous, float(focal), with_screen)
    return Morphed(vertices, colours, landmarks, screen if with_screen else None)


@_library.when_loaded
def _register() -> None:
    """Shapes for tracing, and the gradient, which one kernel computes."""

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
    _library.refuse_second_derivative("morphable")
