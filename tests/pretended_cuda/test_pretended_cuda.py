"""GPU code without a GPU: tests on a pretended device, in processes of their own.

Nothing that ``torch.cuda`` does is real there, so no test beside these may share a process with it.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

import pytest
import torch

from stylerig_fast.ops import _library

from . import guard

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
PLUGIN = "tests.pretended_cuda.plugin"
# The project's tests that need a GPU. Left out are sizes that only CUDA's kernels can tell from small ones.
OF_THE_PROJECT = (
    "tests/engine/backends/test_cuda_graph.py",
    "tests/ops/test_cuda_device.py",
    "tests/ops/test_mobile_cuda_device.py",
    "tests/ops/test_stylegan2_cuda_device.py",
    "tests/generators/test_mobilestylegan.py",
    "tests/generators/test_stylegan1.py",
    "tests/generators/test_stylegan2.py",
    "tests/export/test_agreement.py",
    "tests/data/test_sampling.py",
)
# How they say so.
ASKS_FOR_A_GPU = re.compile(r"skipif\(not torch\.cuda\.is_available\(\)|if torch\.cuda\.is_available\(\) else")
SUITES = {
    "device": ("tests/pretended_cuda/check_device.py",),
    "engine": ("tests/pretended_cuda/check_engine.py",),
    "training": ("tests/pretended_cuda/check_training.py",),
    "commands": ("tests/pretended_cuda/check_commands.py",),
    "project": (*OF_THE_PROJECT, "-k", "(cuda or gpu) and not size8 and not grid_has_rows"),
}


def test_every_test_that_needs_a_gpu_is_among_them() -> None:
    files = {path.relative_to(ROOT).as_posix(): path for path in (ROOT / "tests").rglob("test_*.py")}
    asking = {name for name, path in files.items() if ASKS_FOR_A_GPU.search(path.read_text(encoding="utf-8"))}
    # The last one writes a test that asks.
    others = {Path(__file__).relative_to(ROOT).as_posix(), "tests/benchmarks/gpu_check/test_runner.py"}
    assert asking - others == set(OF_THE_PROJECT)


@pytest.fixture(scope="session")
def library(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The compiled half of the device."""
    if torch.version.cuda is not None or torch.version.hip is not None:
        pytest.skip("this torch is built for GPUs and has its own idea of them; the device is for CPU builds")
    compiler = next(filter(None, map(shutil.which, (os.environ.get("CXX", "c++"), "g++", "clang++"))), None)
    if compiler is None or sys.platform != "linux":
        pytest.skip("needs a C++ compiler (c++, g++, clang++ or CXX) on Linux, to build the device's guard")
    if not _library.has_kernel("rasterize", "cpu"):
        pytest.skip("needs the compiled ops, which stand in for CUDA's")
    path = tmp_path_factory.mktemp("guard") / "guard.so"
    guard.build(compiler, path)
    return path


def run(suite: str, library: Path) -> subprocess.CompletedProcess[str]:
    # One thread: the tensors are small, and a graph's replay starts thousands of operations on them.
    environment = {**os.environ, "PRETENDED_GUARD": str(library), "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-m", "pytest", "-q", "-p", PLUGIN, "-p", "no:cacheprovider", *SUITES[suite]]
    return subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)


@pytest.fixture(scope="module")
def runs(
    library: Path, request: pytest.FixtureRequest
) -> Iterator[dict[str, Future[subprocess.CompletedProcess[str]]]]:
    """The suites that were asked for, two at a time."""
    items = [
        item for item in request.session.items if item.path == Path(__file__) and isinstance(item, pytest.Function)
    ]
    asked = [str(item.callspec.params["suite"]) for item in items if "suite" in item.fixturenames]
    with ThreadPoolExecutor(2) as pool:
        yield {suite: pool.submit(run, suite, library) for suite in asked}
        pool.shutdown(cancel_futures=True)


@pytest.mark.parametrize("suite", SUITES)
def test_on_a_pretended_gpu(suite: str, runs: dict[str, Future[subprocess.CompletedProcess[str]]]) -> None:
    done = runs[suite].result()
    assert done.returncode == 0, f"{done.stdout[-8000:]}\n{done.stderr[-2000:]}"
    assert " passed" in done.stdout
