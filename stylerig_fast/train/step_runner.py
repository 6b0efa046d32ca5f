"""Training steps on a GPU without a wait: what the CPU draws goes up in one copy, and one CUDA graph does the rest."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import torch
from torch import Tensor

# What a step returns: numbers of its loss, on the training device, without gradients.
Parts = dict[str, Tensor]
# Steps that run as they are before one is captured, on a stream of their own: libraries choose their kernels then, and
# the optimiser makes its state.
WARM_UP = 3
# Where tensors begin in the memory that they share, in bytes: as in memory of their own.
ALIGNMENT = 256


class Uploads:
    """Tensors on a GPU that are filled anew before every step, all in one copy that nobody waits for."""

    def __init__(self, like: Mapping[str, Tensor], device: torch.device) -> None:
        """Sets memory aside.

        Args:
            like: names, shapes and dtypes.
            device: the GPU.
        """
        self._places: dict[str, tuple[int, Tensor]] = {}
        self._bytes = 0
        for name, value in like.items():
            self._places[name] = self._bytes, value
            self._bytes += -(-value.nbytes // ALIGNMENT) * ALIGNMENT
        self._memory = torch.empty(self._bytes, dtype=torch.uint8, device=device)
        self.tensors = self._parts(self._memory)

    def fill(self, values: Mapping[str, Tensor]) -> None:
        """Copies ``values``, on the CPU, of the shapes and dtypes given at first.

        Raises:
            ValueError: others.
        """
        # New page-locked memory each time, which torch keeps until the device has read it.
        host = torch.empty(self._bytes, dtype=torch.uint8, pin_memory=True)
        parts = self._parts(host)
        found, expected = ({k: (v.dtype, v.shape) for k, v in each.items()} for each in (values, parts))
        if found != expected:
            raise ValueError(f"a step was drawn of {found}, the steps before it of {expected}")
        for name, value in values.items():
            parts[name].copy_(value)
        self._memory.copy_(host, non_blocking=True)

    def _parts(self, memory: Tensor) -> dict[str, Tensor]:
        return {
            name: memory[start : start + like.nbytes].view(like.dtype).view(like.shape)
            for name, (start, like) in self._places.items()
        }


class Steps:
    """Does one training step after the other.

    On the CPU, ``work`` is called as it is. On a GPU it is given uploaded tensors; after a few steps it is captured in
    a CUDA graph, and from then on a step is a replay: the CPU draws the next one while it runs.
    """

    def __init__(self, work: Callable[..., Parts], device: str | torch.device, capture: bool = True) -> None:
        """Takes the work.

        Args:
            work: a whole step: forward, backward, optimiser (see `optimise.make_optimiser`). Its arguments are what is
                drawn, by name, on ``device``; all else that changes from step to step is a tensor there. It neither
                waits for the device nor copies from the CPU.
            device: of the training.
            capture: on a GPU, replay the work from a CUDA graph.
        """
        self.work, self.device, self.capture = work, torch.device(device), capture
        self._uploads: Uploads | None = None
        self._done = 0
        self._graph: torch.cuda.CUDAGraph | None = None
        self._parts: Parts = {}

    def __call__(self, drawn: Mapping[str, Tensor]) -> Parts:
        """Does a step.

        Args:
            drawn: arguments of the work, on the CPU; of the same shapes in every step.

        Returns:
            What the work returns; the next step may write over it.
        """
        if self.device.type != "cuda":
            return self.work(**drawn)
        with torch.cuda.device(self.device):
            if self._uploads is None:
                self._uploads = Uploads(drawn, self.device)
            self._uploads.fill(drawn)
            return self._replayed(self._uploads.tensors) if self.capture else self.work(**self._uploads.tensors)

    def _replayed(self, given: dict[str, Tensor]) -> Parts:
        """A step on the current device, whose arguments are the same tensors each time."""
        if self._graph is None and self._done < WARM_UP:
            self._done += 1
            return self._aside(given)
        if self._graph is None:
            graph = torch.cuda.CUDAGraph()
            # A capture runs nothing: the replay below is this step.
            with torch.cuda.graph(graph, capture_error_mode="thread_local"):
                self._parts = self.work(**given)
            self._graph = graph
        self._graph.replay()
        return self._parts

    def _aside(self, given: dict[str, Tensor]) -> Parts:
        """A step on a stream of its own."""
        current, side = torch.cuda.current_stream(), torch.cuda.Stream()
        side.wait_stream(current)
        with torch.cuda.stream(side):
            parts = self.work(**given)
        current.wait_stream(side)
        return parts
