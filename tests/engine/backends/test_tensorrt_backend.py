"""What the backend asks of TensorRT, step by step: plans that "run" read and write the addresses that they were given.

Tensors are on the CPU and CUDA's streams and graphs are stand-ins: nothing is learnt about kernels.
"""

from __future__ import annotations

import ctypes
import shutil
from contextlib import contextmanager, nullcontext
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

from export.onnx import ExportOptions, ExportParts, export_onnx
from stylerig_fast.engine.backends.base import BackendSpec
from stylerig_fast.engine.backends.cuda_graph import WARM_UP
from stylerig_fast.engine.backends.tensorrt_backend import TensorRTBackend
from stylerig_fast.engine.backends.tensorrt_cache import PlanCache
from stylerig_fast.engine.backends.tensorrt_plan import Gpu
from stylerig_fast.errors import BackendUnavailable
from stylerig_fast.face.model_io import open_face_model
from tests.engine.backends.tensorrt_stand_in import use
from tests.engine.conftest import small_parts
from tests.format_1 import export_to_format_1

GPU = Gpu("NVIDIA GeForce RTX 4090", "8.9", "580.65.06")
BYTES = 1000  # of activations for each picture
SIZE = small_parts()[0].resolution


class Context:
    """One execution context: its pictures have the mean of the codes' first numbers as their only level."""

    def __init__(self, refuses=""):
        self.refuses, self.shapes, self.addresses, self.memory = refuses, {}, {}, (0, 0)
        self.runs = 0

    def set_input_shape(self, name, shape):
        self.shapes[name] = shape
        return self.refuses != "set_input_shape"

    def set_tensor_address(self, name, address):
        self.addresses[name] = address
        return self.refuses != ("output" if name == "image" else "input")

    def update_device_memory_size_for_shapes(self):
        return BYTES * next(iter(self.shapes.values()))[0]

    def set_device_memory(self, address, size):
        self.memory = address, size

    def is_stream_capturable(self, stream):
        return self.refuses != "is_stream_capturable"

    def execute_async_v3(self, stream):
        assert self.memory[1] >= self.update_device_memory_size_for_shapes()
        self.runs += 1
        name = "ws" if "ws" in self.shapes else "w"
        batch = self.shapes[name][0]
        codes = seen(self.addresses[name], ctypes.c_float, self.shapes[name])
        pictures = seen(self.addresses["image"], ctypes.c_uint8, (batch, SIZE, SIZE, 3))
        pictures[:] = codes[:, 0, 0].reshape(-1, 1, 1, 1)
        return self.refuses != "execute_async_v3"


def seen(address, kind, shape):
    """The numbers that lie at an address."""
    count = int(np.prod(shape))
    return np.frombuffer((kind * count).from_address(address), dtype=kind).reshape(shape)


class OnTheCpu(TensorRTBackend):
    """The backend with its tensors on the CPU."""

    device = property(lambda self: torch.device("cpu"), lambda self, device: None)


@pytest.fixture(params=["tensorrt", "rtx"])
def trt(request, monkeypatch):
    """A library, and a CUDA whose graphs run again what was run while they were captured."""
    trt: Any = use(monkeypatch, request.param)
    trt.contexts, trt.refuses, trt.modes = [], "", []
    capturing: list[Any] = []

    def context(how):
        trt.contexts.append(Context(trt.refuses))
        run = trt.contexts[-1].execute_async_v3

        def execute(stream):
            for graph in capturing:
                graph.recorded.append(run)
            return run(stream)

        trt.contexts[-1].execute_async_v3 = execute
        return trt.contexts[-1]

    class Graph:
        def __init__(self):
            self.recorded = []

        def replay(self):
            for run in self.recorded:
                run(0)

    @contextmanager
    def captured(graph, capture_error_mode):
        trt.modes.append(capture_error_mode)
        if trt.refuses == "capture":
            raise RuntimeError("operation not permitted when stream is capturing")
        capturing.append(graph)
        yield
        capturing.remove(graph)

    made = trt.Runtime

    def runtime(logger):
        one = made(logger)
        engine = SimpleNamespace(create_runtime_config=lambda: trt.config, create_execution_context=context)
        one.deserialize_cuda_engine = lambda plan: engine
        return one

    stream = SimpleNamespace(cuda_stream=0, wait_stream=lambda other: None, wait_event=trt.note("wait"))
    cuda = {
        "device": lambda device: nullcontext(),
        "stream": lambda stream: nullcontext(),
        "Stream": lambda: stream,
        "current_stream": lambda: stream,
        "Event": lambda: SimpleNamespace(record=trt.note("record")),
        "CUDAGraph": Graph,
        "graph": captured,
    }
    for name, replacement in cuda.items():
        monkeypatch.setattr(torch.cuda, name, replacement)
    monkeypatch.setattr(trt, "Runtime", runtime)
    monkeypatch.setattr(Gpu, "of", lambda device: GPU)
    return trt


@pytest.fixture(scope="module")
def parts():
    return ExportParts(*small_parts(), open_face_model())


@pytest.fixture(scope="module", params=[None, 3], ids=["any batch", "batch of 3"])
def folder(request, parts, tmp_path_factory):
    folder = tmp_path_factory.mktemp("graphs")
    export_onnx(parts, folder, ExportOptions(batch=request.param))
    return folder


@pytest.fixture
def backend(trt, parts, folder, tmp_path):
    setting = BackendSpec(parts.generator, parts.rig, torch.device("cuda"), graphs=folder)
    return OnTheCpu(setting, PlanCache(tmp_path / "plans"))


def codes(backend, count):
    manifest = backend.graphs.manifest
    return torch.arange(count).float().view(-1, 1, 1).expand(count, manifest.num_ws, manifest.w_dim)


def draw(backend, count, graph="generator"):
    w = codes(backend, count)
    if graph == "generator":
        return backend.pictures(w, SIZE)
    width = sum(backend.graphs.manifest.sizes.values())
    return backend.edit(w, torch.zeros(count, width), torch.zeros(count, width), SIZE)


def test_a_plan_of_a_graph_of_format_1_gets_the_source_under_its_former_name(trt, parts, folder, tmp_path):
    former = shutil.copytree(folder, tmp_path / "former")
    export_to_format_1(former, parts.rig)
    backend = OnTheCpu(
        BackendSpec(parts.generator, parts.rig, torch.device("cuda"), graphs=former), PlanCache(tmp_path)
    )
    assert draw(backend, 3, "edit").float().mean((1, 2, 3)).tolist() == [0, 1, 2]
    assert set(trt.contexts[0].shapes) == {"w", "params", "own"}


@pytest.mark.parametrize("graph", ["generator", "edit"])
@pytest.mark.parametrize("count", [1, 3, 11])
def test_pictures_of_every_batch(backend, graph, count):
    for _ in range(2):
        images = draw(backend, count, graph)
        assert images.shape == (count, SIZE, SIZE, 3)
        assert images.float().mean((1, 2, 3)).tolist() == list(range(count))


def test_a_shape_is_captured_once_and_then_replayed(backend, trt):
    draw(backend, 3)
    assert [context.runs for context in trt.contexts] == [WARM_UP + 2]
    draw(backend, 3)
    assert [context.runs for context in trt.contexts] == [WARM_UP + 3]
    assert trt.modes == ["thread_local"]
    draw(backend, 3, "edit")
    assert len(trt.contexts) == 2
    assert set(trt.contexts[1].shapes) == {"w", "params", "source"}


def test_contexts_share_memory_that_grows(backend, trt):
    for count in (3, 2, 8):
        draw(backend, count)
    draw(backend, 8, "edit")
    addresses = [context.memory for context in trt.contexts]
    if backend.graphs.manifest.static_batch:
        assert addresses == [addresses[0]] * 2
    else:
        first, smaller, larger, edit = addresses
        assert first == smaller
        assert edit == larger != first
        assert (first[1], larger[1]) == (3 * BYTES, 8 * BYTES)
        # Captured graphs refer to it.
        assert [ready.memory.numel() // BYTES for ready in backend._ready.values()] == [3, 3, 8, 8]


def test_runs_wait_for_each_other_on_the_gpu(backend, trt):
    draw(backend, 3)
    draw(backend, 3, "edit")
    assert [name for name, *_ in trt.calls if name in ("wait", "record")] == ["wait", "record"] * 2


def test_kernels_are_kept_after_a_capture(backend, trt):
    before = len(list(backend._cache.folder.glob("*.sealed")))
    draw(backend, 3)
    after = len(list(backend._cache.folder.glob("*.sealed")))
    assert after - before == int(backend.library.portable)


@pytest.mark.parametrize(
    ("step", "message"),
    [
        ("set_input_shape", "refused the shape of 'ws': no such thing"),
        ("input", "refused the input 'ws': no such thing"),
        ("output", "refused the output 'image': no such thing"),
        ("execute_async_v3", "refused to run: no such thing"),
        ("is_stream_capturable", "refused to be captured in a CUDA graph: no such thing"),
        ("capture", "cannot be captured in a CUDA graph: operation not permitted when stream is capturing"),
    ],
)
def test_whatever_fails_is_told(backend, trt, step, message):
    if step == "is_stream_capturable" and not backend.library.portable:
        pytest.skip("TensorRT 10 and 11 are not asked")
    trt.refuses = step
    backend.library.said()
    backend.library.log.log(1, "no such thing")
    with pytest.raises(BackendUnavailable, match=rf"generator\.onnx: .*TensorRT.* {message}"):
        draw(backend, 3)
    assert not backend._ready


def test_what_it_says_of_itself(backend):
    said = backend.describe()
    assert said["synthesis"] == f"{backend.library}, captured in a CUDA graph"
    assert (said["gpu"], said["profile"]) == (GPU.name, "1, 1, 8")


def test_plans_for_other_programs(backend):
    assert backend.plan("edit") == b"plan"
