"""TensorRT for RTX itself builds every graph that is exported, on the CPU; and refuses to run without a GPU.

A sample by default; all with ``make test-all``.
"""

from __future__ import annotations

import logging
from functools import cache as once
from pathlib import Path

import pytest
import torch

from export.onnx import ExportOptions, export_onnx, graph
from export.tensorrt import write_plans
from stylerig_fast.engine.backends.base import BackendSpec, choose
from stylerig_fast.engine.backends.graph_folder import PRECISIONS, GraphFolder
from stylerig_fast.engine.backends.tensorrt_cache import PlanCache
from stylerig_fast.engine.backends.tensorrt_library import RTX, find_library
from stylerig_fast.engine.backends.tensorrt_loaded import DIAGNOSTICS, check_header
from stylerig_fast.engine.backends.tensorrt_plan import Profile, build, plan_for
from stylerig_fast.errors import BackendUnavailable
from tests.export.conftest import small_parts
from tests.export.small import MAKERS

pytest.importorskip("tensorrt_rtx_bindings", reason="needs TensorRT for RTX: pip install 'stylerig-fast[rtx]'")

BATCHES = {"any": None, "two": 2}
FORMS = ("subspace", "bilinear", "linear")
# Family, graph, precision, batch.
PICTURES = [
    (name, kind, precision, batch)
    for name in MAKERS
    for kind in ("generator", "edit")
    for precision in PRECISIONS
    for batch in BATCHES
]
CODES = [(form, "rig", precision, batch) for form in FORMS for precision in PRECISIONS for batch in BATCHES]
CODES += [("subspace", "reconstructor", precision, batch) for precision in PRECISIONS for batch in BATCHES]
# Every family in every precision; graphs and batches in turn, so that each comes with each.
SAMPLE = [
    (name, ("edit", "generator")[i % 2], precision, ("any", "two")[(i // 2 + j) % 2])
    for i, name in enumerate(MAKERS)
    for j, precision in enumerate(PRECISIONS)
]
SAMPLE += [(form, "rig", "fp32", batch) for form, batch in zip(FORMS, ("any", "two", "any"), strict=True)]
SAMPLE += [("subspace", "reconstructor", "fp32", "two")]


@pytest.fixture(autouse=True)
def library(monkeypatch):
    monkeypatch.setenv("STYLERIG_TENSORRT", "rtx")
    return find_library()


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("graphs")
    export_onnx(parts("mobilestylegan"), folder)
    return folder


@pytest.fixture
def cache(tmp_path):
    return PlanCache(tmp_path / "plans")


@once
def parts(name: str):
    return small_parts(form=name) if name in FORMS else small_parts(name)


def builds(library, name, kind, precision, batch):
    options = ExportOptions(PRECISIONS[precision], BATCHES[batch])
    plan, timings = build(library, graph(parts(name), kind, options).SerializeToString(), Path(kind), Profile())
    assert len(plan) > 64
    assert not timings


@pytest.mark.parametrize("each", SAMPLE, ids="-".join)
def test_a_sample_of_all_graphs_builds(library, each):
    builds(library, *each)


@pytest.mark.slow
@pytest.mark.exhaustive
@pytest.mark.parametrize("each", sorted({*PICTURES, *CODES} - {*SAMPLE}), ids="-".join)
def test_all_other_graphs_build(library, each):
    builds(library, *each)


def kept(folder, cache, library, name="generator"):
    return plan_for(library, GraphFolder(folder), name, None, Profile(), cache)


def test_a_plan_is_built_once(folder, cache, library, caplog):
    caplog.set_level(logging.WARNING)
    first = kept(folder, cache, library)
    assert caplog.text.count("building a plan of") == 1
    assert kept(folder, cache, library) == first
    assert caplog.text.count("building a plan of") == 1


def test_a_plan_with_a_changed_byte_is_built_again(folder, cache, library, caplog):
    kept(folder, cache, library)
    (path,) = cache.folder.glob("*.sealed")
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    caplog.clear()
    kept(folder, cache, library)
    assert "the seal is not ours" in caplog.text
    assert "building a plan of" in caplog.text


def test_another_graph_or_version_is_built_again(folder, cache, library, monkeypatch, caplog):
    kept(folder, cache, library)
    caplog.clear()
    kept(folder, cache, library, "edit")
    assert "building a plan of" in caplog.text
    caplog.clear()
    monkeypatch.setattr(library.module, "__version__", "1.7.2.0")
    kept(folder, cache, find_library())
    assert "building a plan of" in caplog.text


def test_export_without_a_gpu(folder, cache, tmp_path):
    said = write_plans(folder, tmp_path / "out", cache)
    assert said["library"] == str(find_library())
    assert "compute capability 8.6, 8.9, 12.0 and 12.1" in str(said["runs on"])
    assert said["batch"] == "1 to 8"
    assert said["wrote"] == [str(tmp_path / "out" / f"{name}.plan") for name in ("generator", "edit")]
    assert (tmp_path / "out" / "edit.plan").read_bytes() == kept(folder, cache, find_library(), "edit")


def test_what_it_cannot_read(folder, library):
    with pytest.raises(BackendUnavailable, match=r"broken\.onnx: TensorRT for RTX .* cannot read it: .*parse"):
        build(library, b"no graph", Path("broken.onnx"), Profile())


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_without_a_gpu_a_plan_is_refused_before_it_is_loaded(folder, cache, library):
    plan = kept(folder, cache, library)
    with pytest.raises(BackendUnavailable, match=r"cannot run its plan on this machine: .*CUDA driver"):
        check_header(library, library.module.Runtime(library.log), plan, Path("generator.onnx"))


def test_a_damaged_header_is_told(library):
    with pytest.raises(BackendUnavailable, match=r"the plan is damaged \(MALFORMED_ENGINE\)"):
        check_header(library, library.module.Runtime(library.log), b"short", Path("generator.onnx"))


def test_the_backend_needs_a_gpu(folder, library):
    small = parts("mobilestylegan")
    setting = BackendSpec(small.generator, small.rig, torch.device("cpu"), graphs=folder)
    with pytest.raises(BackendUnavailable, match=f"needs a CUDA device, not cpu; {RTX} .* is installed"):
        choose("tensorrt", setting)


def test_every_name_that_running_a_plan_needs_is_there(library):
    """What no machine without a GPU can call."""
    module = library.module
    names = {
        module.Runtime: ["deserialize_cuda_engine", "engine_header_size", "get_engine_validity"],
        module.ICudaEngine: ["create_execution_context", "create_runtime_config"],
        module.IRuntimeConfig: [
            "create_runtime_cache",
            "dynamic_shapes_kernel_specialization_strategy",
            "set_execution_context_allocation_strategy",
            "set_runtime_cache",
        ],
        module.IRuntimeCache: ["deserialize", "serialize"],
        module.IExecutionContext: [
            "execute_async_v3",
            "is_stream_capturable",
            "set_device_memory",
            "set_input_shape",
            "set_tensor_address",
            "update_device_memory_size_for_shapes",
        ],
        module.ExecutionContextAllocationStrategy: ["USER_MANAGED"],
        module.DynamicShapesKernelSpecializationStrategy: ["EAGER"],
        module.EngineValidity: ["INVALID", "SUBOPTIMAL"],
    }
    missing = [f"{kind.__name__}.{name}" for kind, each in names.items() for name in each if not hasattr(kind, name)]
    assert not missing
    known = module.EngineInvalidityDiagnostics
    assert set(DIAGNOSTICS) == set(known.__members__)
