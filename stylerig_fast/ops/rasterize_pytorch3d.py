"""PyTorch3D's rasterizer behind the call of ours: an independent check, and for people who depend on it anyway."""

from __future__ import annotations

import torch
from torch import Tensor

from stylerig_fast.errors import BackendUnavailable


@torch.no_grad()
def rasterize(
    vertices: Tensor, triangles: Tensor, focal: float, height: int, width: int, near: float
) -> tuple[Tensor, Tensor]:
    """See ``stylerig_fast.ops.rasterize``, ``impl="pytorch3d"``.

    Raises:
        BackendUnavailable: PyTorch3D cannot be imported.
    """
    try:
        from pytorch3d.renderer.mesh.rasterize_meshes import rasterize_meshes
        from pytorch3d.structures import Meshes
    except (ImportError, OSError) as error:
        raise BackendUnavailable(
            f"rasterize: impl='pytorch3d' needs PyTorch3D, which does not import here ({error}); see its INSTALL.md, "
            "or use another impl"
        ) from error
    batch, num_triangles = vertices.shape[0], triangles.shape[0]
    if batch == 0 or num_triangles == 0:
        empty = torch.full((batch, height, width), -1, dtype=torch.int32, device=vertices.device)
        return empty, vertices.new_zeros(batch, height, width)
    # PyTorch3D: x left, y up, the shorter side of the picture spans [-1, 1], depth is positive.
    depth = -vertices[..., 2]
    scale = 2 * focal * width / min(height, width) / torch.where(depth > near, depth, torch.full_like(depth, near))
    ndc = torch.stack([-vertices[..., 0] * scale, vertices[..., 1] * scale, depth], dim=-1)
    mesh = Meshes(verts=list(ndc), faces=[triangles.long()] * batch)
    faces, depths, _, _ = rasterize_meshes(
        mesh, (height, width), blur_radius=0.0, faces_per_pixel=1, perspective_correct=True, z_clip_value=near
    )
    ids, seen = faces[..., 0], faces[..., 0] >= 0
    first = torch.arange(batch, device=ids.device)[:, None, None] * num_triangles
    ids = torch.where(seen, ids - first, ids).int()
    return ids, torch.where(seen, depths[..., 0], torch.zeros_like(depths[..., 0]))
