"""The ``tensorrt`` backend: plans of exported graphs, each shape captured in a CUDA graph.

Not yet run: neither TensorRT nor a GPU was at hand when this was written.
"""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from stylerig_fast.engine.backend import Setting
from stylerig_fast.engine.cuda_graph_backend import WARM_UP, Captured
from stylerig_fast.engine.graph_backend import GraphBackend
from stylerig_fast.engine.plan_cache import PlanCache
from stylerig_fast.engine.tensorrt_plan import Gpu, Profile, plan_for, tensorrt_version
from stylerig_fast.errors import BackendUnavailable

if TYPE_CHECKING:
    import tensorrt as trt

INPUTS = {"generator": ("ws",), "edit": ("w", "params", "own")}


class TensorRTBackend(GraphBackend):
    """Codes to pictures with TensorRT 10 or 11. Threads may share it: they take turns."""

    name = "tensorrt"

    def __init__(self, setting: Setting, cache: PlanCache | None = None) -> None:
        self.version = tensorrt_version()
        if setting.device.type != "cuda":
            raise BackendUnavailable(f"the tensorrt backend needs a CUDA device, not {setting.device}")
        super().__init__(setting)
        self.profile = Profile()
        self.at_once = self.profile.highest
        self.gpu = Gpu.of(self.device)
        self._cache = cache or PlanCache()
        self._engines = {name: self._load(name) for name in INPUTS}
        self._captured: dict[tuple[str, int], tuple[trt.IExecutionContext, Captured]] = {}
        # Static inputs are shared by all callers.
        self._lock = threading.Lock()

    def plan(self, name: str) -> bytes:
        """The plan of "generator" or "edit", for other programs on this machine."""
        return plan_for(self.graphs, name, self.gpu, self.profile, self._cache)

    def run(self, graph: str, *values: Tensor) -> Tensor:
        key = (graph, len(values[0]))
        with self._lock, torch.cuda.device(self.device), torch.no_grad():
            if key not in self._captured:  # at most `at_once` for each graph
                self._captured[key] = self._capture(graph, values)
            return self._captured[key][1].replay(values)

    def describe(self) -> dict[str, object]:
        return {
            "synthesis": f"TensorRT {self.version}, captured in a CUDA graph",
            "gpu": self.gpu.name,
            "profile": str(self.profile),
            **super().describe(),
        }

    def _load(self, name: str) -> trt.ICudaEngine:
        import tensorrt as trt

        runtime = trt.Runtime(trt.Logger(trt.Logger.WARNING))
        with torch.cuda.device(self.device):
            engine = runtime.deserialize_cuda_engine(self.plan(name))
        if engine is None:
            raise BackendUnavailable(f"{self.graphs.path(name)}: TensorRT {self.version} cannot load its own plan")
        return engine

    def _capture(self, graph: str, values: tuple[Tensor, ...]) -> tuple[trt.IExecutionContext, Captured]:
        """A context for these shapes, which lives as long as the CUDA graph that refers to its memory."""
        head = self.graphs.head
        inputs = tuple(value.clone() for value in values)
        size = (len(values[0]), head.resolution, head.resolution, 3)
        output = torch.empty(size, dtype=torch.uint8, device=self.device)
        context = self._engines[graph].create_execution_context()
        for name, value in zip(INPUTS[graph], inputs, strict=True):
            context.set_input_shape(name, tuple(value.shape))
            context.set_tensor_address(name, value.data_ptr())
        context.set_tensor_address("image", output.data_ptr())
        side = torch.cuda.Stream()
        side.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(side):
            for _ in range(WARM_UP):
                _execute(context, graph)
        torch.cuda.current_stream().wait_stream(side)
        captured = torch.cuda.CUDAGraph()
        with torch.cuda.graph(captured):
            _execute(context, graph)
        return context, Captured(captured, inputs, output)


def _execute(context: trt.IExecutionContext, graph: str) -> None:
    """Queues one run on the current stream."""
    if not context.execute_async_v3(torch.cuda.current_stream().cuda_stream):
        raise BackendUnavailable(f"TensorRT could not run the graph {graph!r}; its log says why")


def make(setting: Setting) -> TensorRTBackend:
    return TensorRTBackend(setting)
