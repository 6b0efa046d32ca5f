"""A request in words, pose, expression and light, as partial FaceParams."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

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
