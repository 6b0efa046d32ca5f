"""The benchmarks run, and no row comes without its parity figure."""

from __future__ import annotations

import json
import re

import pytest
import torch

from benchmarks.harness.device_clock import CallTime
from benchmarks.report import tables
from benchmarks.suites.ops import benchmark as program
from benchmarks.suites.ops.benchmark import ALL
from benchmarks.suites.ops.measure import MachineRates, MedianTimer, OpCost, OpRow
from benchmarks.suites.ops.scene import dense_model, make_scene
from benchmarks.suites.ops.synthesis_ops import mobile_cuda_synthesis
from tests.ops.meshes import needs_kernels

WALL = {"clock": "wall"}


@needs_kernels
@pytest.mark.parametrize("measure", [*ALL, mobile_cuda_synthesis], ids=lambda function: function.__name__)
def test_every_row_has_a_time_and_a_parity_figure(measure):
    model = dense_model(triangles=600, identity=3, expression=2, albedo=3)
    scene = make_scene(model, 2, 24, torch.device("cpu"))
    rows = list(measure(scene, MachineRates(MedianTimer(scene.device), 1e10, 1e11)))
    assert rows
    for row in rows:
        assert row.ours.ms > 0
        assert row.floor > 0
        relative = re.search(r"rel\. (\S+)", row.parity)
        if relative:
            assert float(relative[1]) < 1e-4, row
        else:
            assert "100.000% same" in row.parity
        assert row.parity in tables.ops_cells(row.as_dict(), WALL)


def test_floor_is_the_slower_of_moving_and_computing():
    machine = MachineRates(MedianTimer(torch.device("cpu")), bandwidth=1e9, matrix_rate=1e12)
    assert machine.floor(OpCost(2e9, 1e9)) == 2000
    assert machine.floor(OpCost(1e3, 3e12)) == 3000


@needs_kernels
def test_the_program_writes_its_figures(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(program, "open_face_model", lambda: dense_model(600, 3, 2, 3))
    monkeypatch.setattr(program, "ALL", ALL[1:2])
    monkeypatch.setattr(program, "measure_rates", lambda timer: MachineRates(timer, 1e10, 1e11))
    out = tmp_path / "figures.json"
    monkeypatch.setattr("benchmarks.harness.machine._others", lambda pause: 0.0)
    program.OpsBenchmark(batch=2, size=16, json=out, markdown=tmp_path / "figures.md").run()
    report = json.loads(out.read_text())
    written = report["ops"]
    assert "| vertex_normals forward |" in (tmp_path / "figures.md").read_text()
    assert report["setting"]["threads"] == torch.get_num_threads()
    assert [row["name"] for row in written["rows"]] == ["vertex_normals forward", "vertex_normals backward"]
    assert written["setting"]["batch"] == 2
    assert "| vertex_normals forward |" in capsys.readouterr().out


def test_a_row_without_a_reference_prints():
    row = OpRow("step", CallTime(1.0, True), None, 0.5, "rel. 0")
    assert tables.ops_cells(row.as_dict(), WALL) == ["step", "1.00", "", "", "0.500", "2.0", "", "rel. 0"]
