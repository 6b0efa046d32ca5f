"""Builds TensorRT plans of exported graphs, and keeps them in the `tensorrt_cache`.

TensorRT for RTX has built every graph that is exported. TensorRT 10 and 11 were not at hand when this was written: the
code is checked against the types of 10.13 and follows the published migration guide to 11. All take the precision of
every tensor from the graph ("strongly typed").
"""

from __future__ import annotations

import hashlib
import logging
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from stylerig_fast.engine.backends.graph_folder import GraphFolder
from stylerig_fast.engine.backends.tensorrt_cache import Label, PlanCache
from stylerig_fast.engine.backends.tensorrt_library import INSTALL, RTX, TensorRTLibrary
from stylerig_fast.errors import BackendUnavailable

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Gpu:
    """What a plan of TensorRT 10 or 11, and kernels of TensorRT for RTX, are tied to besides the library's version."""

    name: str
    capability: str
    driver: str

    @staticmethod
    def of(device: torch.device) -> Gpu:
        major, minor = torch.cuda.get_device_capability(device)
        return Gpu(torch.cuda.get_device_name(device), f"{major}.{minor}", _driver())

    @property
    def label(self) -> dict[str, str]:
        return {"gpu": self.name, "capability": self.capability, "driver": self.driver}


@dataclass(frozen=True)
class Profile:
    """Batches that a plan of a graph for any batch takes, and the one it is tuned for."""

    lowest: int = 1
    best: int = 1
    highest: int = 8

    def __str__(self) -> str:
        return f"{self.lowest}, {self.best}, {self.highest}"


def plan_label(
    library: TensorRTLibrary, graphs: GraphFolder, content: bytes, gpu: Gpu | None, profile: Profile
) -> Label:
    """What a plan is built for; the GPU is a part of it only where the plan is for no other."""
    place = {} if library.portable or gpu is None else gpu.label
    return {
        "kind": "plan",
        "onnx": hashlib.sha256(content).hexdigest(),
        "precision": graphs.manifest.precision,
        "profile": str(profile),
        **_label(library),
        **place,
    }


def plan_for(
    library: TensorRTLibrary, graphs: GraphFolder, name: str, gpu: Gpu | None, profile: Profile, cache: PlanCache
) -> bytes:
    """The plan of a graph: from the cache if it verifies, else built.

    That takes minutes with TensorRT 10 and 11, on the GPU that the plan is for, and seconds with TensorRT for RTX, on
    any machine.

    Args:
        library: that builds.
        graphs: the folder.
        name: of the graph.
        gpu: that runs the plan; None where there is none.
        profile: batches, of graphs that take any.
        cache: where plans are kept.

    Raises:
        BackendUnavailable: the library cannot build it, or not without a GPU.
        CheckpointError: the graph is missing or damaged.
    """
    if gpu is None and not library.portable:
        raise BackendUnavailable(
            f"{library} builds plans on the GPU that they are for, and there is none here; {RTX} builds its plans on "
            f"any machine ({INSTALL[RTX]})"
        )
    content = graphs.read(name)
    path = graphs.path(name)

    def build_and_remember() -> bytes:
        if library.portable or gpu is None:
            _log.warning("building a plan of %s with %s", path, library)
            return build(library, content, path, profile)[0]
        _log.warning("building a plan of %s with %s for %s; this takes minutes", path, library, gpu.name)
        timings = {"kind": "timings", **_label(library), **gpu.label}
        plan, measured = build(library, content, path, profile, cache.read(timings))
        cache.write(timings, measured)
        return plan

    return cache.get(plan_label(library, graphs, content, gpu, profile), build_and_remember)


def build(
    library: TensorRTLibrary,
    content: bytes,
    path: Path,
    profile: Profile,
    timings: bytes | None = None,
    this_gpu: bool = False,
) -> tuple[bytes, bytes]:
    """Builds a plan.

    Args:
        library: that builds.
        content: a graph that was read with `GraphFolder.read`.
        path: for messages.
        profile: of a graph that takes any batch.
        timings: of an earlier build on this machine.
        this_gpu: whether a plan of TensorRT for RTX is for this machine's GPU alone; by default it is for many.

    Returns:
        the plan, and the timings that the next build may start from; TensorRT for RTX takes none and makes none.

    Raises:
        BackendUnavailable: the library cannot read the graph, or build it.
    """
    if TYPE_CHECKING:
        import tensorrt as trt
    else:
        trt = library.module

    logger = library.log
    builder = trt.Builder(logger)
    # TensorRT 11 is always so and ignores the flag.
    network = builder.create_network(1 << int(trt.NetworkDefinitionCreationFlag.STRONGLY_TYPED))
    parser = trt.OnnxParser(network, logger)
    if not parser.parse(content):
        problems = "; ".join(str(parser.get_error(index)) for index in range(parser.num_errors))
        raise BackendUnavailable(f"{path}: {library} cannot read it: {problems}")
    config = builder.create_builder_config()
    # No limit on the workspace: whole graphs are one kernel's to TensorRT for RTX, and StyleGAN3 at 1024 px takes more
    # than 6 GB for a batch of 8. A context gets what its own batch needs.
    config.clear_flag(trt.BuilderFlag.TF32)  # float32 means float32
    if library.portable:
        _take_no_memory_at_run_time(library, config)
        if this_gpu:
            _only_this_gpu(library, config)
    else:
        config.set_timing_cache(config.create_timing_cache(timings or b""), ignore_mismatch=False)
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
        raise BackendUnavailable(f"{path}: {library} cannot build it: {library.said()}")
    if library.portable:
        return bytes(memoryview(plan)), b""
    return bytes(memoryview(plan)), bytes(memoryview(config.get_timing_cache().serialize()))


def _take_no_memory_at_run_time(library: TensorRTLibrary, config: Any) -> None:
    """TensorRT for RTX may allocate while it runs, which a CUDA graph cannot hold, unless the plan rules it out."""
    config.set_flag(library.module.BuilderFlag.REQUIRE_USER_ALLOCATION)


def _only_this_gpu(library: TensorRTLibrary, config: Any) -> None:
    config.num_compute_capabilities = 1
    config.set_compute_capability(library.module.ComputeCapability.CURRENT, 0)


def _label(library: TensorRTLibrary) -> dict[str, str]:
    return {"library": library.name, "version": library.version}


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
