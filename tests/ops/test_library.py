"""The compiled library: that it is there where it can be, the notices where it is not, and its build."""

from __future__ import annotations

import dataclasses
import os
import shlex
import subprocess
import sys
import warnings
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import torch

from stylerig_fast import ops
from stylerig_fast.errors import BackendUnavailable
from stylerig_fast.ops import _architectures, _build, _library, _recipe
from tests.ops.meshes import random_mesh, sphere

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def no_library(monkeypatch):
    """As if nothing had been built, and nothing could be."""
    monkeypatch.setattr(_library, "_library", _library.KernelLibrary(problem="a test took it away", tried=True))
    monkeypatch.setattr(_library, "_noticed", set())


@pytest.mark.skipif(bool(_recipe.why_not_buildable()), reason=f"cannot build: {_recipe.why_not_buildable()}")
def test_where_it_can_be_built_it_is_there():
    """Without this, a kernel that does not compile would only skip tests."""
    assert _library.library().path is not None, _library.library().problem
    for op in _library.OPS:
        assert _library.has_kernel(op, "cpu") == (_library.ONLY_FOR.get(op) != "cuda")


def test_without_it_the_reference_runs_with_one_notice(no_library):
    vertices, triangles = random_mesh(0)
    with pytest.warns(UserWarning, match=r"rasterize runs as plain torch on cpu.*a test took it away.*pip install"):
        seen = ops.rasterize(vertices, triangles, 1.0, 8, 8)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        again = ops.rasterize(vertices, triangles, 1.0, 8, 8)
    assert torch.equal(seen.triangle, again.triangle)


def test_without_it_naming_the_kernel_raises(no_library):
    with pytest.raises(BackendUnavailable, match=r"impl='cpu' was asked for, but there is no compiled library"):
        ops.vertex_normals(torch.zeros(1, 3, 3), torch.zeros(0, 3, dtype=torch.int32), impl="cpu")


@pytest.mark.skipif(bool(_recipe.why_not_buildable()), reason=f"cannot build: {_recipe.why_not_buildable()}")
def test_built_on_first_use_once(tmp_path, monkeypatch):
    """A tiny library stands for ours: what matters is where it lands and that it is built once."""
    built = []

    def build(plan, folder, output):
        built.append(plan)
        output.write_bytes(b"library")

    monkeypatch.setattr("platformdirs.user_cache_dir", lambda name: str(tmp_path / name))
    monkeypatch.setattr(_recipe, "build", build)
    paths = {_build.build_in_cache() for _ in range(2)}
    assert len(paths) == len(built) == 1
    assert [path.name for path in (tmp_path / "stylerig_fast" / "kernels").iterdir()] == [paths.pop().name]


@pytest.mark.parametrize(
    ("environment", "message"),
    [
        ({"CXX": "no-such-compiler"}, "no C++ compiler"),
        ({"STYLERIG_BUILD_OPS": "0"}, "STYLERIG_BUILD_OPS=0"),
    ],
)
def test_setup_without_a_compiler_installs_python_only(environment, message, tmp_path):
    command = [sys.executable, "setup.py", "--quiet", "build_ext", "--build-lib", str(tmp_path)]
    done = subprocess.run(
        command, cwd=ROOT, env={**os.environ, **environment}, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert "installing without compiled operations" in done.stderr
    assert not list(tmp_path.rglob("*.so"))
    assert message in done.stderr


def test_whether_cuda_is_built_depends_on_nvcc_and_torch_alone(monkeypatch):
    monkeypatch.setattr(_recipe, "find_nvcc", lambda: "/there/nvcc")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: pytest.fail("a visible GPU must not matter"))
    for choice, build, wanted in [("0", "13.0", None), ("1", None, "/there/nvcc"), ("auto", "13.0", "/there/nvcc")]:
        monkeypatch.setenv("STYLERIG_BUILD_CUDA", choice)
        monkeypatch.setattr(torch.version, "cuda", build)
        assert _recipe.wants_cuda() == wanted
    monkeypatch.setattr(torch.version, "cuda", None)
    assert _recipe.wants_cuda() is None
    monkeypatch.setattr(_recipe, "find_nvcc", lambda: None)
    monkeypatch.setenv("STYLERIG_BUILD_CUDA", "1")
    with pytest.raises(RuntimeError, match="there is no nvcc"):
        _recipe.wants_cuda()
    monkeypatch.setenv("STYLERIG_BUILD_CUDA", "yes")
    with pytest.raises(RuntimeError, match="expected 0, 1 or auto"):
        _recipe.wants_cuda()


@pytest.mark.parametrize(
    ("architectures", "runs", "refuses"),
    [
        (("7.5", "8.0", "9.0+PTX"), [(7, 5), (8, 0), (8, 6), (8, 9), (9, 0), (10, 0), (12, 1)], [(5, 0), (7, 0)]),
        (("8.6",), [(8, 6), (8, 9)], [(8, 0), (7, 5), (9, 0)]),
        (("8.0+PTX",), [(8, 0), (12, 0)], [(7, 5)]),
        (("9.0a", "10.0a+PTX"), [(9, 0), (10, 0)], [(8, 9), (10, 3), (12, 0)]),
        ((), [], [(9, 0)]),
    ],
)
def test_which_gpus_a_build_runs_on(architectures, runs, refuses):
    assert all(_architectures.runs_on(architectures, capability) for capability in runs)
    assert not any(_architectures.runs_on(architectures, capability) for capability in refuses)


@pytest.mark.skipif(bool(_recipe.why_not_buildable()), reason=f"cannot build: {_recipe.why_not_buildable()}")
def test_a_library_knows_what_it_was_built_for(tmp_path):
    plan = dataclasses.replace(_recipe.make_plan(ROOT / "csrc", cuda=False), architectures="7.5;9.0+PTX 12.0")
    for nvcc, wanted in (("/there/nvcc", ("7.5", "9.0+PTX", "12.0")), (None, ())):
        rule = _recipe.ninja_file(dataclasses.replace(plan, nvcc=nvcc), tmp_path / "library.so").splitlines()
        flags = [word for word in shlex.split(rule[2]) if word.startswith("-DSTYLERIG_CUDA_ARCHITECTURES")]
        library = tmp_path / f"{len(wanted)}.so"
        command = [*shlex.split(plan.cxx), *flags, "-shared", "-fPIC", "-fvisibility=hidden", "-o", str(library)]
        subprocess.run([*command, str(ROOT / "csrc" / "architectures.cpp")], check=True)
        assert _architectures.built_for(library) == wanted
    empty = tmp_path / "old.so"
    subprocess.run([*shlex.split(plan.cxx), "-shared", "-o", str(empty), "-x", "c++", os.devnull], check=True)
    assert _architectures.built_for(empty) == ()


class Gpus:
    """GPUs 0 and 1 of compute capability 7.0 and 9.0, and how often they were asked."""

    def __init__(self, monkeypatch):
        self.asked: list[int] = []
        self.capturing = False
        kernels = frozenset((op, kind) for op in ("rasterize", "morphable") for kind in ("cpu", "cuda"))
        library = _library.KernelLibrary(path=Path("/there.so"), kernels=kernels, architectures=("7.5", "9.0+PTX"))
        monkeypatch.setattr(_library, "_library", library)
        monkeypatch.setattr(_library, "_noticed", set())
        monkeypatch.setattr(torch.cuda, "get_device_capability", self.capability)
        monkeypatch.setattr(torch.cuda, "get_device_name", lambda index: f"GPU {index}")
        monkeypatch.setattr(torch.cuda, "current_device", lambda: 1)
        monkeypatch.setattr(torch.cuda, "is_current_stream_capturing", lambda: self.capturing)

    def capability(self, index):
        assert not self.capturing
        self.asked.append(index)
        return (7, 0) if index == 0 else (9, 0)


def test_a_gpu_that_the_library_was_not_built_for(monkeypatch):
    gpus = Gpus(monkeypatch)
    old, new = torch.device("cuda", 0), torch.device("cuda", 1)
    with pytest.warns(
        UserWarning, match=r"every op runs as plain torch on cuda.*GPU 0 has compute capability 7\.0"
    ) as seen:
        assert {_library.choose(op, "auto", old) for op in ("rasterize", "morphable") * 2} == {"reference"}
    assert len(seen) == 1
    with pytest.raises(BackendUnavailable, match=r"built for 7\.5, 9\.0\+PTX.*TORCH_CUDA_ARCH_LIST=7\.0 pip install"):
        _library.choose("rasterize", "cuda", old)
    assert {_library.choose("rasterize", impl, new) for impl in ("auto", "cuda")} == {"cuda"}
    assert ops.paths(torch.device("cuda"))["morphable"] == "cuda"
    assert "compute capability 7.0" in ops.paths(old)["morphable"]
    assert gpus.asked == [0, 1]
    assert ops.library_summary() == "/there.so, kernels for cpu and cuda (7.5, 9.0+PTX)"


def test_no_gpu_is_asked_in_a_capture_while_tracing_or_for_the_cpu(monkeypatch):
    gpus = Gpus(monkeypatch)
    old = torch.device("cuda", 0)
    gpus.capturing = True
    assert _library.choose("rasterize", "auto", old) == "cuda"  # asked later, by the next eager call
    assert _library.choose("rasterize", "auto", torch.device("cpu")) == "cpu"
    gpus.capturing = False
    with monkeypatch.context() as traced:
        traced.setattr(torch.compiler, "is_compiling", lambda: True)
        assert _library.choose("rasterize", "auto", old) == "cuda"
    assert gpus.asked == []
    with pytest.warns(UserWarning, match="every op"):
        assert _library.choose("rasterize", "auto", old) == "reference"
    gpus.capturing = True
    assert _library.choose("rasterize", "auto", old) == "reference"
    assert gpus.asked == [0]


def test_what_has_no_cuda_kernel_by_design_is_not_blamed_on_the_build(monkeypatch):
    Gpus(monkeypatch)
    paths = ops.paths(torch.device("cuda", 1))
    assert "no CUDA kernel by design" in paths["mobile_synthesis"]
    assert "built without CUDA" in paths["vertex_normals"]


def test_architectures_and_jobs(monkeypatch):
    assert _recipe.gencode_flags("8.0;9.0+PTX") == [
        "-gencode=arch=compute_80,code=sm_80",
        "-gencode=arch=compute_90,code=sm_90",
        "-gencode=arch=compute_90,code=compute_90",
    ]
    assert _recipe.gencode_flags("8.6 10.0") == _recipe.gencode_flags("8.6,10.0")
    monkeypatch.setenv("MAX_JOBS", "3")
    assert _recipe.parallel_jobs() == 3
    monkeypatch.delenv("MAX_JOBS")
    assert 1 <= _recipe.parallel_jobs() <= (os.cpu_count() or 1)


def test_a_compiler_error_is_shown(tmp_path):
    if _recipe.why_not_buildable():
        pytest.skip("cannot build")
    (tmp_path / "registration.cpp").write_text("this is no C++")
    with pytest.raises(RuntimeError, match="this is no C"):
        _recipe.build(_recipe.make_plan(tmp_path, cuda=False), tmp_path / "objects", tmp_path / "library.so")


def test_the_mesh_of_a_call_may_be_shared_by_threads():
    """Kernels keep no state: calls from several threads at a time give the same."""
    points, triangles = sphere(20, 30)
    vertices = points[None] - torch.tensor([0.0, 0.0, 4.0])
    with ThreadPoolExecutor(4) as pool:
        results = list(pool.map(lambda _: ops.rasterize(vertices, triangles, 2.0, 64, 64), range(12)))
    assert all(torch.equal(results[0].triangle, other.triangle) for other in results)


def test_summary(no_library, monkeypatch):
    assert ops.library_summary() == "none: a test took it away"
    kernels = frozenset({("rasterize", "cpu"), ("rasterize", "cuda")})
    monkeypatch.setattr(_library, "_library", _library.KernelLibrary(path=Path("/there/_kernels.so"), kernels=kernels))
    assert ops.library_summary() == "/there/_kernels.so, kernels for cpu and cuda"
    assert ops.paths(torch.device("cpu"))["rasterize"] == "cpu"
    assert "no morphable kernel" in ops.paths(torch.device("cpu"))["morphable"]
