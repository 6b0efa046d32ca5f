"""A check of a GPU as a section of the page of benchmarks."""

from __future__ import annotations

from typing import Any

from ..harness import roofline
from ..harness.machine import one_line
from . import tables
from .gpu_check_results import GpuCheck

OPS = """\
Times are by the device's clock, of consecutive calls in a CUDA graph. Data that fit in its cache stay there between
calls, so that small operations can be faster than their floor of bytes over the memory's bandwidth.
"""


def section(check: GpuCheck) -> str:
    """A check as Markdown, under the name of its GPU."""
    setting = check.setting
    assert setting is not None, "read_checks leaves out checks of no machine"
    how = "Measured by `make gpu-check`, see [development.md](development.md#checking-a-gpu)."
    parts = [f"## On {check.gpu}", how, one_line(setting) + "."]
    parts += _rates(check.results.get("probe", {}))
    parts.append(_steps(check))
    for title, command in (("Edits", "edit"), ("Batches", "batch")):
        parts += _edits(check, title, command)
    parts += _operations(check)
    parts += _training(check)
    parts += _tensorrt(check.results.get("tensorrt"))
    return "\n\n".join(part.strip("\n") for part in parts) + "\n"


def _rates(probe: dict[str, Any]) -> list[str]:
    if "copy GB/s" not in probe:
        return []
    products = ", ".join(f"{rate:.0f} TFLOP/s in {name}" for name, rate in probe["product TFLOP/s"].items())
    return [f"Copy {probe['copy GB/s']:.0f} GB/s (read and written), products of random matrices {products}."]


def _steps(check: GpuCheck) -> str:
    """The steps that ran and their results, also those without numbers."""
    lines = []
    for step in check.steps:
        result = ""
        if step["stage"] == "test" and check.tests:
            result = ", ".join(f"{count} {name}" for name, count in check.tests.items())
        elif step["stage"] == "sanitize":
            result = check.sanitizers.get(step["step"], "")
        elif step["stage"] == "build":
            result = check.results.get("build", {}).get("library", "")
        name = step["stage"] if step["stage"] == step["step"] else f"{step['stage']}: {step['step']}"
        lines.append([name, step["status"], f"{step['seconds']:.0f}", result])
    return "### What was run\n\n" + tables.table(["step", "result", "seconds", ""], lines)


def _edits(check: GpuCheck, title: str, command: str) -> list[str]:
    parts = []
    for report in check.reports.values():
        if report["command"] != command:
            continue
        networks = report["networks"]
        parts.append(f"### {title} of {networks['generator']}")
        rig = "" if networks["rig"] == "trained" else f" The rig is {networks['rig']}."
        parts.append(roofline.explain(report) + rig)
        if warning := report.get("load", {}).get("warning"):
            parts.append(f"**Warning: {warning}.**")
        parts.append(tables.markdown(report, command))
        parts += tables.absences(report)
    return parts


def _operations(check: GpuCheck) -> list[str]:
    reports = [report for report in check.reports.values() if report["command"] == "ops"]
    return ["### The operations", *(tables.markdown(report, "ops") for report in reports), OPS] if reports else []


def _training(check: GpuCheck) -> list[str]:
    parts = [tables.markdown(report, "train") for report in check.reports.values() if report["command"] == "train"]
    rates = check.results.get("rates", {})
    if rows := rates.get("rows"):
        lines = [
            [row["name"], f"**{row['error']}**", ""]
            if "error" in row
            else [row["name"], f"{row['per second']:,.0f}", f"{row['minutes']:.1f}"]
            for row in rows
        ]
        columns = ["", "portraits/s", f"minutes for {rates['portraits']:,}"]
        parts.append("What 200,000 portraits take\n\n" + tables.table(columns, lines))
    return ["### Training", *parts] if parts else []


def _tensorrt(results: dict[str, Any] | None) -> list[str]:
    if results is None:
        return []
    if "absent" in results:
        return ["### TensorRT", f"Not measured: {results['absent']}."]
    lines = []
    for name in ("any GPU", "this GPU"):
        if row := results.get(name):
            validity = row.get("error") or ", ".join([row["validity"], *row["diagnostics"]])
            lines.append([name, tables.number(row.get("build s")), tables.number(row.get("MB")), validity])
    columns = ["an engine for", "built in s", "MB", "would it load here"]
    return ["### TensorRT", f"TensorRT for RTX {results['version']}\n\n{tables.table(columns, lines)}"]
