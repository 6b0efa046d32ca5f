"""The results of a check, read from the folders that its calls wrote."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

from ..gpu_check.runner import FORMAT, SUMMARY
from . import files as report

SANITIZERS = ("memcheck", "racecheck", "initcheck", "synccheck")


@dataclass
class Check:
    """What the calls of one check found.

    Attributes:
        steps: outcomes as ``summary.json`` holds them, the last one of each step.
        reports: of benchmarks, by step.
        found: what the other steps wrote, by step.
        tests: numbers of tests "passed", "failed" and "skipped"; empty where none were run.
        sanitizers: what each tool says at its end.
    """

    steps: list[Mapping[str, Any]] = field(default_factory=list)
    reports: dict[str, dict[str, Any]] = field(default_factory=dict)
    found: dict[str, Any] = field(default_factory=dict)
    tests: dict[str, int] = field(default_factory=dict)
    sanitizers: dict[str, str] = field(default_factory=dict)

    @property
    def setting(self) -> Mapping[str, Any] | None:
        """The machine, as `machine.describe` says it."""
        settings = [self.found.get("probe", {}).get("setting"), *(each["setting"] for each in self.reports.values())]
        return next((setting for setting in settings if setting), None)

    @property
    def gpu(self) -> str:
        return "" if self.setting is None else self.setting["gpu"]["name"]

    def join(self, later: Check) -> None:
        """Takes what a later call found; of a step that ran twice, the later result."""
        again = {(step["stage"], step["step"]) for step in later.steps}
        self.steps = [step for step in self.steps if (step["stage"], step["step"]) not in again] + later.steps
        self.reports |= later.reports
        self.found |= later.found
        self.tests = later.tests or self.tests
        self.sanitizers |= later.sanitizers


def read_checks(folders: Sequence[Path]) -> list[Check]:
    """Checks of different GPUs; calls on the same one are one check, and a call that does not say is the last one's.

    Raises:
        ValueError: a folder holds no results, or those of a dry run.
    """
    checks: list[Check] = []
    for folder in folders:
        found = read_folder(folder)
        same = [check for check in checks if not found.gpu or check.gpu in ("", found.gpu)]
        if same:
            same[-1].join(found)
        else:
            checks.append(found)
    return [check for check in checks if check.gpu]


def read_folder(folder: Path) -> Check:
    """The results of one call.

    Raises:
        ValueError: there are none, or they are those of a dry run.
    """
    path = folder / SUMMARY
    try:
        summary = json.loads(path.read_bytes())
    except (OSError, ValueError) as error:
        raise ValueError(f"{path}: cannot be read ({error}); expected what `make gpu-check` writes") from error
    if summary.get("format") != FORMAT:
        raise ValueError(
            f"{path}: format {summary.get('format')!r}, expected {FORMAT!r}; check again with this version"
        )
    if summary["device"] != "cuda" or summary["small"]:
        raise ValueError(f"{folder}: a dry run, whose times mean nothing")
    check = Check(steps=summary["steps"])
    for file in sorted(folder.glob("*.json")):
        if file.name == SUMMARY:
            continue
        content = json.loads(file.read_bytes())
        kept = check.reports if content.get("format") == report.FORMAT else check.found
        kept[file.stem] = content
    check.tests = _tests(folder / "test.xml")
    for tool in SANITIZERS:
        if (folder / f"{tool}.txt").is_file():
            check.sanitizers[tool] = last_word((folder / f"{tool}.txt").read_text(encoding="utf-8", errors="replace"))
    return check


def _tests(path: Path) -> dict[str, int]:
    """Counts of a JUnit file; empty where there is none, or pytest was ended before it wrote it."""
    try:
        suites = list(ElementTree.parse(path).getroot().iter("testsuite"))
    except (OSError, ElementTree.ParseError):
        return {}
    total, skipped, failures, errors = (
        sum(int(suite.get(name, 0)) for suite in suites) for name in ("tests", "skipped", "failures", "errors")
    )
    return {"passed": total - skipped - failures - errors, "failed": failures + errors, "skipped": skipped}


def last_word(text: str) -> str:
    """The summary of a sanitizer's log: ``ERROR SUMMARY: 0 errors``; says so where there is none."""
    lines = re.findall(r"^=+ +((?:\w+ )?SUMMARY: .*)$", text, re.MULTILINE)
    return lines[-1].strip() if lines else "no summary: it was ended before its end"
