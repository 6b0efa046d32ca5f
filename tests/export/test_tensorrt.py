"""The comparison that TensorRT's plans have to pass, with backends that are right and wrong on purpose."""

from __future__ import annotations

import sys

import pytest
import torch

from export.tensorrt import Agreement, build_plans, check, plans, write_plans
from stylerig_fast.engine.backends.tensorrt_cache import PlanCache
from stylerig_fast.errors import BackendUnavailable, ExportError
from tests.engine.backends.tensorrt_stand_in import use


class Backend:
    """torch's own pictures, with something done to them."""

    name = "stand-in"

    def __init__(self, engine, change):
        self.torch, self.change = engine.backend, change

    def pictures(self, w, resolution):
        return self.change(self.torch.pictures(w, resolution))

    def edit(self, w, request, source, resolution):
        return self.change(self.torch.edit(w, request, source, resolution))

    def plan(self, name):
        return name.encode()


def same(images):
    return images


def one_level(images):
    return images.clamp(1, 254) + 1


def mirrored(images):
    return images.flip(2)


def test_equal_pictures_pass(engine):
    found = check(Backend(engine, same), engine, torch.float32)
    assert found == {
        "generator largest error of 255": 0,
        "generator PSNR dB": float("inf"),
        "edit largest error of 255": 0,
        "edit PSNR dB": float("inf"),
    }


@pytest.mark.parametrize("precision", [torch.float32, torch.float16])
def test_a_level_of_difference_passes(engine, precision):
    found = check(Backend(engine, one_level), engine, precision)
    assert found["edit largest error of 255"] <= 2
    assert 40 < found["edit PSNR dB"] < 50


@pytest.mark.parametrize("precision", [torch.float32, torch.bfloat16])
def test_other_pictures_are_refused(engine, precision):
    with pytest.raises(ExportError, match=r"\(generator\) are not torch's: they differ by up to \d+ of 255, PSNR"):
        check(Backend(engine, mirrored), engine, precision)


def test_without_a_gpu(engine, graphs, monkeypatch):
    use(monkeypatch)
    with pytest.raises(BackendUnavailable, match="the tensorrt backend needs a CUDA device"):
        build_plans(engine, graphs)


@pytest.mark.parametrize("library", [[], ["tensorrt"]])
def test_plans_without_a_gpu_want_a_library_that_can(graphs, tmp_path, monkeypatch, library):
    use(monkeypatch)
    for missing in {"tensorrt"} - {*library}:
        monkeypatch.setitem(sys.modules, missing, None)
    with pytest.raises(BackendUnavailable, match=r"TensorRT for RTX.*pip install 'stylerig-fast\[rtx\]'"):
        write_plans(graphs, tmp_path / "out", PlanCache(tmp_path / "plans"))
    assert not (tmp_path / "out").exists()


def test_plans_without_a_gpu(graphs, tmp_path, monkeypatch):
    use(monkeypatch, "rtx", version="1.7.1.116")
    said = write_plans(graphs, tmp_path / "out", PlanCache(tmp_path / "plans"))
    assert said["library"] == "TensorRT for RTX 1.7.1.116"
    assert said["compared with torch"] == "no: there is no GPU here"
    assert [path.name for path in sorted((tmp_path / "out").iterdir())] == ["edit.plan", "generator.plan"]
    assert (tmp_path / "out" / "edit.plan").read_bytes() == b"plan"
    assert write_plans(graphs, None, PlanCache(tmp_path / "plans"))["wrote"] == []


def test_plans_by_graph(engine):
    assert plans(Backend(engine, same)) == {"generator": b"generator", "edit": b"edit"}


def test_agreement():
    a = torch.zeros(1, 2, 2, 3, dtype=torch.uint8)
    b = a.clone()
    b[0, 0, 0, 0] = 12
    found = Agreement.of(a, b)
    assert found.largest == 12
    assert found.psnr == pytest.approx(10 * torch.log10(torch.tensor(255**2 / (144 / 12))).item())
