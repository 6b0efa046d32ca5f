"""What a report says of the machine: hardware, versions, load; and what it can do at best."""

from __future__ import annotations

import json

import pytest
import torch

from benchmarks.harness import machine
from benchmarks.harness.flops import NetworkCost
from benchmarks.harness.machine import CpuLoad, _Reading, commit, describe, one_line
from benchmarks.harness.peak_rates import PeakRates, fastest, measure_peak_rates
from benchmarks.harness.roofline import explain, floor


def test_hardware_and_versions():
    found = describe(torch.device("cpu"))
    assert found["versions"]["torch"] == torch.__version__
    assert found["threads"] == torch.get_num_threads()
    json.dumps(found)
    line = one_line(found)
    assert found["cpu"] in line and torch.__version__ in line


def test_commit_is_short_or_absent():
    assert commit() == "" or 12 <= len(commit()) <= 13


def test_what_others_did():
    start, end = _Reading(0.0, 100.0, 5.0, 10.0), _Reading(10.0, 118.0, 6.0, 25.0)
    assert end.others_since(start) == pytest.approx(0.3)
    assert end.stolen_since(start) == pytest.approx(0.1)
    assert _Reading(10.0, 110.0, 5.0, 25.0).others_since(start) == 0.0


def test_a_busy_machine_is_warned_of():
    assert CpuLoad(before=0.05, during=0.1, after=None, stolen=0.0).warning() == ""
    warning = CpuLoad(before=0.05, during=0.8, after=1.5, stolen=0.3).warning()
    assert "0.80 cores during" in warning and "1.50 cores after" in warning and "before" not in warning
    assert "0.30 cores taken by the hypervisor" in warning


def test_load_around_a_run():
    load = CpuLoad().begin(0).end(0).as_dict()
    assert set(load) == {"average", "before", "during", "after", "stolen", "warning"}


def test_a_system_that_does_not_tell(monkeypatch):
    monkeypatch.setattr(_Reading, "take", staticmethod(lambda: None))
    assert CpuLoad().begin().end().as_dict()["during"] is None
    monkeypatch.setattr(machine, "_cpu_fields", dict)
    assert describe(torch.device("cpu"))["cpu"]


def test_probes():
    found = measure_peak_rates(torch.device("cpu"), ("float32", "bfloat16", "float16"), seconds=0.0, sizes=(32, 64))
    assert set(found.rates) == {"float32", "bfloat16"}
    assert found.bandwidth > 0 and all(rate > 0 for rate in found.rates.values())


def test_the_first_run_of_a_probe_does_not_count(monkeypatch):
    times = iter([0.0, 0.001, 1.0, 1.5, 2.0, 2.25, 3.0, 3.75])
    monkeypatch.setattr("benchmarks.harness.peak_rates.time.perf_counter", lambda: next(times))
    assert fastest(lambda: None, torch.device("cpu"), 0.0) == 0.25


def test_ceilings_are_the_best_of_probes():
    best = PeakRates({"float32": 1.0, "bfloat16": 4.0}, 7.0).best(PeakRates({"float32": 2.0, "bfloat16": 3.0}, 5.0))
    assert best == PeakRates({"float32": 2.0, "bfloat16": 4.0}, 7.0)


def test_the_floor_is_the_slower_of_computing_and_moving():
    known = PeakRates({"float32": 2e9, "bfloat16": 8e9}, 1e9)
    assert known.floor("float32", NetworkCost({"matrix": 10**9}, 10**6)) == 1000.0
    assert known.floor("bfloat16", NetworkCost({"matrix": 10**9}, 10**6)) == 250.0
    assert known.floor("bfloat16", NetworkCost({"matrix": 10**9}), NetworkCost({"matrix": 10**9})) == 1250.0
    assert known.floor("float32", NetworkCost({"matrix": 10}, 10**9, 10**9, 10**9)) == 3000.0
    assert known.floor("float16", NetworkCost({"matrix": 10})) is None


def test_floor_of_a_report():
    work = {"multiply_adds": {"matrix": 10**9}, "weights": 4 * 10**8, "inputs": 0, "outputs": 10**8}
    nothing = {"multiply_adds": {}, "weights": 0, "inputs": 0, "outputs": 0}
    report = {
        "networks": {"generator": "g", "resolution": 64, "synthesis": work, "rig work": nothing},
        "ceilings": {"rates": {"float32": 2e12, "bfloat16": 4e12}, "bandwidth": 1e9},
    }
    assert floor(report, "float32") == 500.0
    assert floor(report, "bfloat16", batch=3) == 500.0  # half the weights, three pictures
    assert "1,000 million multiply-adds" in explain(report)
