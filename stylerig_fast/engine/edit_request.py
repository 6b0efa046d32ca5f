"""Requests: in words, as partial FaceParams, and as RigNet takes them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from stylerig_fast.engine.loading import expand_codes
from stylerig_fast.engine.reach import Reach
from stylerig_fast.engine.roll import LEAST
from stylerig_fast.face.arguments import all_finite
from stylerig_fast.params import FaceParams


def as_request(
    pose: Mapping[str, Any] | None = None,
    expression: Mapping[str, Any] | None = None,
    light: Mapping[str, Any] | None = None,
) -> FaceParams:
    """What the ``with_`` methods of FaceParams are asked for; what is None or empty is not asked for.

    Args:
        pose: arguments of `FaceParams.with_pose`.
        expression: arguments of `FaceParams.with_expression`.
        light: arguments of `FaceParams.with_light`.
    """
    request = FaceParams()
    for kind, values in {"pose": pose, "expression": expression, "light": light}.items():
        if values:
            request = getattr(request, f"with_{kind}")(**values)
    return request


def assemble(
    w: Tensor, source: FaceParams, request: FaceParams, reach: Reach | None, clamp: bool
) -> tuple[Tensor, Tensor, Tensor, list[float]]:
    """One batch of codes and parameter vectors, as RigNet takes them; every edit passes here.

    Args:
        w: codes ``(B, num_ws, w_dim)``, or one for a batch of requests; on any device.
        source: F of ``w``, complete, on the CPU.
        request: what is asked for; what it does not hold stays the person's.
        reach: ranges to warn of.
        clamp: move requests beyond the range to its end.

    Returns:
        Codes; on the CPU `FaceParams.vector` of the requests, with the roll that F sees, and of F; and by how many
        degrees each picture is to be turned.

    Raises:
        ValueError: batches that do not fit each other, an unknown expression, or values that are not finite.
    """
    request = to_cpu(request, w.dtype) if request.complete else request.to("cpu").completed_by(source)
    if len(request) != len(w):
        batch = max(len(request), len(w))
        w, source, request = expand_codes(w, batch), source.expand(batch), request.expand(batch)
    vector = request.vector()
    if not all_finite(vector):
        raise ValueError("params hold values that are not finite")
    limited = request if reach is None else reach.limit(request, source, clamp)
    upright, rolls = split_roll(limited, source)
    if upright is not request:
        vector = upright.vector()
    return w, vector, source.vector(), rolls


def to_cpu(request: FaceParams, dtype: torch.dtype) -> FaceParams:
    """A complete request on the CPU; from a GPU in one copy of all blocks side by side, not in one for each."""
    if all(value.device.type == "cpu" for value in request.blocks.values()):
        return request.to(dtype=dtype)
    sizes = {name: value.shape[1:].numel() for name, value in request.blocks.items()}
    return FaceParams.from_vector(request.vector().to("cpu", dtype), sizes, request.expression_names)


def split_roll(request: FaceParams, source: FaceParams) -> tuple[FaceParams, list[float]]:
    """The request with the roll of ``source``, and the roll that is left for the picture, degrees; both complete."""
    if request.rotation is source.rotation:
        return request, [0.0] * len(request)
    target, current = request.pose_degrees(), source.pose_degrees()
    rolls: list[float] = (target[:, 2] - current[:, 2]).tolist()
    rolls = [roll if abs(roll) >= LEAST else 0.0 for roll in rolls]
    if not any(rolls):
        return request, rolls
    upright = request.with_pose(roll=torch.where(torch.tensor(rolls) == 0, target[:, 2], current[:, 2]))
    return upright, rolls
