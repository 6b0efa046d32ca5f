"""What loading a plan asks of the library and what it refuses, with stand-ins: no GPU takes part."""

from __future__ import annotations

from pathlib import Path

import pytest

from stylerig_fast.engine.backends.tensorrt_cache import PlanCache
from stylerig_fast.engine.backends.tensorrt_library import find_library
from stylerig_fast.engine.backends.tensorrt_loaded import DIAGNOSTICS, LoadedPlan
from stylerig_fast.errors import BackendUnavailable
from tests.engine.backends.tensorrt_stand_in import use

LABEL = {"kind": "kernels", "gpu": "NVIDIA GeForce RTX 4090", "capability": "8.9", "driver": "580", "version": "1.7.1"}


@pytest.fixture
def cache(tmp_path):
    return PlanCache(tmp_path / "plans")


def load(cache, label=None):
    return LoadedPlan(find_library(), Path("edit.onnx"), b"headplan", cache, label or LABEL)


def test_rtx_judges_the_header_before_it_loads(monkeypatch, cache):
    trt = use(monkeypatch, "rtx")
    load(cache)
    assert trt.called("validity") == [(b"head",)]


@pytest.mark.parametrize("bit", range(len(DIAGNOSTICS)))
def test_every_diagnosis_is_told_in_words(monkeypatch, cache, bit):
    trt = use(monkeypatch, "rtx", version="1.7.1.116")
    trt.validity = (trt.EngineValidity.INVALID, 1 << bit)
    monkeypatch.setattr(trt, "Runtime", no_load(trt))
    name, words = list(DIAGNOSTICS.items())[bit]
    with pytest.raises(BackendUnavailable) as raised:
        load(cache)
    start = "edit.onnx: TensorRT for RTX 1.7.1.116 cannot run its plan on this machine: "
    assert str(raised.value) == f"{start}{words} ({name})"


def no_load(trt):
    made = trt.Runtime

    def runtime(logger):
        one = made(logger)
        one.deserialize_cuda_engine = lambda plan: pytest.fail("a plan that is not valid here was loaded")
        return one

    return runtime


def test_no_diagnosis_says_what_the_library_said(monkeypatch, cache):
    trt = use(monkeypatch, "rtx")
    trt.validity = (trt.EngineValidity.INVALID, 0)
    find_library().log.log(1, "CUDA driver version is insufficient")
    with pytest.raises(BackendUnavailable, match="its plan on this machine: CUDA driver version is insufficient"):
        load(cache)


def test_a_plan_that_is_only_slower_here_is_loaded(monkeypatch, cache, caplog):
    trt = use(monkeypatch, "rtx")
    trt.validity = (trt.EngineValidity.SUBOPTIMAL, trt.EngineInvalidityDiagnostics.OLD_CUDA_DRIVER)
    load(cache)
    assert "slower here than it could: NVIDIA's driver is too old (OLD_CUDA_DRIVER)" in caplog.text


@pytest.mark.parametrize("library", ["tensorrt", "rtx"])
def test_a_plan_that_the_library_does_not_load(monkeypatch, cache, library):
    use(monkeypatch, library).loads = False
    with pytest.raises(BackendUnavailable, match=r"edit\.onnx: TensorRT .* cannot load its own plan: no memory"):
        load(cache)


def test_contexts_of_tensorrt_get_their_memory_from_us(monkeypatch, cache):
    trt = use(monkeypatch)
    plan = load(cache)
    assert plan.context() == "context"
    plan.keep_kernels()
    assert trt.called("context") == [("user managed",)]
    assert not trt.called("validity")
    assert not list(cache.folder.glob("*.sealed"))


def test_contexts_of_rtx(monkeypatch, cache):
    trt = use(monkeypatch, "rtx")
    load(cache).context()
    assert trt.called("strategy") == [("user managed",)]
    assert trt.config.dynamic_shapes_kernel_specialization_strategy == "eager"
    assert trt.called("context") == [(trt.config,)]
    assert len(trt.called("runtime cache")) == 1
    assert not trt.called("kernels")


def test_kernels_are_kept_for_the_next_start(monkeypatch, cache):
    trt = use(monkeypatch, "rtx")
    load(cache).keep_kernels()
    trt.kernels = b"compiled for more shapes"
    plan = load(cache)
    plan.keep_kernels()
    load(cache)
    assert trt.called("kernels") == [(b"compiled",), (b"compiled for more shapes",)]
    assert len(list(cache.folder.glob("*.sealed"))) == 1


def test_kernels_are_written_when_they_change(monkeypatch, cache):
    trt = use(monkeypatch, "rtx")
    plan = load(cache)
    plan.keep_kernels()
    before = cache.path(LABEL).stat().st_mtime_ns
    plan.keep_kernels()
    assert cache.path(LABEL).stat().st_mtime_ns == before
    trt.kernels = b"more"
    plan.keep_kernels()
    assert cache.read(LABEL) == b"more"


@pytest.mark.parametrize("key", ["gpu", "capability", "driver", "version"])
def test_kernels_of_another_place_are_not_offered(monkeypatch, cache, key):
    trt = use(monkeypatch, "rtx")
    load(cache).keep_kernels()
    load(cache, LABEL | {key: "other"})
    assert not trt.called("kernels")


def test_kernels_with_a_changed_byte_are_not_offered(monkeypatch, cache, caplog):
    trt = use(monkeypatch, "rtx")
    load(cache).keep_kernels()
    content = bytearray(cache.path(LABEL).read_bytes())
    content[-1] ^= 1
    cache.path(LABEL).write_bytes(content)
    plan = load(cache)
    assert not trt.called("kernels")
    assert "the seal is not ours" in caplog.text
    plan.keep_kernels()
    assert cache.read(LABEL) == b"compiled"


def test_kernels_that_the_library_rejects_are_compiled_again(monkeypatch, cache, caplog):
    trt = use(monkeypatch, "rtx")
    load(cache).keep_kernels()
    trt.takes_kernels, trt.kernels = False, b"compiled"
    plan = load(cache)
    assert "compiling them again" in caplog.text
    cache.path(LABEL).unlink()
    plan.keep_kernels()
    assert cache.read(LABEL) == b"compiled"
