"""Warnings point at the caller's line, whatever lies between."""

from __future__ import annotations

import inspect
import warnings
from typing import Any

import pytest
import torch

from stylerig_fast.ops import _library
from stylerig_fast.warn import warn_caller


def line() -> int:
    frame = inspect.currentframe()
    assert frame is not None and frame.f_back is not None
    return frame.f_back.f_lineno


def test_a_direct_warning_names_this_line() -> None:
    with pytest.warns(RuntimeWarning, match="here") as found:
        warn_caller("here", RuntimeWarning)
    assert found[0].filename == __file__ and found[0].lineno == line() - 1


def test_frames_of_the_package_and_of_torch_are_passed_over(monkeypatch) -> None:
    monkeypatch.setattr(_library, "_noticed", set())
    decorated = torch.no_grad()(_library.notice)
    with pytest.warns(UserWarning, match="slower") as found:
        decorated("slower")
    assert found[0].filename == __file__ and found[0].lineno == line() - 1


def test_a_package_with_a_similar_name_is_a_caller(monkeypatch) -> None:
    space: dict[str, Any] = {"warn_caller": warn_caller, "__name__": "stylerig_fast_more.tools"}
    exec(compile("def call():\n    warn_caller('x')\n", "more.py", "exec"), space)
    with warnings.catch_warnings(record=True) as found:
        warnings.simplefilter("always")
        space["call"]()
    assert (found[0].filename, found[0].lineno) == ("more.py", 2)


def test_no_warning_of_the_package_counts_frames() -> None:
    from tests.modules import sources

    found = [path.name for _, path in sources() if "warnings.warn(" in path.read_text(encoding="utf-8")]
    assert found == ["warn.py"], "use stylerig_fast.warn.warn_caller"
