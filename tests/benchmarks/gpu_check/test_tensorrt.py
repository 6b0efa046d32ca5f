"""What the check asks TensorRT for RTX: with a stand-in for the library, and without one."""

from __future__ import annotations

import json
import sys
from types import SimpleNamespace

import pytest

from benchmarks.gpu_check import tensorrt
from stylerig_fast.engine.backends.tensorrt_library import VARIABLE
from tests.engine.backends.tensorrt_stand_in import ALL_MODULES, use


@pytest.fixture
def results(tmp_path, monkeypatch):
    """Runs the step on the CPU; returns its exit status and what it wrote."""
    graph = SimpleNamespace(SerializeToString=lambda: b"graph")
    monkeypatch.setattr(tensorrt, "open_networks", lambda options: SimpleNamespace(plain=None))
    monkeypatch.setattr(tensorrt, "ExportParts", SimpleNamespace(of=lambda engine: None))
    monkeypatch.setattr(tensorrt, "graph", lambda *_: graph)
    monkeypatch.setattr(sys, "argv", ["tensorrt", "--device", "cpu", "--json", str(tmp_path / "out.json")])
    monkeypatch.delenv(VARIABLE, raising=False)  # restored afterwards, whatever the step sets

    def run():
        monkeypatch.setenv(VARIABLE, "")
        return tensorrt.main(), json.loads((tmp_path / "out.json").read_text())

    return run


def test_a_plan_for_any_gpu_and_one_for_this(results, monkeypatch):
    trt = use(monkeypatch, "rtx")
    unsupported = trt.EngineInvalidityDiagnostics.UNSUPPORTED_CC
    trt.validity = (trt.EngineValidity.INVALID, unsupported)
    status, written = results()
    assert status == 0 and written["version"] == "1.7.1.116"
    for name in ("any GPU", "this GPU"):
        assert written[name]["diagnostics"] == ["UNSUPPORTED_CC"] and written[name]["MB"] == 4e-6
    assert len(trt.called("build")) == 2 and trt.called("capability") == [("current", 0)]
    assert trt.called("shape") == [("ws", [1, 8, 512], [1, 8, 512], [4, 8, 512])] * 2


def test_a_plan_that_cannot_be_built_is_said(results, monkeypatch):
    use(monkeypatch, "rtx", plan=None)
    status, written = results()
    assert status == 0
    assert "cannot build it: no kernel for the node" in written["any GPU"]["error"]


def test_tensorrt_10_does_not_take_its_place(results, monkeypatch):
    use(monkeypatch, "tensorrt")
    assert results() == (0, {"absent": "TensorRT for RTX is not installed"})


def test_no_library(results, monkeypatch):
    for name in ALL_MODULES:
        monkeypatch.setitem(sys.modules, name, None)
    assert results()[1] == {"absent": "TensorRT for RTX is not installed"}
