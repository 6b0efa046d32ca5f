"""``rasterize``: which triangle is seen at each pixel, and how far away."""

from __future__ import annotations

from typing import Literal, NamedTuple

import torch
from torch import Tensor

from stylerig_fast.ops import _library
from stylerig_fast.ops._checks import Shapes, check_focal
from stylerig_fast.ops.reference import rasterize as reference

# One millimetre: nothing that is nearer to the camera is drawn.
NEAR = 0.01


class Visibility(NamedTuple):
    """What ``rasterize`` returns.

    Attributes:
        triangle: ``(B, H, W)`` int32, the visible triangle, -1 where there is none.
        depth: ``(B, H, W)``, -z of its surface at the pixel centre, 0 where there is none.
    """

    triangle: Tensor
    depth: Tensor


def rasterize(
    vertices: Tensor,
    triangles: Tensor,
    focal: float,
    height: int,
    width: int,
    *,
    near: float = NEAR,
    impl: _library.Impl | Literal["pytorch3d"] = "auto",
) -> Visibility:
    """Finds the nearest triangle at every pixel centre. Triangles are seen from both sides.

    Args:
        vertices: ``(B, V, 3)`` camera space: x right, y up, the camera looks down -z.
        triangles: ``(T, 3)`` int32, the same for the batch.
        focal: focal length in image widths; the optical axis meets the middle of the picture.
        height: pixels.
        width: pixels.
        near: surfaces nearer than this, in the unit of the vertices, are not drawn. Triangles may cross it.
        impl: as everywhere in ``stylerig_fast.ops``, or ``"pytorch3d"``, if that is installed.

    Returns:
        Visibility, without gradient. Of equally near triangles the one with the lowest number is seen, so the
        result is the same for any number of threads. Vertices that are not finite hide their triangles.

    Raises:
        ValueError: shapes, dtypes or devices that do not fit; a triangle (on the CPU) that names no vertex.
        BackendUnavailable: the named implementation is not there.
    """
    shapes = Shapes("rasterize")
    shapes.check("vertices", vertices, ("B", "V", 3))
    shapes.check("triangles", triangles, ("T", 3), (torch.int32,))
    check_focal("rasterize", focal)
    if height < 0 or width < 0 or not near > 0:
        raise ValueError(f"rasterize: height {height} and width {width} must be >= 0 and near {near} > 0")
    vertices = vertices.detach()
    if impl == "pytorch3d":
        from stylerig_fast.ops.rasterize_pytorch3d import rasterize as rasterize_pytorch3d

        return Visibility(*rasterize_pytorch3d(vertices, triangles, focal, height, width, near))
    if _library.choose("rasterize", impl, vertices.device) == "reference":
        return Visibility(*reference.rasterize(vertices, triangles, focal, height, width, near))
    return Visibility(
        *torch.ops.stylerig.rasterize(
            vertices.contiguous(), triangles.contiguous(), float(focal), height, width, float(near)
        )
    )


@_library.when_loaded
def _register() -> None:
    """Shapes for tracing; there is no gradient."""

    @torch.library.register_fake("stylerig::rasterize")
    def _(
        vertices: Tensor, triangles: Tensor, focal: float, height: int, width: int, near: float
    ) -> tuple[Tensor, Tensor]:
        shape = (vertices.shape[0], height, width)
        return vertices.new_empty(shape, dtype=torch.int32), vertices.new_empty(shape)
