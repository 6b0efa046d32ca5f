"""Between host and device: codes and requests there, pictures back; through page-locked memory where that is a GPU."""

from __future__ import annotations

import threading
import weakref

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

# Bytes of page-locked memory that pictures in callers' hands may take: the system cannot page it out.
PAGE_LOCKED = 256 << 20


def upload(value: Tensor, device: torch.device, dtype: torch.dtype | None = None) -> Tensor:
    """``value`` on ``device``; a copy to a GPU does not wait for what is queued there."""
    if device.type == "cuda" and value.device.type == "cpu":
        # torch keeps the page-locked copy until the device has read it.
        return value.to(dtype=dtype).pin_memory().to(device, non_blocking=True)
    return value.to(device, dtype)


class HostCopies:
    """Copies ``uint8 (B, H, W, 3)`` tensors into arrays that belong to the caller.

    A GPU writes to page-locked memory at the full rate of the bus, and torch has it at hand once a picture has been
    given back: the arrays lie in such memory as long as no more than `PAGE_LOCKED` bytes of it are in callers' hands,
    and are copied out of it beyond that.
    """

    def __init__(self) -> None:
        self._given: list[weakref.ref[_PageLocked]] = []
        self._lock = threading.Lock()

    def __call__(self, pictures: Tensor) -> NDArray[np.uint8]:
        if pictures.device.type != "cuda":
            return pictures.cpu().numpy()
        held = _PageLocked(torch.empty(pictures.shape, dtype=torch.uint8, pin_memory=True))
        held.tensor.copy_(pictures, non_blocking=True)
        torch.cuda.current_stream(pictures.device).synchronize()
        return np.asarray(held) if self._may_give(held) else np.array(held)

    def _may_give(self, held: _PageLocked) -> bool:
        with self._lock:
            alive = [(one, other.tensor.nbytes) for one in self._given if (other := one()) is not None]
            given = sum(size for _, size in alive) + held.tensor.nbytes <= PAGE_LOCKED
            self._given = [one for one, _ in alive] + ([weakref.ref(held)] if given else [])
            return given


class _PageLocked:
    """Memory that an array and every view of it keep alive: NumPy makes this object their base."""

    def __init__(self, tensor: Tensor) -> None:
        self.tensor = tensor

    @property
    def __array_interface__(self) -> dict[str, object]:
        return self.tensor.numpy().__array_interface__
