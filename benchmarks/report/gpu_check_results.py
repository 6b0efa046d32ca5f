"""The results of a check of a GPU, read from the folders that its calls wrote."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

from .format import FORMAT, GPU_CHECK_FORMAT, GPU_CHECK_SUMMARY

SANITIZERS = ("memcheck", "racecheck", "initcheck", "synccheck")


@dataclass
class GpuCheck:
    """The results of one check, from one call of it or several.

    Attributes:
        steps: outcomes from ``summary.json``, the last one of each step.
        reports: of benchmarks, by step.
        results: of the other steps, by step.
        tests: numbers of tests "passed", "failed" and "skipped"; empty if none were run.
        sanitizers: the last line of each tool.
    """

    steps: list[Mapping[str, Any]] = field(default_factory=list)
    reports: dict[str, dict[str, Any]] = field(default_factory=dict)
    results: dict[str, Any] = field(default_factory=dict)
    tests: dict[str, int] = field(default_factory=dict)
    sanitizers: dict[str, str] = field(default_factory=dict)

    @property
    def setting(self) -> Mapping[str, Any] | None:
        """The machine, as `machine.describe` describes it; None if no step has."""
        settings = [self.results.get("probe", {}).get("setting"), *(each["setting"] for each in self.reports.values())]
        return next((setting for setting in settings if setting), None)

    @property
    def gpu(self) -> str:
        return "" if self.setting is None else self.setting["gpu"]["name"]

    def join(self, later: GpuCheck) -> None:
        """Adds the results of a later call, which replace earlier ones of the same step."""
        again = {(step["stage"], step["step"]) for step in later.steps}
        self.steps = [step for step in self.steps if (step["stage"], step["step"]) not in again] + later.steps
        self.reports |= later.reports
        self.results |= later.results
        self.tests = later.tests or self.tests
        self.sanitizers |= later.sanitizers


def read_checks(folders: Sequence[Path]) -> list[GpuCheck]:
    """Reads the checks of different GPUs.

    Calls on the same GPU are one check; a call that does not name its GPU belongs to the last one.


    Raises:
        ValueError: a folder holds no results, or results of a dry run.
    """
    checks: list[GpuCheck] = []
    for folder in folders:
        check = read_folder(folder)
        same = [other for other in checks if not check.gpu or other.gpu in ("", check.gpu)]
        if same:
            same[-1].join(check)
        else:
            checks.append(check)
    return [check for check in checks if check.gpu]


def read_folder(folder: Path) -> GpuCheck:
    """The results of one call.

    Raises:
        ValueError: there are none, or they are of a dry run.
    """
    path = folder / GPU_CHECK_SUMMARY
    try:
        summary = json.loads(path.read_bytes())
    except (OSError, ValueError) as error:
        raise ValueError(f"{path}: cannot be read ({error}); expected what `make gpu-check` writes") from error
    if summary.get("format") != GPU_CHECK_FORMAT:
        raise ValueError(
            f"{path}: format {summary.get('format')!r}, expected {GPU_CHECK_FORMAT!r}; check again with this version"
        )
    if summary["device"] != "cuda" or summary["small"]:
        raise ValueError(f"{folder}: a dry run, whose times have no meaning")
    check = GpuCheck(steps=summary["steps"])
    for file in sorted(folder.glob("*.json")):
        if file.name == GPU_CHECK_SUMMARY:
            continue
        content = json.loads(file.read_bytes())
        of_kind = check.reports if content.get("format") == FORMAT else check.results
        of_kind[file.stem] = content
    check.tests = _tests(folder / "test.xml")
    for tool in SANITIZERS:
        if (folder / f"{tool}.txt").is_file():
            check.sanitizers[tool] = last_word((folder / f"{tool}.txt").read_text(encoding="utf-8", errors="replace"))
    return check


def _tests(path: Path) -> dict[str, int]:
    """Counts from a JUnit file; empty if there is none, or pytest was killed before it wrote all of it."""
    try:
        suites = list(ElementTree.parse(path).getroot().iter("testsuite"))
    except (OSError, ElementTree.ParseError):
        return {}
    total, skipped, failures, errors = (
        sum(int(suite.get(name, 0)) for suite in suites) for name in ("tests", "skipped", "failures", "errors")
    )
    return {"passed": total - skipped - failures - errors, "failed": failures + errors, "skipped": skipped}


def last_word(text: str) -> str:
    """The summary line of a sanitizer's log, such as ``ERROR SUMMARY: 0 errors``; a sentence if it has none."""
    lines = re.findall(r"^=+ +((?:\w+ )?SUMMARY: .*)$", text, re.MULTILINE)
    return lines[-1].strip() if lines else "no summary: it was stopped before its end"
