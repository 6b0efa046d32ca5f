"""Which triangle corners meet at a vertex."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from stylerig_fast.ops._checks import Shapes


class Adjacency(NamedTuple):
    """Triangle corners grouped by vertex.

    Attributes:
        offsets: ``(V + 1,)`` int32; the corners of vertex v are ``corners[offsets[v]:offsets[v + 1]]``.
        corners: ``(3T,)`` int32, ``3 * triangle + corner`` in increasing order.
    """

    offsets: Tensor
    corners: Tensor


def adjacency(triangles: Tensor, num_vertices: int) -> Adjacency:
    """Groups the corners of ``triangles (T, 3)`` by vertex, without synchronising with the device.

    Kernels that gather per vertex take it, so that their sums need no atomics and come out the same every time.
    Corners that point outside ``num_vertices`` belong to no vertex.

    Raises:
        ValueError: ``triangles`` is not int32 ``(T, 3)``.
    """
    Shapes("adjacency").check("triangles", triangles, ("T", 3), (torch.int32,))
    flat = triangles.reshape(-1)
    order = torch.sort(flat, stable=True)
    targets = torch.arange(num_vertices + 1, device=triangles.device, dtype=torch.int32)
    offsets = torch.searchsorted(order.values, targets, out_int32=True)
    return Adjacency(offsets, order.indices.int())
