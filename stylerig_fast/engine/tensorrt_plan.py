"""Builds TensorRT plans of exported graphs, and keeps them in the `plan_cache`.

Not yet run: TensorRT was not at hand when this was written. It is checked against the types of TensorRT 10.13 and
follows the published migration guide to 11. Both take the precision of every tensor from the graph ("strongly typed").
"""

from __future__ import annotations

import hashlib
import logging
import subprocess
from dataclasses import dataclass
from pathlib import Path

import torch

from stylerig_fast.engine.graphs import GraphFolder
from stylerig_fast.engine.plan_cache import PlanCache
from stylerig_fast.errors import BackendUnavailable

WORKSPACE = 4 << 30  # bytes of GPU memory that kernels may take for themselves
INSTALL = "pip install tensorrt"

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Gpu:
    """What a plan is tied to besides TensorRT's version."""

    name: str
    capability: str
    driver: str

    @staticmethod
    def of(device: torch.device) -> Gpu:
        major, minor = torch.cuda.get_device_capability(device)
        return Gpu(torch.cuda.get_device_name(device), f"{major}.{minor}", _driver())


@dataclass(frozen=True)
class Profile:
    """Batches that a plan of a graph for any batch takes, and the one it is tuned for."""

    lowest: int = 1
    best: int = 1
    highest: int = 8

    def __str__(self) -> str:
        return f"{self.lowest}, {self.best}, {self.highest}"


def tensorrt_version() -> str:
    """The version of the installed TensorRT.

    Raises:
        BackendUnavailable: it is not there, or too old.
    """
    try:
        import tensorrt as trt
    except ImportError as error:
        raise BackendUnavailable(f"the tensorrt backend: {error}; {INSTALL}") from error
    # The package of its types alone makes the import of an empty module succeed.
    version = getattr(trt, "__version__", None)
    if version is None:
        raise BackendUnavailable(f"the tensorrt backend: only TensorRT's types are installed; {INSTALL}")
    if int(version.split(".")[0]) < 10:
        raise BackendUnavailable(f"TensorRT {version} is installed, expected 10 or newer; {INSTALL}")
    return str(version)


def plan_for(graphs: GraphFolder, name: str, gpu: Gpu, profile: Profile, cache: PlanCache) -> bytes:
    """The plan of a graph for this GPU: from the cache if it verifies, else built, which takes minutes.

    Raises:
        BackendUnavailable: TensorRT is missing or cannot build it.
        CheckpointError: the graph is missing or damaged.
    """
    version = tensorrt_version()
    content = graphs.read(name)
    place = {"tensorrt": version, "gpu": gpu.name, "capability": gpu.capability, "driver": gpu.driver}
    label = {
        "kind": "plan",
        "onnx": hashlib.sha256(content).hexdigest(),
        "precision": graphs.head.precision,
        "profile": str(profile),
        **place,
    }

    def build_and_remember() -> bytes:
        _log.warning("building a TensorRT plan of %s for %s; this takes minutes", graphs.path(name), gpu.name)
        timings = {"kind": "timings", **place}
        plan, measured = build(content, graphs.path(name), profile, cache.read(timings))
        cache.write(timings, measured)
        return plan

    return cache.get(label, build_and_remember)


def build(content: bytes, path: Path, profile: Profile, timings: bytes | None) -> tuple[bytes, bytes]:
    """Builds a plan.

    Args:
        content: a graph that was read with `GraphFolder.read`.
        path: for messages.
        profile: of a graph that takes any batch.
        timings: of an earlier build on this machine.

    Returns:
        the plan, and the timings that the next build may start from.
    """
    import tensorrt as trt

    logger = trt.Logger(trt.Logger.WARNING)
    builder = trt.Builder(logger)
    # TensorRT 11 is always so and ignores the flag.
    network = builder.create_network(1 << int(trt.NetworkDefinitionCreationFlag.STRONGLY_TYPED))
    parser = trt.OnnxParser(network, logger)
    if not parser.parse(content):
        problems = "; ".join(str(parser.get_error(index)) for index in range(parser.num_errors))
        raise BackendUnavailable(f"{path}: TensorRT {trt.__version__} cannot read it: {problems}")
    config = builder.create_builder_config()
    config.set_memory_pool_limit(trt.MemoryPoolType.WORKSPACE, WORKSPACE)
    config.clear_flag(trt.BuilderFlag.TF32)  # float32 means float32
    cache = config.create_timing_cache(timings or b"")
    config.set_timing_cache(cache, ignore_mismatch=False)
    inputs = [network.get_input(index) for index in range(network.num_inputs)]
    shapes = {tensor.name: [tensor.shape[axis] for axis in range(len(tensor.shape))] for tensor in inputs}
    if any(shape[0] == -1 for shape in shapes.values()):
        batches = builder.create_optimization_profile()
        for name, (_, *rest) in shapes.items():
            sizes = [trt.Dims([batch, *rest]) for batch in (profile.lowest, profile.best, profile.highest)]
            batches.set_shape(name, *sizes)
        config.add_optimization_profile(batches)
    plan = builder.build_serialized_network(network, config)
    if plan is None:
        raise BackendUnavailable(f"{path}: TensorRT {trt.__version__} cannot build it; its log says why")
    return bytes(memoryview(plan)), bytes(memoryview(config.get_timing_cache().serialize()))


def _driver() -> str:
    """The version of NVIDIA's driver.

    Raises:
        BackendUnavailable: the system does not tell, and so not whether a plan was built for it.
    """
    try:
        return Path("/proc/driver/nvidia/version").read_text(encoding="utf-8").splitlines()[0]
    except (OSError, IndexError):
        pass
    query = ["nvidia-smi", "--query-gpu=driver_version", "--format=csv,noheader"]
    try:
        return subprocess.run(query, capture_output=True, text=True, check=True, timeout=30).stdout.split()[0]
    except (OSError, subprocess.SubprocessError, IndexError) as error:
        raise BackendUnavailable(f"the version of NVIDIA's driver cannot be told ({error}); try nvidia-smi") from error
