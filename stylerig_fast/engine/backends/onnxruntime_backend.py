"""The ``onnxruntime`` backend: exported graphs on the CPU, or on an NVIDIA GPU through CUDA or TensorRT.

Environment:
    STYLERIG_ONNXRUNTIME_PROVIDER: "tensorrt" in place of "cuda" on a GPU. TensorRT then builds its engines anew in
        every process, which takes minutes; the `tensorrt` backend keeps them.
"""

from __future__ import annotations

import os
from typing import Any

import torch
from torch import Tensor

from stylerig_fast.engine.backends.base import BackendSpec
from stylerig_fast.engine.backends.exported_graph import GraphBackend
from stylerig_fast.errors import BackendUnavailable

VARIABLE = "STYLERIG_ONNXRUNTIME_PROVIDER"
PROVIDERS = {"cpu": "CPUExecutionProvider", "cuda": "CUDAExecutionProvider", "tensorrt": "TensorrtExecutionProvider"}
# Which may run for codes on a device, the default first.
FOR_DEVICE = {"cpu": ("cpu",), "cuda": ("cuda", "tensorrt")}
NUMPY_TYPES = {torch.float32: "float32", torch.uint8: "uint8"}


class OnnxRuntimeBackend(GraphBackend):
    """Codes to pictures with ONNX Runtime. Threads may share it: a session takes several calls at a time.

    An edit is the graph ``rig`` and then ``generator``, so that the generator's weights are in memory once.
    """

    name = "onnxruntime"

    def __init__(self, spec: BackendSpec) -> None:
        try:
            import onnxruntime
        except ImportError as error:
            raise BackendUnavailable(
                f"the onnxruntime backend: {error}; install it with `pip install 'stylerig-fast[export]'`, for NVIDIA "
                "GPUs with `pip install onnxruntime-gpu`"
            ) from error
        self.runtime: Any = onnxruntime
        self.provider = _provider(spec.device, onnxruntime.get_available_providers())
        super().__init__(spec)
        self.at_once = 1 if spec.device.type == "cpu" else 8
        self.threads = torch.get_num_threads()
        self._sessions = {name: self._session(name) for name in ("rig", "generator")}

    def run(self, graph: str, *values: Tensor) -> Tensor:
        manifest, batch = self.graphs.manifest, len(values[0])
        w = values[0]
        if graph == "edit":
            edited = torch.empty(batch, manifest.num_ws, manifest.w_dim, device=self.device)
            self._call("rig", dict(zip(manifest.inputs("rig"), values, strict=True)), "w_edited", edited)
            w = edited
        images = torch.empty(batch, manifest.resolution, manifest.resolution, 3, dtype=torch.uint8, device=self.device)
        self._call("generator", {"ws": w}, "image", images)
        return images

    def describe(self) -> dict[str, object]:
        return {
            "synthesis": f"ONNX Runtime {self.runtime.__version__}, {PROVIDERS[self.provider]}",
            "threads": self.threads,
            **super().describe(),
        }

    def _session(self, name: str) -> Any:
        """A session on the chosen provider, and on no other."""
        wanted = PROVIDERS[self.provider]
        options = self.runtime.SessionOptions()
        options.intra_op_num_threads = self.threads
        options.inter_op_num_threads = 1
        options.log_severity_level = 3  # errors; a provider that cannot be loaded is one
        providers: list[Any] = [wanted]
        if self.provider != "cpu":
            index = {"device_id": str(self.device.index or 0)}
            # Nodes that TensorRT leaves out go to CUDA; none may go to the CPU.
            providers = [(PROVIDERS[each], index) for each in ("tensorrt", "cuda") if each in (self.provider, "cuda")]
            options.add_session_config_entry("session.disable_cpu_ep_fallback", "1")
            if hasattr(self.runtime, "preload_dlls"):
                self.runtime.preload_dlls()  # the CUDA libraries that torch brought along
        content = self.graphs.read(name)
        try:
            session = self.runtime.InferenceSession(content, options, providers=providers)
        except Exception as error:  # its own classes of errors have no base in common
            raise BackendUnavailable(
                f"{self.graphs.path(name)}: ONNX Runtime {self.runtime.__version__}, {wanted}, cannot run it: {error}"
            ) from error
        found = session.get_providers()[0]
        if found != wanted:
            raise BackendUnavailable(
                f"{self.graphs.path(name)}: asked for {wanted}, ONNX Runtime took {found}; its libraries cannot be "
                "loaded, run with ORT_LOGGING_LEVEL=0 to see which"
            )
        return session

    def _call(self, name: str, inputs: dict[str, Tensor], output: str, out: Tensor) -> None:
        """Runs a graph from tensors into a tensor, all contiguous and on the Engine's device: nothing is copied."""
        session = self._sessions[name]
        binding = session.io_binding()
        if self.device.type == "cuda":
            # The session has a stream of its own.
            torch.cuda.current_stream(self.device).synchronize()
        for key, value in inputs.items():
            binding.bind_input(key, *self._place(value))
        binding.bind_output(output, *self._place(out))
        session.run_with_iobinding(binding)

    def _place(self, value: Tensor) -> tuple[str, int, str, list[int], int]:
        device = self.device
        return device.type, device.index or 0, NUMPY_TYPES[value.dtype], list(value.shape), value.data_ptr()


def _provider(device: torch.device, available: list[str]) -> str:
    """The provider for a device; BackendUnavailable if this build of ONNX Runtime does not have it."""
    choices = FOR_DEVICE.get(device.type)
    if choices is None:
        raise BackendUnavailable(f"the onnxruntime backend runs on {', '.join(FOR_DEVICE)}, not on {device}")
    wanted = os.environ.get(VARIABLE) or choices[0]
    if wanted not in choices:
        raise BackendUnavailable(f"{VARIABLE}={wanted}: for {device} expected {' or '.join(choices)}")
    if PROVIDERS[wanted] not in available:
        raise BackendUnavailable(
            f"this build of ONNX Runtime has {', '.join(available)}, not {PROVIDERS[wanted]}; install onnxruntime-gpu "
            "in place of onnxruntime"
        )
    return wanted


def make(spec: BackendSpec) -> OnnxRuntimeBackend:
    """The backend ``onnxruntime``; BackendUnavailable where it cannot run."""
    return OnnxRuntimeBackend(spec)
