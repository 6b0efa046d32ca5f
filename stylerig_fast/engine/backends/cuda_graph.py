"""The ``cuda_graph`` backend: RigNet, synthesis and conversion to uint8 captured once per shape, and replayed.

Not yet run: no GPU was at hand when it was written.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from stylerig_fast.engine.backends.base import BackendSpec, is_preview
from stylerig_fast.engine.backends.torch_backend import compiled
from stylerig_fast.errors import BackendUnavailable
from stylerig_fast.images import channels_last, to_uint8

# Runs before a capture, on a stream of their own: libraries choose their kernels and take their memory then.
WARM_UP = 3
# Captured shapes that are kept.
SHAPES = 8


@dataclass(frozen=True)
class Captured:
    """One graph, the tensors that it reads, and the one that it writes."""

    graph: torch.cuda.CUDAGraph
    inputs: tuple[Tensor, ...]
    output: Tensor

    def replay(self, values: tuple[Tensor, ...]) -> Tensor:
        for held, value in zip(self.inputs, values, strict=True):
            held.copy_(value, non_blocking=True)
        self.graph.replay()
        # The next replay writes over the graph's own output.
        return self.output.clone()


class CudaGraphBackend:
    """Codes to pictures on one NVIDIA GPU, without a kernel launch from Python."""

    name = "cuda_graph"

    def __init__(self, spec: BackendSpec) -> None:
        if spec.device.type != "cuda":
            raise BackendUnavailable(f"the cuda_graph backend needs a CUDA device, not {spec.device}")
        self.network = compiled(spec)
        self.early = spec.previews == "early"
        if self.network is None or not self.network.previews:
            spec.refuse_early(self.name)
        try:
            self.generator = spec.generator if self.network else spec.generator.set_precision(spec.dtype)
        except ValueError as error:
            raise BackendUnavailable(f"the cuda_graph backend: {error}") from error
        self.rig, self.device = spec.rig, spec.device
        self._captured: OrderedDict[tuple[str, int, int], Captured] = OrderedDict()
        # The captures share their memory, and callers the static inputs: one replay after the other, on any stream.
        self._pool = torch.cuda.graph_pool_handle()
        self._lock = threading.Lock()
        self._done = torch.cuda.Event()

    def pictures(self, w: Tensor, resolution: int) -> Tensor:
        return self._run("pictures", resolution, lambda code: self._draw(code, resolution), w)

    def edit(self, w: Tensor, params: Tensor, source: Tensor, resolution: int) -> Tensor:
        return self._run("edit", resolution, lambda *a: self._draw(self.rig(*a), resolution), w, params, source)

    def describe(self) -> dict[str, object]:
        return {
            "synthesis": f"{'compiled' if self.network else 'torch'}, captured in a CUDA graph",
            "gpu": torch.cuda.get_device_name(self.device),
            "captured shapes": len(self._captured),
        }

    def _draw(self, w: Tensor, resolution: int) -> Tensor:
        if self.network is not None:
            early = self.early and is_preview(resolution, self.network.resolution)
            return self.network.pictures(w, resolution, preview=early)
        return channels_last(to_uint8(self.generator.synthesis(w, resolution)))

    def _run(self, kind: str, resolution: int, draw: Callable[..., Tensor], *values: Tensor) -> Tensor:
        if len(values[0]) == 0:
            return draw(*values)
        key = (kind, len(values[0]), resolution)
        with self._lock, torch.cuda.device(self.device), torch.no_grad():
            if key not in self._captured:
                while len(self._captured) >= SHAPES:
                    self._captured.popitem(last=False)
                self._captured[key] = self._capture(draw, values)
            self._captured.move_to_end(key)
            stream = torch.cuda.current_stream()
            stream.wait_event(self._done)
            pictures = self._captured[key].replay(values)
            self._done.record(stream)
            return pictures

    def _capture(self, draw: Callable[..., Tensor], values: tuple[Tensor, ...]) -> Captured:
        inputs = tuple(value.clone() for value in values)
        side = torch.cuda.Stream()
        side.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(side):
            for _ in range(WARM_UP):
                draw(*inputs)
        torch.cuda.current_stream().wait_stream(side)
        graph = torch.cuda.CUDAGraph()
        # Other threads may use the device meanwhile: what they do neither enters the capture nor ends it.
        with torch.cuda.graph(graph, pool=self._pool, capture_error_mode="thread_local"):
            output = draw(*inputs)
        return Captured(graph, inputs, output)


def make(spec: BackendSpec) -> CudaGraphBackend:
    """The backend ``cuda_graph``; BackendUnavailable where it cannot run."""
    return CudaGraphBackend(spec)
