"""The end of every picture's graph: the size that was asked for, and levels from 0 to 255."""

from __future__ import annotations

import torch

from .graph import GraphBuilder, Value


def resized(graph: GraphBuilder, image: Value, side: int, resolution: int) -> Value:
    """The box mean of a picture ``(B, 3, side, side)``, whatever its precision."""
    if side == resolution:
        return image
    box = side // resolution
    with graph.scope("resize"):
        return graph.op("AveragePool", image, kernel_shape=[box, box], strides=[box, box])


def levels(graph: GraphBuilder, image: Value) -> Value:
    """A float32 picture ``(B, 3, R, R)`` in [-1, 1] as uint8 ``(B, R, R, 3)``, rounded as the Engine does.

    The cast comes last: TensorRT has uint8 at the network's edge only.
    """
    with graph.scope("levels"):
        one, half, top, bottom = (
            graph.constant(name, torch.tensor(value))
            for name, value in (("one", 1.0), ("half", 127.5), ("max", 255.0), ("min", 0.0))
        )
        x = graph.op("Mul", graph.op("Add", image, one), half)
        x = graph.op("Clip", graph.op("Round", x), bottom, top)
        return graph.cast(graph.op("Transpose", x, perm=[0, 2, 3, 1]), torch.uint8)
