"""Between host and device: codes and requests there, pictures back; through page-locked memory where that is a GPU."""

from __future__ import annotations

import threading
from collections import OrderedDict

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

# Shapes whose page-locked buffers are kept.
SHAPES = 8


def upload(value: Tensor, device: torch.device, dtype: torch.dtype | None = None) -> Tensor:
    """``value`` on ``device``; a copy to a GPU does not wait for what is queued there."""
    if device.type == "cuda" and value.device.type == "cpu":
        # torch keeps the page-locked copy until the device has read it.
        return value.to(dtype=dtype).pin_memory().to(device, non_blocking=True)
    return value.to(device, dtype)


class HostCopies:
    """Copies ``uint8 (B, H, W, 3)`` tensors into arrays that belong to the caller.

    A GPU writes to page-locked memory without a staging copy. Each shape has one such buffer, made once.
    """

    def __init__(self) -> None:
        self._buffers: OrderedDict[torch.Size, Tensor] = OrderedDict()
        self._lock = threading.Lock()

    def __call__(self, pictures: Tensor) -> NDArray[np.uint8]:
        if pictures.device.type != "cuda":
            return pictures.cpu().numpy()
        with self._lock:
            if pictures.shape not in self._buffers:
                while len(self._buffers) >= SHAPES:
                    self._buffers.popitem(last=False)
                self._buffers[pictures.shape] = torch.empty(pictures.shape, dtype=torch.uint8, pin_memory=True)
            self._buffers.move_to_end(pictures.shape)
            buffer = self._buffers[pictures.shape]
            buffer.copy_(pictures, non_blocking=True)
            torch.cuda.current_stream(pictures.device).synchronize()
            return buffer.numpy().copy()
