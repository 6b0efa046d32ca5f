"""Whether TensorRT for RTX takes this GPU, asked of the library itself: it builds engines without one, for some GPUs.

Its documentation names compute capability 7.5, 8.6, 8.9 and 12.x. An engine is built here, for any GPU and for this
one, and the library is asked whether it would load: that needs no more than a driver. Times come from
``stylerig-bench edit``.
"""

from __future__ import annotations

import importlib
import sys
import time
from typing import Any

import torch
from stylerig_fast.export.onnx import ExportOptions, ExportParts, graph

from ..options import BenchOptions
from ..parts import open_parts
from .task import first_line, parser, task

MODULES = ("tensorrt_rtx", "tensorrt_rtx_bindings")
# Exit status where there is no such library: neither passed nor a mistake of ours.
ABSENT = 3


def find_library() -> Any:
    """The module; None if it is not installed."""
    for name in MODULES:
        try:
            return importlib.import_module(name)
        except ImportError:
            continue
    return None


def build(trt: Any, log: Any, content: bytes, current: bool) -> bytes:
    """An engine of an ONNX graph, for batches of 1 to 4.

    Raises:
        RuntimeError: the library refuses the graph or the GPU.
    """
    builder = trt.Builder(log)
    network = builder.create_network(1 << int(trt.NetworkDefinitionCreationFlag.STRONGLY_TYPED))
    parser_ = trt.OnnxParser(network, log)
    if not parser_.parse(content):
        raise RuntimeError("; ".join(str(parser_.get_error(index)) for index in range(parser_.num_errors)))
    config = builder.create_builder_config()
    config.clear_flag(trt.BuilderFlag.TF32)
    config.set_flag(trt.BuilderFlag.REQUIRE_USER_ALLOCATION)  # without it streams cannot be captured
    if current:
        config.num_compute_capabilities = 1
        config.set_compute_capability(trt.ComputeCapability.CURRENT, 0)
    shapes = builder.create_optimization_profile()
    for tensor in map(network.get_input, range(network.num_inputs)):
        _, *rest = tensor.shape
        shapes.set_shape(tensor.name, [1, *rest], [1, *rest], [4, *rest])
    config.add_optimization_profile(shapes)
    plan = builder.build_serialized_network(network, config)
    if plan is None:
        raise RuntimeError("no engine was built; the library's own messages are in the log")
    return bytes(memoryview(plan))


def verdict(trt: Any, log: Any, plan: bytes) -> dict[str, Any]:
    """What the library says of an engine on this machine, before it loads it."""
    validity, diagnostics = trt.Runtime(log).get_engine_validity(plan)
    kinds = trt.EngineInvalidityDiagnostics
    names = [name for name in dir(kinds) if name.isupper() and int(getattr(kinds, name)) & int(diagnostics)]
    return {"validity": str(validity), "diagnostics": names, "MB": len(plan) / 1e6}


def main() -> int:
    words = parser(__doc__)
    words.add_argument("--generator", default="", help="as stylerig-bench names it")
    work = task(words.parse_args())
    trt = find_library()
    if trt is None:
        work.save({"absent": "TensorRT for RTX is not installed"})
        print("TensorRT for RTX is not installed: pip install tensorrt-rtx-cu13-libs tensorrt-rtx-cu13-bindings")
        return ABSENT if work.cuda else 0
    log = trt.Logger(trt.Logger.WARNING)
    found: dict[str, Any] = {"version": str(trt.__version__)}
    plain = open_parts(BenchOptions(generator=work.words.generator)).plain
    content = graph(ExportParts.of(plain), "edit", ExportOptions(torch.float16)).SerializeToString()
    for name in ("any GPU", "this GPU"):
        start = time.monotonic()
        try:
            plan = build(trt, log, content, current=name == "this GPU")
            found[name] = verdict(trt, log, plan) | {"build s": round(time.monotonic() - start, 2)}
        except RuntimeError as error:
            found[name] = {"error": first_line(error, 600)}
        print(f"an engine for {name}: {found[name]}", flush=True)
        work.save(found)
    return 0


if __name__ == "__main__":
    sys.exit(main())
