"""A stand-in for TensorRT's modules: what it was asked, and answers that a test chooses."""

from __future__ import annotations

import sys
from types import SimpleNamespace
from typing import Any

# By library: where it is imported from, and a version.
MODULES = {"tensorrt": ("tensorrt", "10.13.0.35"), "rtx": ("tensorrt_rtx_bindings", "1.7.1.116")}
ALL_MODULES = ("tensorrt", "tensorrt_rtx", "tensorrt_rtx_bindings")


class StandIn:
    """The part of the interface that builds and loads plans; remembers what it was asked."""

    def __init__(self, name="tensorrt", version="10.13.0.35", shape=(-1, 8, 512), problems=(), plan=b"plan"):
        self.__name__, self.__version__, self.shape = name, version, shape
        self.problems, self.plan = list(problems), plan
        self.calls: list[tuple[Any, ...]] = []
        self.NetworkDefinitionCreationFlag = SimpleNamespace(STRONGLY_TYPED=0 if version.startswith("11") else 1)
        self.BuilderFlag = SimpleNamespace(TF32="tf32", REQUIRE_USER_ALLOCATION="user allocation")
        self.ILogger = type("ILogger", (), {"ERROR": 1, "WARNING": 2})
        self.Dims = list
        self.ComputeCapability = SimpleNamespace(CURRENT="current")
        # What loading a plan says.
        self.EngineValidity = SimpleNamespace(VALID=0, SUBOPTIMAL=1, INVALID=2)
        names = ["VERSION_MISMATCH", "UNSUPPORTED_CC", "OLD_CUDA_DRIVER", "OLD_CUDA_RUNTIME"]
        names += ["INSUFFICIENT_GPU_MEMORY", "MALFORMED_ENGINE", "CUDA_ERROR"]
        self.EngineInvalidityDiagnostics = SimpleNamespace(**{name: 1 << bit for bit, name in enumerate(names)})
        self.ExecutionContextAllocationStrategy = SimpleNamespace(USER_MANAGED="user managed")
        self.DynamicShapesKernelSpecializationStrategy = SimpleNamespace(EAGER="eager", LAZY="lazy")
        self.validity, self.loads, self.takes_kernels, self.kernels = (0, 0), True, True, b"compiled"
        self.config = SimpleNamespace(
            set_execution_context_allocation_strategy=self.note("strategy"),
            create_runtime_cache=lambda: SimpleNamespace(
                deserialize=lambda blob: self.note("kernels", self.takes_kernels)(blob), serialize=lambda: self.kernels
            ),
            set_runtime_cache=self.note("runtime cache", True),
        )

    def note(self, name, result=None):
        def call(*arguments, **named):
            self.calls.append((name, *arguments, *named.items()))
            return result

        return call

    def called(self, name):
        return [call[1:] for call in self.calls if call[0] == name]

    def Builder(self, logger):  # noqa: N802
        inputs = [SimpleNamespace(name="ws", shape=self.shape)]
        network = SimpleNamespace(num_inputs=1, get_input=inputs.__getitem__)
        config = SimpleNamespace(
            clear_flag=self.note("clear"),
            set_flag=self.note("set"),
            create_timing_cache=self.note("timings", "cache"),
            set_timing_cache=self.note("set timings"),
            get_timing_cache=lambda: SimpleNamespace(serialize=lambda: b"measured"),
            add_optimization_profile=self.note("profile"),
            set_compute_capability=self.note("capability"),
        )
        if self.plan is None:
            logger.log(1, "no kernel\n for the node")
        return SimpleNamespace(
            create_network=self.note("network", network),
            create_builder_config=lambda: config,
            create_optimization_profile=lambda: SimpleNamespace(set_shape=self.note("shape")),
            build_serialized_network=self.note("build", self.plan),
        )

    def OnnxParser(self, network, logger):  # noqa: N802
        return SimpleNamespace(
            parse=self.note("parse", not self.problems),
            num_errors=len(self.problems),
            get_error=self.problems.__getitem__,
        )

    def Runtime(self, logger):  # noqa: N802
        def load(plan):
            if not self.loads:
                logger.log(1, "no memory")
                return None
            return SimpleNamespace(
                create_runtime_config=lambda: self.config, create_execution_context=self.note("context", "context")
            )

        return SimpleNamespace(
            engine_header_size=4,
            get_engine_validity=lambda header: self.note("validity", self.validity)(header),
            deserialize_cuda_engine=load,
        )


def use(monkeypatch, library="tensorrt", **options) -> StandIn:
    """A stand-in in place of one of the libraries, and no other one beside it."""
    for name in ALL_MODULES:
        monkeypatch.setitem(sys.modules, name, None)
    monkeypatch.delenv("STYLERIG_TENSORRT", raising=False)
    name, version = MODULES[library]
    stand_in = StandIn(name, **{"version": version, **options})
    monkeypatch.setitem(sys.modules, name, stand_in)
    return stand_in
