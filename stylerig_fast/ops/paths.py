"""Which path each op takes, for `Engine.info` and `stylerig doctor`."""

from __future__ import annotations

import torch

from stylerig_fast.ops import _library


def paths(device: torch.device) -> dict[str, str]:
    """Per op, ``"cpu"``, ``"cuda"``, or why it runs as plain torch on ``device``."""
    found = {}
    for op in _library.OPS:
        why = _library.why_slow(op, device)
        found[op] = f"reference: {why}" if why else device.type
    return found


def library_summary() -> str:
    """One line: which compiled library is loaded and for what, or why none is."""
    library = _library.library()
    if library.path is None:
        return f"none: {library.problem}"
    devices = sorted({device for _, device in library.kernels})
    built = f" ({', '.join(library.architectures)})" if library.architectures else ""
    return f"{library.path}, kernels for {' and '.join(devices)}{built}"
