"""Whether TensorRT for RTX supports this GPU, according to the library itself.

Its documentation names compute capability 7.5, 8.6, 8.9 and 12.x. A plan is built here, once for any GPU and once for
this one, and the library tells whether it would load, which needs only a driver. ``stylerig-bench edit`` measures
the times.
"""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path
from typing import Any

import torch
from stylerig_fast.export.onnx import ExportOptions, ExportParts, graph

from stylerig_fast.engine.backends.tensorrt_library import RTX, VARIABLE, TensorRTLibrary, find_library
from stylerig_fast.engine.backends.tensorrt_plan import Profile, build
from stylerig_fast.errors import BackendUnavailable

from ..harness.networks import open_networks
from ..harness.options import BenchOptions
from .task import CheckTask, argument_parser, first_line

# Exit status without the library: the step has not passed, but nothing of ours has failed.
ABSENT = 3
PROFILE = Profile(highest=4)


def validity(library: TensorRTLibrary, plan: bytes) -> dict[str, Any]:
    """What the library says about a plan on this machine before it loads it."""
    trt = library.module
    answer, diagnostics = trt.Runtime(library.log).get_engine_validity(plan)
    kinds = trt.EngineInvalidityDiagnostics
    names = [name for name in dir(kinds) if name.isupper() and int(getattr(kinds, name)) & int(diagnostics)]
    return {"validity": str(answer), "diagnostics": names, "MB": len(plan) / 1e6}


def main() -> int:
    """Builds, judges and runs a plan with TensorRT for RTX; the exit status of the step."""
    parser = argument_parser(__doc__)
    parser.add_argument("--generator", default="", help="as stylerig-bench names it")
    task = CheckTask.of(parser.parse_args())
    os.environ[VARIABLE] = "rtx"  # not TensorRT 10 or 11, which the backend prefers
    try:
        library = find_library()
    except BackendUnavailable as error:
        task.save({"absent": f"{RTX} is not installed"})
        print(error)
        return ABSENT if task.cuda else 0
    results: dict[str, Any] = {"version": library.version}
    plain = open_networks(BenchOptions(generator=task.options.generator)).plain
    content = graph(ExportParts.of(plain), "edit", ExportOptions(torch.float16)).SerializeToString()
    for name in ("any GPU", "this GPU"):
        start = time.monotonic()
        try:
            plan, _ = build(library, content, Path("edit.onnx"), PROFILE, this_gpu=name == "this GPU")
            results[name] = validity(library, plan) | {"build s": round(time.monotonic() - start, 2)}
        except (BackendUnavailable, RuntimeError) as error:
            results[name] = {"error": first_line(error, 600)}
        print(f"a plan for {name}: {results[name]}", flush=True)
        task.save(results)
    return 0


if __name__ == "__main__":
    sys.exit(main())
