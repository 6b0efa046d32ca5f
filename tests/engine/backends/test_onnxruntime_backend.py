"""The onnxruntime backend: on exactly the provider that was asked for, safe to share, and not growing."""

from __future__ import annotations

import json
import shutil
import sys
import threading
from types import SimpleNamespace

import numpy as np
import onnxruntime
import pytest
import torch

from export.onnx import ExportOptions, ExportParts, export_onnx
from stylerig_fast.engine import Engine
from stylerig_fast.engine.backends.base import BackendSpec, choose
from stylerig_fast.engine.backends.onnxruntime_backend import OnnxRuntimeBackend
from stylerig_fast.engine.backends.torch_backend import EagerBackend
from stylerig_fast.errors import BackendUnavailable, CheckpointError
from stylerig_fast.face.model_io import open_face_model
from stylerig_fast.generators.folder import save_generator
from tests.engine.conftest import small_generator, small_parts
from tests.format_1 import export_to_format_1


@pytest.fixture(scope="module")
def graphs(tmp_path_factory):
    folder = tmp_path_factory.mktemp("graphs")
    export_onnx(ExportParts(*small_parts(), open_face_model()), folder)
    return folder


def engine_on(backend, folder=None, **options):
    engine = Engine(*small_parts(), backend=backend, graphs=folder, **options)
    if backend == "torch":  # without compiled operations
        engine.backend = EagerBackend(BackendSpec(engine.generator, engine.rig_net, engine.device))
    return engine


def setting(folder, device="cpu", dtype=torch.float32, generator=None):
    parts = small_parts()
    return BackendSpec(generator or parts[0].eval(), parts[1].eval(), torch.device(device), dtype, folder)


def test_it_says_what_runs(graphs):
    engine = engine_on("onnxruntime", graphs)
    said = engine.backend.describe()
    assert said["synthesis"] == f"ONNX Runtime {onnxruntime.__version__}, CPUExecutionProvider"
    assert said["threads"] == torch.get_num_threads()
    assert (said["precision"], said["batch"], said["resolution"]) == ("fp32", "dynamic", 64)
    assert engine.info()["slower than"] == {}


@pytest.mark.parametrize("resolution", [64, 32])
def test_pictures_are_torch_pictures(graphs, resolution):
    ours, torchs = engine_on("onnxruntime", graphs), engine_on("torch")
    w = torchs.sample(n=3, seed=1)
    request = torchs.params(w).with_pose(yaw=10)
    for call in (lambda e: e.render(w, resolution=resolution), lambda e: e.edit(w, request, resolution=resolution)):
        assert np.abs(call(ours).astype(int) - call(torchs)).max() <= 1
    tensor = ours.render(w, output="torch")
    assert tensor.dtype == torch.uint8
    assert ours.render(w[:0]).shape == (0, 64, 64, 3)


def test_graphs_of_format_1_draw_the_same(graphs, tmp_path):
    folder = shutil.copytree(graphs, tmp_path / "former")
    export_to_format_1(folder, small_parts()[1])
    former, current = engine_on("onnxruntime", folder), engine_on("onnxruntime", graphs)
    w = current.sample(n=2, seed=1)
    request = current.params(w).with_pose(yaw=10)
    assert np.array_equal(former.edit(w, request), current.edit(w, request))


def test_a_graph_for_one_batch_serves_all(tmp_path):
    export_onnx(ExportParts(*small_parts(), open_face_model()), tmp_path, ExportOptions(batch=2))
    ours, torchs = engine_on("onnxruntime", tmp_path), engine_on("torch")
    w = torchs.sample(n=5, seed=1)
    for n in (1, 2, 5):
        assert np.abs(ours.render(w[:n]).astype(int) - torchs.render(w[:n])).max() <= 1
    assert np.abs(ours.edit(w, torchs.params(w)).astype(int) - torchs.edit(w, torchs.params(w))).max() <= 1


def test_a_larger_picture_than_was_exported(tmp_path):
    export_onnx(ExportParts(*small_parts(), open_face_model()), tmp_path, ExportOptions(resolution=32))
    engine = engine_on("onnxruntime", tmp_path, resolution=32)
    assert engine.render(engine.sample()).shape == (1, 32, 32, 3)
    with pytest.raises(ValueError, match="graphs of 32 px cannot make 64 px; export at that resolution"):
        engine.render(engine.sample(), resolution=64)


# ---- what cannot run ---------------------------------------------------------------------------


def test_no_graphs():
    with pytest.raises(BackendUnavailable, match="stylerig export onnx --out FOLDER` and pass graphs=FOLDER"):
        engine_on("onnxruntime")


def test_no_onnxruntime(graphs, monkeypatch):
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    with pytest.raises(BackendUnavailable, match=r"pip install 'stylerig-fast\[export\]'"):
        engine_on("onnxruntime", graphs)


def test_another_precision(graphs):
    with pytest.raises(BackendUnavailable, match=r"in fp32, the Engine was asked for torch\.float16; pass dtype="):
        choose("onnxruntime", setting(graphs, dtype=torch.float16))


def test_another_generator(graphs):
    other = small_generator().eval()
    other.to_image.bias.data += 1
    with pytest.raises(CheckpointError, match="graphs of the generator 'untrained'"):
        choose("onnxruntime", setting(graphs, generator=other))
    engine = Engine(other, *small_parts()[1:], backend="onnxruntime", graphs=graphs, allow_mismatch=True)
    assert engine.backend.name == "onnxruntime"


def test_bfloat16_has_no_kernels_on_the_cpu(tmp_path):
    """ONNX Runtime says so itself; should that change one day, it runs."""
    export_onnx(ExportParts(*small_parts(), open_face_model()), tmp_path, ExportOptions(torch.bfloat16))
    try:
        choose("onnxruntime", setting(tmp_path, dtype=torch.bfloat16))
    except BackendUnavailable as error:
        assert "CPUExecutionProvider, cannot run it" in str(error)  # noqa: PT017


def test_a_gpu_without_a_gpu_build(graphs):
    if "CUDAExecutionProvider" in onnxruntime.get_available_providers():
        pytest.skip("this build of ONNX Runtime has CUDA")
    with pytest.raises(BackendUnavailable, match="has .*CPUExecutionProvider, not CUDAExecutionProvider; install"):
        choose("onnxruntime", setting(graphs, device="cuda"))


@pytest.mark.parametrize("device", ["mps", "meta"])
def test_other_devices(graphs, device):
    with pytest.raises(BackendUnavailable, match=f"runs on cpu, cuda, not on {device}"):
        OnnxRuntimeBackend(setting(graphs, device=device))


def fake_runtime(taken: str):
    """A build with CUDA, whose sessions run on ``taken`` whatever was asked for."""

    class Session:
        made: list = []  # noqa: RUF012

        def __init__(self, content, options, providers):
            Session.made.append((options, providers))

        def get_providers(self):
            return [taken, "CPUExecutionProvider"]

    class ExportOptions:
        def __init__(self):
            self.entries = {}

        def add_session_config_entry(self, key, value):
            self.entries[key] = value

    return SimpleNamespace(
        __version__="0.0",
        InferenceSession=Session,
        SessionOptions=ExportOptions,
        get_available_providers=lambda: [
            "TensorrtExecutionProvider",
            "CUDAExecutionProvider",
            "CPUExecutionProvider",
        ],
    )


def test_a_silent_step_down_to_the_cpu_is_an_error(graphs, monkeypatch):
    monkeypatch.setitem(sys.modules, "onnxruntime", fake_runtime("CPUExecutionProvider"))
    with pytest.raises(BackendUnavailable, match="asked for CUDAExecutionProvider, ONNX Runtime took CPUExecution"):
        choose("onnxruntime", setting(graphs, device="cuda"))


@pytest.mark.parametrize(("variable", "names"), [("", ["CUDA"]), ("tensorrt", ["Tensorrt", "CUDA"])])
def test_providers_of_a_gpu(graphs, monkeypatch, variable, names):
    runtime = fake_runtime(f"{names[0]}ExecutionProvider")
    monkeypatch.setitem(sys.modules, "onnxruntime", runtime)
    monkeypatch.setenv("STYLERIG_ONNXRUNTIME_PROVIDER", variable)
    backend = choose("onnxruntime", setting(graphs, device="cuda:1")).backend
    for options, providers in runtime.InferenceSession.made:
        assert providers == [(f"{name}ExecutionProvider", {"device_id": "1"}) for name in names]
        assert options.entries == {"session.disable_cpu_ep_fallback": "1"}
    assert f"{names[0]}ExecutionProvider" in str(backend.describe()["synthesis"])


def test_an_unknown_provider(graphs, monkeypatch):
    monkeypatch.setenv("STYLERIG_ONNXRUNTIME_PROVIDER", "rocm")
    with pytest.raises(BackendUnavailable, match="STYLERIG_ONNXRUNTIME_PROVIDER=rocm: for cpu expected cpu"):
        choose("onnxruntime", setting(graphs))


# ---- in use ------------------------------------------------------------------------------------


def test_threads_may_share_it(graphs):
    engine = engine_on("onnxruntime", graphs)
    w = engine.sample(n=8, seed=3)
    expected = engine.render(w)
    wrong = []

    def work(index):
        for _ in range(20):
            if not np.array_equal(engine.render(w[index : index + 1])[0], expected[index]):
                wrong.append(index)

    threads = [threading.Thread(target=work, args=(index,)) for index in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong


def resident() -> int:
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * 4096


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads /proc")
def test_many_edits_do_not_grow_memory(graphs):
    engine = engine_on("onnxruntime", graphs)
    w = engine.sample()
    request = engine.params(w).with_pose(yaw=5)
    for _ in range(200):
        engine.edit(w, request)
    before = resident()
    for _ in range(1000):
        engine.edit(w, request)
    assert resident() - before < 4 << 20


def test_an_engines_own_folder_holds_its_graphs(graphs, tmp_path, monkeypatch):
    """And the package onnx is not needed to run them."""
    monkeypatch.setitem(sys.modules, "onnx", None)
    generator, rig, reconstructor = small_parts()
    save_generator(tmp_path / "generator", generator)
    rig.save_pretrained(tmp_path / "rig")
    reconstructor.save_pretrained(tmp_path / "reconstructor")
    reach = {"angles": dict.fromkeys(("yaw", "pitch", "roll"), (-30.0, 30.0)), "expression": {}}
    (tmp_path / "reach.json").write_text(json.dumps(reach))
    shutil.copytree(graphs, tmp_path / "onnx")
    engine = Engine.from_pretrained(tmp_path, backend="onnxruntime")
    assert engine.backend.describe()["graphs"] == str(tmp_path / "onnx")
    w = engine.sample()
    assert np.abs(engine.render(w).astype(int) - engine_on("torch").render(w)).max() <= 1
