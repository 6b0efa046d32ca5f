"""A TensorRT plan on a GPU: whether it may be loaded at all, its contexts, and the kernels that are compiled for it.

Not yet run: no GPU that the library takes was at hand when this was written.
"""

from __future__ import annotations

import logging
from pathlib import Path
from typing import TYPE_CHECKING, Any

from stylerig_fast.engine.backends.tensorrt_cache import Label, PlanCache
from stylerig_fast.engine.backends.tensorrt_library import RTX_GPUS, TensorRTLibrary
from stylerig_fast.errors import BackendUnavailable

if TYPE_CHECKING:
    import tensorrt as trt

# What `Runtime.get_engine_validity` reports of a plan's header, in words.
DIAGNOSTICS = {
    "VERSION_MISMATCH": "it was built by another version of the library",
    "UNSUPPORTED_CC": f"the GPU's compute capability is not one that its plans are for: {RTX_GPUS}",
    "OLD_CUDA_DRIVER": "NVIDIA's driver is too old",
    "OLD_CUDA_RUNTIME": "the CUDA runtime is too old",
    "INSUFFICIENT_GPU_MEMORY": "the GPU has too little memory",
    "MALFORMED_ENGINE": "the plan is damaged",
    "CUDA_ERROR": "CUDA does not work here",
}

_log = logging.getLogger(__name__)


class LoadedPlan:
    """A plan that this GPU runs.

    Attributes:
        library: that runs it.
        path: of the graph, for messages.
    """

    def __init__(self, library: TensorRTLibrary, path: Path, plan: bytes, cache: PlanCache, kernels: Label) -> None:
        """Loads a plan on the current CUDA device.

        Args:
            library: that built the plan.
            path: of the graph, for messages.
            plan: from `tensorrt_plan.plan_for`: a program, so nothing else.
            cache: where TensorRT for RTX keeps the kernels that it compiles.
            kernels: what those are for.

        Raises:
            BackendUnavailable: it cannot run here.
        """
        self.library, self.path = library, path
        self._cache, self._label = cache, kernels
        self._runtime = library.module.Runtime(library.log)
        check_header(library, self._runtime, plan, path)
        self._engine: trt.ICudaEngine | None = self._runtime.deserialize_cuda_engine(plan)
        if self._engine is None:
            raise BackendUnavailable(f"{path}: {library} cannot load its own plan: {library.said()}")
        self._compiled: Any = None
        self._kept = b""
        self._config = self._configuration() if library.portable else None

    def context(self) -> trt.IExecutionContext:
        """A new context, which gets its memory from the caller.

        Raises:
            BackendUnavailable: it cannot be made.
        """
        assert self._engine is not None
        strategy = self.library.module.ExecutionContextAllocationStrategy.USER_MANAGED
        context = self._engine.create_execution_context(strategy if self._config is None else self._config)
        if context is None:
            raise BackendUnavailable(f"{self.path}: {self.library} cannot run it: {self.library.said()}")
        return context

    def capturable(self, context: Any, stream: int) -> bool:
        """Whether a CUDA graph can hold a run of the context on the stream; of TensorRT 10 and 11 it always can."""
        return not self.library.portable or bool(context.is_stream_capturable(stream))

    def keep_kernels(self) -> None:
        """Keeps what TensorRT for RTX has compiled for this GPU so far; the other library has it in the plan."""
        if self._compiled is None:
            return
        content = self._compiled.serialize()
        if content is not None and bytes(memoryview(content)) != self._kept:
            self._kept = bytes(memoryview(content))
            self._cache.write(self._label, self._kept)

    def _configuration(self) -> Any:
        """How TensorRT for RTX runs the plan."""
        module, engine = self.library.module, self._engine
        assert engine is not None
        config: Any = engine.create_runtime_config()
        config.set_execution_context_allocation_strategy(module.ExecutionContextAllocationStrategy.USER_MANAGED)
        # LAZY would compile a shape's own kernels later, and a CUDA graph keep the general ones.
        config.dynamic_shapes_kernel_specialization_strategy = module.DynamicShapesKernelSpecializationStrategy.EAGER
        self._compiled = config.create_runtime_cache()
        kept = self._cache.read(self._label)
        if kept is not None:
            # The library compares it with the machine once more.
            if self._compiled.deserialize(kept):
                self._kept = kept
            else:
                _log.warning("%s: kernels of another machine; compiling them again", self._cache.path(self._label))
        if not config.set_runtime_cache(self._compiled):
            raise BackendUnavailable(f"{self.path}: {self.library} takes no cache of kernels: {self.library.said()}")
        return config


def check_header(library: TensorRTLibrary, runtime: Any, plan: bytes, path: Path) -> None:
    """Asks the library whether a plan may run on this machine, before anything of it is loaded.

    Only TensorRT for RTX tells.

    Raises:
        BackendUnavailable: it may not.
    """
    if not library.portable:
        return
    validity, found = runtime.get_engine_validity(plan[: runtime.engine_header_size])
    known = library.module.EngineInvalidityDiagnostics
    reasons = [f"{text} ({name})" for name, text in DIAGNOSTICS.items() if int(getattr(known, name)) & int(found)]
    if validity == library.module.EngineValidity.INVALID:
        why = "; ".join(reasons) or library.said()
        raise BackendUnavailable(f"{path}: {library} cannot run its plan on this machine: {why}")
    if validity == library.module.EngineValidity.SUBOPTIMAL:
        _log.warning("%s: %s runs its plan slower here than it could: %s", path, library, "; ".join(reasons))
