"""Memory of long evaluations."""

from __future__ import annotations

import ctypes
import sys

_M_MMAP_THRESHOLD = -3  # mallopt's name for it, in glibc
_LARGE = 1 << 20


def give_large_blocks_back() -> bool:
    """Lets glibc return every freed block of a megabyte or more to the system at once.

    By itself it soon puts pictures on its heap, because larger blocks were freed before; the small results that are
    kept then lie in the holes that pictures leave, no picture fits there again, and the process grows by the size of
    its pictures: 0.7 GB a minute.

    Returns:
        Whether this C library took it; others have no such setting, and no such habit.
    """
    if sys.platform != "linux":
        return False
    try:
        return bool(ctypes.CDLL(None).mallopt(_M_MMAP_THRESHOLD, _LARGE))
    except (OSError, AttributeError):
        return False
