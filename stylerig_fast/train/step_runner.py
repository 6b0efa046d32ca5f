"""Optimiser steps on a GPU without waiting: one copy uploads what the CPU drew, and one CUDA graph does the rest."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import torch
from torch import Tensor

# What a step returns: the terms of its loss, scalars on the training device, without gradients.
LossTerms = dict[str, Tensor]
# Steps that run uncaptured, on a stream of their own, before one is captured: libraries choose their kernels then, and
# the optimiser creates its state.
WARM_UP = 3
# Alignment of the tensors in the memory that they share, in bytes: that of memory of their own.
ALIGNMENT = 256


class UploadBuffer:
    """Tensors on a GPU that are filled anew before every step, all in one asynchronous copy."""

    def __init__(self, like: Mapping[str, Tensor], device: torch.device) -> None:
        """Allocates the memory.

        Args:
            like: tensors of the names, shapes and dtypes to come.
            device: the GPU.
        """
        self._offsets: dict[str, tuple[int, Tensor]] = {}
        self._bytes = 0
        for name, value in like.items():
            self._offsets[name] = self._bytes, value
            self._bytes += -(-value.nbytes // ALIGNMENT) * ALIGNMENT
        self._memory = torch.empty(self._bytes, dtype=torch.uint8, device=device)
        self.tensors = self._views(self._memory)

    def fill(self, values: Mapping[str, Tensor]) -> None:
        """Copies ``values`` from the CPU.

        Raises:
            ValueError: their names, shapes or dtypes are not those given at first.
        """
        # New page-locked memory each time, which torch keeps until the device has read it.
        host = torch.empty(self._bytes, dtype=torch.uint8, pin_memory=True)
        views = self._views(host)
        found, expected = ({k: (v.dtype, v.shape) for k, v in each.items()} for each in (values, views))
        if found != expected:
            raise ValueError(f"a step was drawn of {found}, the steps before it of {expected}")
        for name, value in values.items():
            views[name].copy_(value)
        self._memory.copy_(host, non_blocking=True)

    def _views(self, memory: Tensor) -> dict[str, Tensor]:
        return {
            name: memory[start : start + like.nbytes].view(like.dtype).view(like.shape)
            for name, (start, like) in self._offsets.items()
        }


class StepRunner:
    """Runs one optimiser step after the other.

    On the CPU, ``step`` is called as it is. On a GPU it is given uploaded tensors; after `WARM_UP` steps it is captured
    in a CUDA graph, and from then on running it is a replay: the CPU draws the next step meanwhile.
    """

    def __init__(self, step: Callable[..., LossTerms], device: str | torch.device, capture: bool = True) -> None:
        """Takes the step.

        Args:
            step: a whole step: forward, backward, optimiser (see `loop.make_optimiser`). Its arguments are what is
                drawn, by name, on ``device``; all else that changes from step to step is a tensor there. It neither
                waits for the device nor copies from the CPU.
            device: of the training.
            capture: on a GPU, replay the step from a CUDA graph.
        """
        self.step, self.device, self.capture = step, torch.device(device), capture
        self._uploads: UploadBuffer | None = None
        self._done = 0
        self._graph: torch.cuda.CUDAGraph | None = None
        self._terms: LossTerms = {}

    def __call__(self, drawn: Mapping[str, Tensor]) -> LossTerms:
        """Runs a step.

        Args:
            drawn: arguments of the step, on the CPU; of the same shapes every time.

        Returns:
            What the step returns; the next one may overwrite it.
        """
        if self.device.type != "cuda":
            return self.step(**drawn)
        with torch.cuda.device(self.device):
            if self._uploads is None:
                self._uploads = UploadBuffer(drawn, self.device)
            self._uploads.fill(drawn)
            return self._replayed(self._uploads.tensors) if self.capture else self.step(**self._uploads.tensors)

    def _replayed(self, given: dict[str, Tensor]) -> LossTerms:
        """A step on the current device, whose arguments are the same tensors each time."""
        if self._graph is None and self._done < WARM_UP:
            self._done += 1
            return self._on_side_stream(given)
        if self._graph is None:
            graph = torch.cuda.CUDAGraph()
            # A capture runs nothing: the replay below is this step.
            with torch.cuda.graph(graph, capture_error_mode="thread_local"):
                self._terms = self.step(**given)
            self._graph = graph
        self._graph.replay()
        return self._terms

    def _on_side_stream(self, given: dict[str, Tensor]) -> LossTerms:
        """An uncaptured step on a stream of its own, as capturing requires of the steps before it."""
        current, side = torch.cuda.current_stream(), torch.cuda.Stream()
        side.wait_stream(current)
        with torch.cuda.stream(side):
            terms = self.step(**given)
        current.wait_stream(side)
        return terms
