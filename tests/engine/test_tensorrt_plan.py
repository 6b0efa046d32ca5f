"""The tensorrt backend, as far as it goes without TensorRT and without a GPU: a stand-in takes TensorRT's place."""

from __future__ import annotations

import importlib.metadata
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

import stylerig_fast
from export.onnx import Options, Parts, export_onnx
from stylerig_fast.engine import tensorrt_plan
from stylerig_fast.engine.backend import Setting, choose
from stylerig_fast.engine.graphs import GraphFolder
from stylerig_fast.engine.plan_cache import PlanCache
from stylerig_fast.engine.tensorrt_plan import Gpu, Profile, plan_for, tensorrt_version
from stylerig_fast.errors import BackendUnavailable
from stylerig_fast.face.model_io import open_face_model
from tests.engine.conftest import small_parts

GPU = Gpu("NVIDIA H200", "9.0", "580.65.06")


class StandIn:
    """The part of TensorRT's interface that builds plans; remembers what it was asked."""

    def __init__(self, shape, version="10.13.0.35", problems=(), plan=b"plan"):
        self.__version__, self.shape = version, shape
        self.problems, self.plan = list(problems), plan
        self.calls = []
        self.WARNING = 2
        self.NetworkDefinitionCreationFlag = SimpleNamespace(STRONGLY_TYPED=0 if version.startswith("11") else 1)
        self.MemoryPoolType = SimpleNamespace(WORKSPACE="workspace")
        self.BuilderFlag = SimpleNamespace(TF32="tf32")
        self.Logger = type("Logger", (), {"WARNING": 2, "__init__": lambda logger, level: None})
        self.Dims = list

    def note(self, name, result=None):
        def call(*arguments, **named):
            self.calls.append((name, *arguments, *named.items()))
            return result

        return call

    def Builder(self, logger):  # noqa: N802
        inputs = [SimpleNamespace(name="ws", shape=self.shape)]
        network = SimpleNamespace(num_inputs=1, get_input=inputs.__getitem__)
        config = SimpleNamespace(
            set_memory_pool_limit=self.note("memory"),
            clear_flag=self.note("clear"),
            create_timing_cache=self.note("timings", "cache"),
            set_timing_cache=self.note("set timings"),
            get_timing_cache=lambda: SimpleNamespace(serialize=lambda: b"measured"),
            add_optimization_profile=self.note("profile"),
        )
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

    def called(self, name):
        return [call[1:] for call in self.calls if call[0] == name]


def use(monkeypatch, shape=(-1, 8, 512), **options) -> StandIn:
    stand_in = StandIn(shape, **options)
    monkeypatch.setitem(sys.modules, "tensorrt", stand_in)
    return stand_in


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("graphs")
    export_onnx(Parts(*small_parts(), open_face_model()), folder)
    return folder


@pytest.fixture
def cache(tmp_path):
    return PlanCache(tmp_path / "plans")


def plan(folder, cache, gpu=GPU, profile=None):
    return plan_for(GraphFolder(folder), "generator", gpu, profile or Profile(), cache)


@pytest.mark.parametrize("version", ["10.0.1", "10.13.0.35", "11.4.0.106"])
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
    export_onnx(Parts(*small_parts(), open_face_model()), tmp_path, Options(torch.float16))
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
    with pytest.raises(BackendUnavailable, match="cannot build it; its log says why"):
        plan(folder, cache)


def test_no_tensorrt(monkeypatch):
    monkeypatch.setitem(sys.modules, "tensorrt", None)
    with pytest.raises(BackendUnavailable, match="pip install tensorrt"):
        tensorrt_version()


def test_its_types_alone_are_not_tensorrt(monkeypatch):
    monkeypatch.setitem(sys.modules, "tensorrt", SimpleNamespace())
    with pytest.raises(BackendUnavailable, match="only TensorRT's types are installed"):
        tensorrt_version()


def test_an_old_tensorrt(monkeypatch):
    use(monkeypatch, version="8.6.1")
    with pytest.raises(BackendUnavailable, match=r"TensorRT 8\.6\.1 is installed, expected 10 or newer"):
        tensorrt_version()


def test_no_gpu(folder, monkeypatch):
    use(monkeypatch)
    generator, rig, _ = small_parts()
    with pytest.raises(BackendUnavailable, match="the tensorrt backend needs a CUDA device, not cpu"):
        choose("tensorrt", Setting(generator, rig, torch.device("cpu"), graphs=folder))


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
    checked = [str(package / "engine" / f"tensorrt_{name}.py") for name in ("plan", "backend")]
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
    assert "checked 3 source files" in summary, done.stdout + done.stderr
    assert [line for line in found if "wrong.py" in line]
    assert not [line for line in found if "wrong.py" not in line]
