"""Reading files from elsewhere without ever executing what they say."""

from __future__ import annotations

from pathlib import Path

from stylerig_fast.untrusted import pickles
from stylerig_fast.untrusted.limits import Limits
from stylerig_fast.untrusted.tree import Record, Tree, check_finite, walk

__all__ = ["Limits", "Record", "Tree", "check_finite", "read_pickle", "walk"]


def read_pickle(path: str | Path, limits: Limits | None = None) -> Tree:
    """Reads a pickle or a torch file: NVIDIA's and TensorFlow's ``.pkl``, torch's ``.pt`` and ``.pth``.

    Args:
        path: the file.
        limits: what reading may cost.

    Raises:
        CheckpointError: it is damaged, names a global that is not allowed, or is too large.
    """
    return pickles.read(path, (limits or Limits()).memory // 2)
