"""Where each block of 3DMM parameters lies in a parameter vector.

`FaceParams.vector` puts the blocks side by side in the order of `BLOCKS`; how many coefficients each has is the face
model's affair (``FaceModel.sizes``). Whoever needs the columns of a block or of a control asks a `ParamLayout`.
"""

from __future__ import annotations

import builtins
from collections.abc import Iterable, Mapping

import torch
from torch import Tensor

BLOCKS = ("identity", "albedo", "expression", "illumination", "rotation", "translation")
# Of the blocks whose size does not depend on the face model; the others are (K,).
SHAPES: dict[str, tuple[int, ...]] = {"illumination": (9, 3), "rotation": (3,), "translation": (3,)}
# What a rig edits, and in which block it lies.
CONTROLS: dict[str, str] = {"pose": "rotation", "expression": "expression", "illumination": "illumination"}


class ParamLayout:
    """The layout of the parameter vector of one face model.

    Attributes:
        sizes: coefficients by block, in the order of `BLOCKS`.
        size: P, the length of the vector.
    """

    def __init__(self, sizes: Mapping[str, int]) -> None:
        """Lays the blocks out.

        Args:
            sizes: coefficients of every block, as in ``FaceModel.sizes``; their order does not matter.

        Raises:
            ValueError: a block is missing or unknown.
        """
        if set(sizes) != set(BLOCKS):
            raise ValueError(f"sizes of the blocks {sorted(sizes)}, expected {', '.join(BLOCKS)}")
        self.sizes = {block: sizes[block] for block in BLOCKS}
        self._slices: dict[str, slice] = {}
        start = 0
        for block, size in self.sizes.items():
            self._slices[block] = slice(start, start + size)
            start += size
        self.size = start

    def slice(self, block: str) -> builtins.slice:
        """Columns of a block."""
        return self._slices[block]

    def columns(self, controls: Iterable[str]) -> Tensor:
        """Columns ``(C,)`` int64 that ``controls`` may change, ascending.

        Raises:
            ValueError: an unknown control.
        """
        found = [torch.arange(part.start, part.stop) for part in map(self.slice, edited_blocks(controls))]
        return torch.cat(found) if found else torch.empty(0, dtype=torch.int64)

    def within(self, block: str, controls: Iterable[str]) -> range:
        """Where a block lies among the `columns` of ``controls``; empty where they do not change it.

        Raises:
            ValueError: an unknown control.
        """
        blocks = edited_blocks(controls)
        before = sum(self.sizes[name] for name in blocks if BLOCKS.index(name) < BLOCKS.index(block))
        return range(before, before + (self.sizes[block] if block in blocks else 0))

    def split(self, vector: Tensor) -> dict[str, Tensor]:
        """Blocks of a vector ``(..., P)`` in their own shapes: ``(..., 9, 3)`` for the illumination.

        Raises:
            ValueError: the last dimension is not P.
        """
        if vector.shape[-1] != self.size:
            raise ValueError(f"vector has shape {tuple(vector.shape)}, expected (..., {self.size})")
        blocks = dict(zip(BLOCKS, vector.split(list(self.sizes.values()), dim=-1), strict=True))
        blocks["illumination"] = blocks["illumination"].unflatten(-1, SHAPES["illumination"])
        return blocks


def edited_blocks(controls: Iterable[str]) -> list[str]:
    """The blocks of ``controls``, in the order of `BLOCKS`.

    Raises:
        ValueError: an unknown control.
    """
    controls = list(controls)
    unknown = [control for control in controls if control not in CONTROLS]
    if unknown:
        raise ValueError(f"unknown controls {unknown}; there are {', '.join(CONTROLS)}")
    wanted = {CONTROLS[control] for control in controls}
    return [block for block in BLOCKS if block in wanted]
