"""Run on the pretended device by test_pretended_cuda.py: commands, with ``--device cuda``."""

from __future__ import annotations

import json
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch

from benchmarks.__main__ import main as bench
from benchmarks.suites import edit
from benchmarks.suites.ops import benchmark as ops_bench
from benchmarks.suites.ops.benchmark import ALL
from benchmarks.suites.ops.measure import MachineRates
from benchmarks.suites.ops.scene import dense_model
from stylerig_fast.cli import main as stylerig
from tests.benchmarks.conftest import quick_probes  # noqa: F401  # applies to every test here

CUDA = "--device cuda --threads 1".split()
FEW = "--samples 2 --seconds 0 --rounds 2".split()


def report_of(tmp_path: Path, *words: str) -> Any:
    assert bench([*words, *CUDA, "--json", str(tmp_path / "out.json")]) == 0
    return json.loads((tmp_path / "out.json").read_text())


@pytest.mark.parametrize("command", ["edit", "batch"])
def test_pictures(command: str, model: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(edit, "device_times", partial(edit.device_times, count=2))
    sizes = {"edit": [*FEW, *"--people 1 --edits 2 --stages 2 --resolutions 64".split()]}
    words = sizes.get(command, "--batches 2 --calls 2".split())
    report = report_of(tmp_path, command, "--model", model, "--peers", "eager", *words)
    rows = {(row["name"], row["precision"]): row for row in report[command]["rows"]}
    assert {name for name, _ in rows} >= {"cuda_graph", "torch", "PyTorch eager"}
    for (name, precision), row in rows.items():
        assert not row["refused"], row
        assert row["rounds"], (name, precision)
    if command == "edit":
        assert all(rows["cuda_graph", kind]["device"] > 0 for kind in ("float32", "float16"))


def test_train(tmp_path: Path) -> None:
    report = report_of(tmp_path, "train", *FEW, *"--portraits 8 --pixels 16 --slots 4 --components 8".split())
    assert [row["name"] for row in report["train"]["rows"]] == ["reconstructor", "rig"]
    for row in report["train"]["rows"]:
        assert row["parity"] < 1e-4 and not row["refused"] and row["figures"]["samples"] == 2


def test_ops(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ops_bench, "open_face_model", lambda: dense_model(600, 3, 2, 3))
    monkeypatch.setattr(ops_bench, "ALL", ALL)
    monkeypatch.setattr(ops_bench, "measure_rates", lambda timer: MachineRates(timer, 1e10, 1e11))
    out = tmp_path / "figures.json"
    ops_bench.OpsBenchmark(batch=2, size=16, device="cuda", json=out).run()
    rows = json.loads(out.read_text())["ops"]["rows"]
    assert {"rasterize", "masked_photometric forward", "morphable forward"} <= {row["name"] for row in rows}


def test_doctor(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.version, "cuda", "13.0")
    assert stylerig(["doctor", "--json"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert report["cuda"] == "CUDA 13.0: Pretended GPU"
    assert report["op rasterize, cuda"] == "cuda" and report["op rasterize, cpu"] == "cpu"
    assert report["engine"].startswith("backend cuda_graph on cuda:0")
