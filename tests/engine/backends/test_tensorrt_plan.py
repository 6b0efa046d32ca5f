"""How plans are built and kept, with stand-ins for both libraries. See test_tensorrt_rtx.py for a real one."""

from __future__ import annotations

import importlib.metadata
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

import stylerig_fast
from export.onnx import ExportOptions, ExportParts, export_onnx
from stylerig_fast.engine.backends import tensorrt_plan
from stylerig_fast.engine.backends.base import BackendSpec, choose
from stylerig_fast.engine.backends.graph_folder import GraphFolder
from stylerig_fast.engine.backends.tensorrt_cache import PlanCache
from stylerig_fast.engine.backends.tensorrt_library import find_library
from stylerig_fast.engine.backends.tensorrt_plan import Gpu, Profile, plan_for
from stylerig_fast.errors import BackendUnavailable
from stylerig_fast.face.model_io import open_face_model
from tests.engine.backends.tensorrt_stand_in import use
from tests.engine.conftest import small_parts

GPU = Gpu("NVIDIA H200", "9.0", "580.65.06")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("graphs")
    export_onnx(ExportParts(*small_parts(), open_face_model()), folder)
    return folder


@pytest.fixture
def cache(tmp_path):
    return PlanCache(tmp_path / "plans")


def plan(folder, cache, gpu: Gpu | None = GPU, profile=None):
    return plan_for(find_library(), GraphFolder(folder), "generator", gpu, profile or Profile(), cache)


@pytest.mark.parametrize("version", ["10.1.0", "10.13.0.35", "11.4.0.106"])
def test_how_a_plan_is_built(folder, cache, monkeypatch, version):
    trt = use(monkeypatch, version=version)
    assert plan(folder, cache) == b"plan"
    assert trt.called("network") == [(1 << trt.NetworkDefinitionCreationFlag.STRONGLY_TYPED,)]
    assert trt.called("parse") == [((folder / "generator.onnx").read_bytes(),)]
    assert trt.called("clear") == [("tf32",)]
    assert trt.called("shape") == [("ws", [1, 8, 512], [1, 8, 512], [8, 8, 512])]
    assert len(trt.called("profile")) == 1


def test_a_graph_for_one_batch_needs_no_profile(folder, cache, monkeypatch):
    trt = use(monkeypatch, shape=(1, 8, 512))
    plan(folder, cache)
    assert not trt.called("profile")


def test_built_once(folder, cache, monkeypatch, caplog):
    trt = use(monkeypatch)
    for _ in range(3):
        assert plan(folder, cache) == b"plan"
    assert len(trt.called("build")) == 1
    assert "this takes minutes" in caplog.text


@pytest.mark.parametrize(
    "other",
    [
        {"gpu": Gpu("NVIDIA H100", "9.0", GPU.driver)},
        {"gpu": Gpu(GPU.name, "10.0", GPU.driver)},
        {"gpu": Gpu(GPU.name, "9.0", "999.0")},
        {"profile": Profile(1, 4, 8)},
    ],
    ids=str,
)
def test_another_gpu_driver_or_profile_is_built_again(folder, cache, monkeypatch, other):
    trt = use(monkeypatch)
    plan(folder, cache)
    plan(folder, cache, **other)
    assert len(trt.called("build")) == 2


def test_another_version_is_built_again(folder, cache, monkeypatch):
    use(monkeypatch)
    plan(folder, cache)
    trt = use(monkeypatch, version="10.14.1", plan=b"newer")
    assert plan(folder, cache) == b"newer"
    assert len(trt.called("build")) == 1


def test_another_graph_is_built_again(folder, cache, monkeypatch, tmp_path):
    trt = use(monkeypatch)
    plan(folder, cache)
    export_onnx(ExportParts(*small_parts(), open_face_model()), tmp_path, ExportOptions(torch.float16))
    plan(tmp_path, cache)
    assert len(trt.called("build")) == 2


def test_a_changed_byte_is_built_again_and_never_loaded(folder, cache, monkeypatch):
    trt = use(monkeypatch)
    plan(folder, cache)
    for path in cache.folder.glob("*.sealed"):
        content = bytearray(path.read_bytes())
        content[-1] ^= 1
        path.write_bytes(content)
    assert plan(folder, cache) == b"plan"
    assert len(trt.called("build")) == 2
    # The timings were changed too: TensorRT has not been given them.
    assert trt.called("timings") == [(b"",), (b"",)]


def test_timings_are_kept_for_the_next_build(folder, cache, monkeypatch):
    trt = use(monkeypatch)
    plan(folder, cache)
    plan(folder, cache, profile=Profile(1, 8, 8))
    assert trt.called("timings") == [(b"",), (b"measured",)]
    assert trt.called("set timings")[0] == ("cache", ("ignore_mismatch", False))


def test_what_tensorrt_cannot_read(folder, cache, monkeypatch):
    use(monkeypatch, problems=["no Sin", "no Cos"])
    with pytest.raises(BackendUnavailable, match=r"generator\.onnx: TensorRT .* cannot read it: no Sin; no Cos"):
        plan(folder, cache)


def test_what_tensorrt_cannot_build(folder, cache, monkeypatch):
    use(monkeypatch, plan=None)
    with pytest.raises(BackendUnavailable, match=r"onnx: TensorRT .* cannot build it: no kernel for the node"):
        plan(folder, cache)


def test_rtx_asks_no_timings_and_rules_out_memory_at_run_time(folder, cache, monkeypatch, caplog):
    trt = use(monkeypatch, "rtx")
    assert plan(folder, cache) == b"plan"
    assert trt.called("set") == [("user allocation",)]
    assert trt.called("clear") == [("tf32",)]
    assert trt.called("shape") == [("ws", [1, 8, 512], [1, 8, 512], [8, 8, 512])]
    assert not trt.called("timings")
    assert not trt.called("set timings")
    assert not trt.called("capability")  # a plan for many GPUs
    assert len(list(cache.folder.glob("*.sealed"))) == 1
    assert "minutes" not in caplog.text


def test_a_plan_of_rtx_is_for_every_gpu_and_for_none(folder, cache, monkeypatch):
    trt = use(monkeypatch, "rtx")
    for gpu in (None, GPU, Gpu("NVIDIA GeForce RTX 4090", "8.9", "999.0")):
        assert plan(folder, cache, gpu) == b"plan"
    assert len(trt.called("build")) == 1


def test_another_library_is_built_again(folder, cache, monkeypatch):
    use(monkeypatch, version="11.0.0")
    plan(folder, cache)
    trt = use(monkeypatch, "rtx", version="11.0.0", plan=b"portable")
    assert plan(folder, cache) == b"portable"
    assert len(trt.called("build")) == 1
    use(monkeypatch, "rtx", version="1.8.0.1", plan=b"newer")
    assert plan(folder, cache) == b"newer"


def test_without_a_gpu_only_rtx_builds(folder, cache, monkeypatch):
    trt = use(monkeypatch)
    with pytest.raises(BackendUnavailable, match="there is none here; TensorRT for RTX builds its plans on any"):
        plan(folder, cache, gpu=None)
    assert not trt.called("build")


@pytest.mark.parametrize("library", ["tensorrt", "rtx"])
def test_no_gpu(folder, monkeypatch, library):
    use(monkeypatch, library)
    generator, rig, _ = small_parts()
    with pytest.raises(BackendUnavailable, match="the tensorrt backend needs a CUDA device, not cpu; TensorRT"):
        choose("tensorrt", BackendSpec(generator, rig, torch.device("cpu"), graphs=folder))


def test_the_drivers_version(monkeypatch):
    monkeypatch.setattr(Path, "read_text", lambda path, encoding: f"NVRM version {path}\nGCC")
    assert tensorrt_plan._driver() == "NVRM version /proc/driver/nvidia/version"

    def missing(*_, **__):
        raise FileNotFoundError("no such file")

    monkeypatch.setattr(Path, "read_text", missing)
    done = SimpleNamespace(stdout="580.65.06\n580.65.06\n")
    monkeypatch.setattr(subprocess, "run", lambda *_, **__: done)
    assert tensorrt_plan._driver() == "580.65.06"
    monkeypatch.setattr(subprocess, "run", missing)
    with pytest.raises(BackendUnavailable, match="driver cannot be told"):
        tensorrt_plan._driver()


@pytest.mark.slow
def test_the_types_of_tensorrt(tmp_path):
    """mypy over what uses TensorRT, against the types of its interface.

    The published stubs are not all valid: five lines are no Python, and errors in them are not ours.
    """
    try:
        files = importlib.metadata.files("tensorrt-stubs") or []
    except importlib.metadata.PackageNotFoundError:
        pytest.skip("needs tensorrt-stubs, see the Makefile")
    for file in files:
        if file.suffix == ".pyi":
            text = Path(str(file.locate())).read_text(encoding="utf-8")
            text = text.replace(", in: list", ", inputs: list").replace(
                ", channel_axis: int)", ", *, channel_axis: int)"
            )
            target = tmp_path / str(file)
            target.parent.mkdir(exist_ok=True)
            target.write_text(text)
    # One mistake on purpose shows that mypy looks.
    wrong = tmp_path / "wrong.py"
    wrong.write_text("import tensorrt\n\ntensorrt.Builder(1)\n")
    package = Path(stylerig_fast.__file__).parent
    checked = [str(package / "engine" / "backends" / f"tensorrt_{name}.py") for name in ("plan", "loaded", "backend")]
    command = [sys.executable, "-m", "mypy", "--config-file=", "--follow-imports=silent", "--ignore-missing-imports"]
    done = subprocess.run(
        [*command, f"--cache-dir={tmp_path / 'cache'}", *checked, str(wrong)],
        capture_output=True,
        text=True,
        env={"MYPYPATH": str(tmp_path), "PATH": ""},
        cwd=package.parent,
    )
    ours = [line for line in done.stdout.splitlines() if ".pyi:" not in line and ": note:" not in line]
    *found, summary = ours
    assert "checked 4 source files" in summary, done.stdout + done.stderr
    assert [line for line in found if "wrong.py" in line]
    assert not [line for line in found if "wrong.py" not in line]
