"""Warnings that point at the line of the caller, however many calls deep in the package they arise."""

from __future__ import annotations

import sys
import warnings

# Packages whose frames are passed over: decorators of torch's lie between the caller and us.
INSIDE = ("stylerig_fast", "torch")


def warn_caller(message: str, category: type[Warning] = UserWarning) -> None:
    """Warns at the innermost line outside the package, which is the caller's.

    Args:
        message: what was found and what to do.
        category: of the warning.
    """
    frame, level = sys._getframe(1), 2
    while frame.f_back is not None and frame.f_globals.get("__name__", "").partition(".")[0] in INSIDE:
        frame, level = frame.f_back, level + 1
    warnings.warn(message, category, stacklevel=level)
