"""The ``tensorrt`` backend: plans of exported graphs, each shape captured in a CUDA graph.

It runs on TensorRT 10 or 11 where that is installed, else on TensorRT for RTX (`tensorrt_library`).

Not yet run: no GPU that either library takes was at hand when this was written.
"""

from __future__ import annotations

import threading
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from stylerig_fast.engine.backends.base import BackendSpec
from stylerig_fast.engine.backends.cuda_graph import WARM_UP, Captured
from stylerig_fast.engine.backends.exported_graph import GraphBackend
from stylerig_fast.engine.backends.tensorrt_cache import PlanCache
from stylerig_fast.engine.backends.tensorrt_library import find_library
from stylerig_fast.engine.backends.tensorrt_loaded import LoadedPlan
from stylerig_fast.engine.backends.tensorrt_plan import Gpu, Profile, plan_for, plan_label
from stylerig_fast.errors import BackendUnavailable

if TYPE_CHECKING:
    import tensorrt as trt

PLANS = ("generator", "edit")


@dataclass(frozen=True)
class Ready:
    """A captured shape, with what the CUDA graph refers to: its context and the memory of its activations."""

    captured: Captured
    context: trt.IExecutionContext
    memory: Tensor


class TensorRTBackend(GraphBackend):
    """Codes to pictures with TensorRT 10 or 11, or TensorRT for RTX. Threads may share it: they take turns.

    Attributes:
        library: which of them.
    """

    name = "tensorrt"

    def __init__(self, spec: BackendSpec, cache: PlanCache | None = None) -> None:
        self.library = find_library()
        if spec.device.type != "cuda":
            raise BackendUnavailable(
                f"the tensorrt backend needs a CUDA device, not {spec.device}; {self.library} is installed"
            )
        super().__init__(spec)
        self.profile = Profile()
        self.at_once = self.profile.highest
        self.gpu = Gpu.of(self.device)
        self._cache = cache or PlanCache()
        with torch.cuda.device(self.device):
            self._plans = {name: self._load(name) for name in PLANS}
        self._ready: dict[tuple[str, int], Ready] = {}
        self._memory = torch.empty(0, dtype=torch.uint8, device=self.device)
        # Static inputs and the memory of activations are shared by all callers: in turn here, and on the GPU too,
        # where their streams differ.
        self._lock, self._done = threading.Lock(), torch.cuda.Event()

    def plan(self, name: str) -> bytes:
        """The plan of "generator" or "edit", for other programs."""
        return plan_for(self.library, self.graphs, name, self.gpu, self.profile, self._cache)

    def run(self, graph: str, *values: Tensor) -> Tensor:
        key = (graph, len(values[0]))
        with self._lock, torch.cuda.device(self.device), torch.no_grad():
            torch.cuda.current_stream().wait_event(self._done)
            if key not in self._ready:  # at most `at_once` for each graph
                self._ready[key] = self._capture(graph, values)
                self._plans[graph].keep_kernels()
            images = self._ready[key].captured.replay(values)
            self._done.record()
            return images

    def describe(self) -> dict[str, object]:
        return {
            "synthesis": f"{self.library}, captured in a CUDA graph",
            "gpu": self.gpu.name,
            "profile": str(self.profile),
            **super().describe(),
        }

    def _load(self, name: str) -> LoadedPlan:
        content = self.graphs.read(name)
        label = plan_label(self.library, self.graphs, content, self.gpu, self.profile)
        kernels = {**label, **self.gpu.label, "kind": "kernels"}
        return LoadedPlan(self.library, self.graphs.path(name), self.plan(name), self._cache, kernels)

    def _capture(self, graph: str, values: tuple[Tensor, ...]) -> Ready:
        """A context for these shapes, which lives as long as the CUDA graph that refers to its memory."""
        manifest = self.graphs.manifest
        inputs = tuple(value.clone() for value in values)
        size = (len(values[0]), manifest.resolution, manifest.resolution, 3)
        output = torch.empty(size, dtype=torch.uint8, device=self.device)
        context = self._plans[graph].context()
        for name, value in zip(manifest.inputs(graph), inputs, strict=True):
            self._check(context.set_input_shape(name, tuple(value.shape)), graph, f"the shape of {name!r}")
            self._check(context.set_tensor_address(name, value.data_ptr()), graph, f"the input {name!r}")
        self._check(context.set_tensor_address("image", output.data_ptr()), graph, "the output 'image'")
        memory = self._at_least(context.update_device_memory_size_for_shapes())
        context.set_device_memory(memory.data_ptr(), memory.numel())
        captured = torch.cuda.CUDAGraph()
        try:
            side = torch.cuda.Stream()
            side.wait_stream(torch.cuda.current_stream())
            with torch.cuda.stream(side):
                for _ in range(WARM_UP):  # kernels are compiled then
                    self._execute(context, graph)
            torch.cuda.current_stream().wait_stream(side)
            capturable = self._plans[graph].capturable(context, side.cuda_stream)
            self._check(capturable, graph, "to be captured in a CUDA graph")
            with torch.cuda.graph(captured, capture_error_mode="thread_local"):
                self._execute(context, graph)
        except torch.cuda.OutOfMemoryError:
            raise
        except RuntimeError as error:
            raise BackendUnavailable(
                f"{self.graphs.path(graph)}: a run of {self.library} cannot be captured in a CUDA graph: {error}"
            ) from error
        return Ready(Captured(captured, inputs, output), context, memory)

    def _at_least(self, size: int) -> Tensor:
        """Memory of so many bytes, the same one for all contexts as long as it is large enough."""
        if self._memory.numel() < max(size, 1):
            # What is captured already keeps the smaller one.
            self._memory = torch.empty(max(size, 1), dtype=torch.uint8, device=self.device)
        return self._memory

    def _execute(self, context: trt.IExecutionContext, graph: str) -> None:
        """Queues one run on the current stream."""
        self._check(context.execute_async_v3(torch.cuda.current_stream().cuda_stream), graph, "to run")

    def _check(self, done: bool, graph: str, what: str) -> None:
        """Raises BackendUnavailable unless TensorRT did what it was asked."""
        if not done:
            raise BackendUnavailable(f"{self.graphs.path(graph)}: {self.library} refused {what}: {self.library.said()}")


def make(spec: BackendSpec) -> TensorRTBackend:
    """The backend ``tensorrt``; BackendUnavailable where it cannot run."""
    return TensorRTBackend(spec)
