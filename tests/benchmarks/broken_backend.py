"""A backend that fails when it is asked for a picture."""

from __future__ import annotations

from tests.benchmarks.wrong_backend import WrongBackend


class BrokenBackend(WrongBackend):
    name = "broken"

    def pictures(self, w, resolution):
        raise RuntimeError("out of paint")


def make(setting):
    return BrokenBackend(setting)
