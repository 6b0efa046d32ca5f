"""The stage ``probe``: the machine, its copy bandwidth and its matrix rates."""

from __future__ import annotations

import importlib
import platform
import shutil
import subprocess
from typing import Any

import torch

from ..harness import device_clock
from ..harness.machine import describe
from ..harness.peak_rates import fastest
from .task import CheckTask, argument_parser

TOOLS = ("nvcc", "ninja", "c++", "compute-sanitizer", "ncu", "xz")
PACKAGES = ("pytest", "hypothesis", "onnx", "onnxruntime", "tensorrt", "tensorrt_rtx", "safetensors", "triton", "tyro")
QUERY = "name,driver_version,clocks.sm,clocks.mem,clocks.max.sm,power.draw,power.limit,temperature.gpu"


def machine() -> dict[str, Any]:
    """Versions and tools that the other stages depend on."""
    results: dict[str, Any] = {
        "platform": platform.platform(),
        "glibc": " ".join(platform.libc_ver()),
        "cuda": torch.version.cuda,
        "architectures": torch.cuda.get_arch_list() if torch.cuda.is_available() else [],
        "tools": {name: shutil.which(name) for name in TOOLS},
    }
    for name in PACKAGES:
        try:
            results[name] = str(getattr(importlib.import_module(name), "__version__", "no version"))
        except Exception as error:
            results[name] = f"{type(error).__name__}: {error}"
    if shutil.which("nvidia-smi"):
        query = ["nvidia-smi", f"--query-gpu={QUERY}", "--format=csv,noheader"]
        results["nvidia-smi"] = subprocess.run(query, capture_output=True, text=True, check=False).stdout.strip()
    return results


def rates(task: CheckTask) -> dict[str, Any]:
    """Copy bandwidth, and rates of products of random matrices: of ones they would be faster, taking less power."""
    side = 256 if task.small or not task.cuda else 8192
    count = (1 << 18) if task.small or not task.cuda else (128 << 20)
    seconds = 0.05 if task.small else 0.5
    source = torch.randn(count, device=task.device)
    target = torch.empty_like(source)
    copy = fastest(lambda: target.copy_(source), task.device, seconds)
    products = {}
    for name in ("float32", "float16", "bfloat16"):
        a, b = (torch.randn(side, side, device=task.device).to(getattr(torch, name)) for _ in range(2))
        products[name] = 2e-12 * side**3 / fastest(lambda a=a, b=b: a @ b, task.device, seconds)  # type: ignore[misc]
    return {"copy GB/s": 2e-9 * source.nbytes / copy, "product TFLOP/s": products}


def main() -> None:
    """Describes the machine and its rates."""
    task = CheckTask.of(argument_parser(__doc__).parse_args())
    results: dict[str, Any] = {"setting": describe(task.device), "machine": machine()}
    task.save(results)
    with device_clock.stream_of(task.device):
        results |= rates(task)
    task.save(results)
    for part in ("setting", "machine"):
        for name, value in results[part].items():
            print(f"{name}: {value}")
    print(f"copy {results['copy GB/s']:.0f} GB/s; products in TFLOP/s: {results['product TFLOP/s']}")


if __name__ == "__main__":
    main()
