"""The clock of a CUDA device, with a device that is made up: how many calls and rounds, and what could be captured."""

from __future__ import annotations

import pytest
import torch

from benchmarks.harness import device_clock
from benchmarks.harness.device_clock import CallTime, medians
from benchmarks.suites.ops.measure import MedianTimer


class Device:
    """Time passes when functions say so; a graph replays what was done while it was captured."""

    def __init__(self, monkeypatch):
        self.now, self.capturing, self.replays = 0.0, False, 0
        monkeypatch.setattr(device_clock, "between", self.between)
        monkeypatch.setattr(device_clock, "capture", self.capture)

    def between(self, function):
        start = self.now
        function()
        return self.now - start

    def capture(self, function):
        self.capturing, start = True, self.now
        try:
            function()
        except RuntimeError:
            return None
        finally:
            self.capturing, spent, self.now = False, self.now - start, start
        device = self

        class Graph:
            def replay(self):
                device.replays += 1
                device.now += spent

        return Graph()

    def work(self, ms, waits=False):
        """A function that takes so long, with half a millisecond of launches outside a graph."""
        calls = []

        def function():
            calls.append(self.capturing)
            if self.capturing and waits:
                raise RuntimeError("operation not permitted when stream is capturing")
            self.now += ms if self.capturing else ms + 0.5

        return function, calls


@pytest.fixture
def device(monkeypatch):
    return Device(monkeypatch)


def test_launches_are_not_in_the_time_of_what_is_captured(device):
    function, calls = device.work(0.01)
    assert medians(function) == [CallTime(pytest.approx(0.01), True)]
    # A first call, one that says how long it takes, and three for a round of about 2 ms; then replays.
    assert calls == [False, False, *[True] * 3] and device.replays == 12


def test_what_waits_is_timed_with_its_launches_and_says_so(device):
    function, _ = device.work(0.01, waits=True)
    assert medians(function, rounds=3) == [CallTime(pytest.approx(0.51), False)]


def test_slow_functions_get_few_rounds(device):
    slow, calls = device.work(250.0, waits=True)
    fast, _ = device.work(1.0)
    found = medians(slow, fast)
    assert [time.ms for time in found] == [250.5, pytest.approx(1.0)]
    assert len(calls) == 1 + 1 + 1 + 1 + 2
    slower, calls = device.work(10_000.0, waits=True)
    medians(slower)
    assert len(calls) == 5


def test_the_stopwatch_of_a_gpu_is_its_own(device):
    function, _ = device.work(0.01)
    assert MedianTimer(torch.device("cuda"), clock=lambda: 0.0).medians(function)[0].ms == pytest.approx(0.01)
    assert MedianTimer(torch.device("cpu"), clock=lambda: device.now).medians(function)[0].ms == pytest.approx(510)


def test_no_stream_is_needed_without_a_gpu():
    with device_clock.stream_of(torch.device("cpu")):
        pass
