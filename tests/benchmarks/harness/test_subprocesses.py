"""Fresh processes: what they report, and what becomes of those that fail or hang."""

from __future__ import annotations

import pytest
import torch

from benchmarks.harness import cold_start as child
from benchmarks.harness import subprocesses as children
from benchmarks.harness.options import BenchOptions
from stylerig_fast.errors import BackendUnavailable


def job(**changes):
    return children.job(BenchOptions(), torch.device("cpu"), 64, "torch", "float32") | changes


def test_an_expected_error_of_the_child_is_told():
    with pytest.raises(BackendUnavailable, match="nowhere"):
        children.run(job(model="nowhere"))


def test_a_crash_of_the_child_is_told(monkeypatch):
    monkeypatch.setattr("benchmarks.harness.subprocesses.sys.executable", "/bin/false")
    with pytest.raises(BackendUnavailable, match="failed in a fresh process: exit status 1"):
        children.run(job())


def test_a_child_that_takes_too_long_is_ended():
    with pytest.raises(BackendUnavailable, match="not done after"):
        children.run(job(), limit=0.05)


def test_torch_compile_is_tried_elsewhere_first(monkeypatch):
    asked = []
    monkeypatch.setattr(children, "run", lambda work, limit: asked.append((work, limit)))
    children.compiles_in_time(BenchOptions(compile_limit=7.0), torch.device("cpu"), 64)
    ((work, limit),) = asked
    assert (work["peer"], work["frames"], limit) == ("compile", 0, 7.0)


def test_peak_memory_is_that_of_this_process():
    before = child.peak_memory()
    if before is None:
        pytest.skip("this system does not tell")
    kept = torch.ones(30 << 20)
    assert (child.peak_memory() or 0) >= max(before, kept.nbytes)


def test_laps_follow_each_other(monkeypatch):
    times = iter([10.5, 12.0])
    monkeypatch.setattr("benchmarks.harness.cold_start.time.monotonic", lambda: next(times))
    laps = child.Laps(10.0)
    laps.lap("a")
    laps.lap("b")
    assert laps.times == {"a": 500.0, "b": 1500.0}
