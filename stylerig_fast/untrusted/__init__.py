"""Reading files from elsewhere without ever executing what they say.

A checkpoint of another project is a pickle, which is a program: it names functions, and an ordinary unpickler imports
and calls them. Here it is carried out by a machine of our own that can do neither (:mod:`.opcodes`, :mod:`.pickle_vm`).
What it names has to be on a list (:mod:`.allowlist`) and becomes a description (:mod:`.values`); the descriptions
become plain values, arrays and records (:mod:`.build_tree`, :mod:`.tree`) once every size in them has been held against
the bytes that are there (:mod:`.tensors`, :mod:`.arrays`). Torch's containers are :mod:`.torch_zip` and
:mod:`.torch_legacy`.

All of it, and the parsers of face models too, runs in a child process with limits (:mod:`.sandbox`, :mod:`.worker`),
from which nothing comes back but JSON and raw numbers (:mod:`.ipc`). Nothing here imports torch.
"""

from __future__ import annotations

from pathlib import Path

from stylerig_fast.untrusted.limits import Limits
from stylerig_fast.untrusted.sandbox import run_in_child
from stylerig_fast.untrusted.tree import Record, Tree, check_finite, walk

__all__ = ["Limits", "Record", "Tree", "check_finite", "read_pickle", "run_in_child", "walk"]


def read_pickle(path: str | Path, limits: Limits | None = None) -> Tree:
    """Reads a pickle or a torch file: NVIDIA's and TensorFlow's ``.pkl``, torch's ``.pt`` and ``.pth``.

    Args:
        path: the file, which is read in a child process. Nothing that it names is ever imported or called.
        limits: what reading may cost.

    Raises:
        CheckpointError: it is damaged, names a global that is not allowed, or is too large.
    """
    limits = limits or Limits()
    # Half of the memory: pieces of a file that are not stored as they are needed are there twice.
    return run_in_child("stylerig_fast.untrusted.pickles:read", path, limits, {"budget": limits.memory // 2})
