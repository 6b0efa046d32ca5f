"""Which TensorRT is taken, and what is said where there is none."""

from __future__ import annotations

import importlib
import logging
import sys
from types import SimpleNamespace

import pytest

from stylerig_fast.engine.backends.tensorrt_library import RTX, TENSORRT, find_library
from stylerig_fast.errors import BackendUnavailable
from tests.engine.backends.tensorrt_stand_in import StandIn, use


@pytest.mark.parametrize("version", ["10.1.0", "10.13.0.35", "11.4.0.106"])
def test_tensorrt(monkeypatch, version):
    module = use(monkeypatch, version=version)
    library = find_library()
    assert (library.name, library.version, library.module, library.portable) == (TENSORRT, version, module, False)
    assert str(library) == f"TensorRT {version}"


@pytest.mark.parametrize("module", ["tensorrt_rtx", "tensorrt_rtx_bindings"])
def test_tensorrt_for_rtx(monkeypatch, module):
    use(monkeypatch, "rtx")
    monkeypatch.setitem(sys.modules, "tensorrt_rtx_bindings", None)
    monkeypatch.setitem(sys.modules, module, StandIn(module, "1.7.1.116"))
    library = find_library()
    assert (library.name, library.module.__name__, library.portable) == (RTX, module, True)
    assert str(library) == "TensorRT for RTX 1.7.1.116"


def test_tensorrt_comes_first_and_the_environment_decides(monkeypatch):
    use(monkeypatch)
    monkeypatch.setitem(sys.modules, "tensorrt_rtx_bindings", StandIn("tensorrt_rtx_bindings", "1.7.1.116"))
    assert find_library().name == TENSORRT
    monkeypatch.setenv("STYLERIG_TENSORRT", "rtx")
    assert find_library().name == RTX
    monkeypatch.setenv("STYLERIG_TENSORRT", "tensorrt")
    assert find_library().name == TENSORRT


def test_one_that_is_asked_for_and_not_there(monkeypatch):
    use(monkeypatch)
    monkeypatch.setenv("STYLERIG_TENSORRT", "rtx")
    with pytest.raises(BackendUnavailable, match=r"TensorRT for RTX: .*stylerig-fast\[rtx\]") as raised:
        find_library()
    assert "pip install tensorrt" not in str(raised.value)


def test_an_unknown_one(monkeypatch):
    monkeypatch.setenv("STYLERIG_TENSORRT", "lean")
    with pytest.raises(BackendUnavailable, match="STYLERIG_TENSORRT=lean: expected tensorrt or rtx"):
        find_library()


def test_none(monkeypatch):
    use(monkeypatch)
    monkeypatch.setitem(sys.modules, "tensorrt", None)
    with pytest.raises(BackendUnavailable, match=r"install tensorrt\); TensorRT for RTX: .*'stylerig-fast\[rtx\]'"):
        find_library()


@pytest.mark.parametrize(
    ("module", "message"),
    [
        (SimpleNamespace(), "only the types of tensorrt are installed"),
        (StandIn(version="8.6.1"), r"TensorRT: version 8\.6\.1, expected 10\.1 or newer"),
        (StandIn(version="10.0.1"), r"TensorRT: version 10\.0\.1, expected 10\.1 or newer"),
    ],
)
def test_types_and_old_versions_are_not_taken(monkeypatch, module, message):
    use(monkeypatch)
    monkeypatch.setitem(sys.modules, "tensorrt", module)
    with pytest.raises(BackendUnavailable, match=message):
        find_library()
    monkeypatch.setitem(sys.modules, "tensorrt_rtx_bindings", StandIn("tensorrt_rtx_bindings", "1.7.1.116"))
    assert find_library().name == RTX


def test_a_library_that_cannot_be_loaded(monkeypatch):
    use(monkeypatch)

    def broken(name):
        raise OSError(f"{name}: libnvinfer.so.11: cannot open shared object file")

    monkeypatch.setattr(importlib, "import_module", broken)
    with pytest.raises(BackendUnavailable, match=r"tensorrt: libnvinfer\.so\.11: cannot open"):
        find_library()


def test_what_the_library_says(monkeypatch, caplog):
    use(monkeypatch)
    library = find_library()
    assert library.log is find_library().log
    caplog.set_level(logging.INFO)
    for severity, text in ((1, "a\n  b"), (1, "a\n  b"), (0, "c"), (2, "careful"), (3, "nothing")):
        library.log.log(severity, text)
    assert library.said() == "a b; c"
    assert library.said() == "it does not say why"
    assert "careful" in caplog.text
    assert "nothing" not in caplog.text
