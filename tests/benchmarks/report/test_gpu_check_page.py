"""Results of a check on the page of benchmarks: made-up ones, whose numbers are nobody's."""

from __future__ import annotations

import json
from dataclasses import asdict

import pytest

from benchmarks.__main__ import main
from benchmarks.harness.device_clock import CallTime
from benchmarks.harness.latency_stats import latency_stats
from benchmarks.report import gpu_check_results as results
from benchmarks.report import page, tables
from benchmarks.report.format import GPU_CHECK_FORMAT
from benchmarks.report.gpu_check_page import section
from benchmarks.report.gpu_check_results import last_word, read_checks, read_folder
from benchmarks.suites.ops.measure import OpRow

GPU = {"name": "Made-up GPU", "memory GB": 1.0, "driver": "1.2", "CUDA": "13.0"}
SETTING = {
    "cpu": "Some CPU", "cores": 2, "threads": 2, "flags": [], "memory GB": 1.0, "system": "Linux", "python": "3.12",
    "stylerig_fast": "0.1", "commit": "abc", "versions": {"torch": "2.11"}, "date": "2000-01-01", "gpu": GPU,
}  # fmt: skip
WORK = {"multiply_adds": {"matrix": 10**9}, "weights": 4 * 10**6, "inputs": 0, "outputs": 0}
NETWORKS = {"generator": "made-up-gan", "resolution": 64, "rig": "untrained", "synthesis": WORK, "rig work": WORK}


def report(command, rows, **more):
    found = {"format": "stylerig-bench 1", "command": command, "setting": SETTING, "networks": NETWORKS}
    found |= {"ceilings": {"rates": {"float32": 1e13, "float16": 1e14}, "bandwidth": 1e12}, "absent": {}, "load": {}}
    return found | {command: {"rows": rows} | more}


def timed(name, precision, ms, **more):
    parity = {"max error": 1, "psnr": 60.0, "lowest psnr": 59.5, "refused": ""}
    return {"name": name, "precision": precision, "figures": asdict(latency_stats([[ms] * 30] * 3))} | parity | more


def operation(name, ours, reference=None, floor=0.004):
    reference = reference and CallTime(*reference)
    return OpRow(name, CallTime(*ours), reference, floor, "rel. 1e-7").as_dict()


def write(folder, files, steps, **more):
    folder.mkdir()
    names = ("stage", "step", "status", "exit_status", "seconds", "limit")
    summary = {"format": GPU_CHECK_FORMAT, "device": "cuda", "small": False}
    summary["steps"] = [dict(zip(names, step, strict=True)) for step in steps]
    for name, content in (files | {"summary.json": summary | more}).items():
        (folder / name).write_text(content if isinstance(content, str) else json.dumps(content))
    return folder


@pytest.fixture
def first(tmp_path):
    probe = {"setting": SETTING, "copy GB/s": 2000.4, "product TFLOP/s": {"float32": 50.0}}
    junit = '<testsuites><testsuite tests="9" errors="1" failures="1" skipped="2"/></testsuites>'
    files = {
        "probe.json": probe,
        "build.json": {"library": "the carried library"},
        "test.xml": junit,
        "memcheck.txt": "========= COMPUTE-SANITIZER\n========= ERROR SUMMARY: 3 errors\n",
    }
    steps = [
        ("probe", "probe", "passed", 0, 3.2, 30),
        ("build", "build", "passed", 0, 9.0, 150),
        ("test", "test", "failed", 1, 61.0, 120),
        ("sanitize", "memcheck", "failed", 9, 20.0, 70),
        ("bench", "edit-mobile", "over its limit", -15, 60.0, 60),
    ]
    return write(tmp_path / "first", files, steps)


@pytest.fixture
def second(tmp_path):
    edits = [
        timed("cuda_graph", "float16", 1.25, resolution=64, enqueue=0.2, device=1.0),
        timed("PyTorch eager", "float32", 10.0, resolution=64),
    ]
    setting = {"model": "x", "vertices": 5, "triangles": 6, "batch": 2, "pixels": 8, "threads": 2, "clock": "device"}
    setting |= {"copy GB/s": 2000.0, "matrix GFLOP/s": 50000.0}
    rows = [
        operation("rasterize", (0.0125, True), (1.0, False)),
        operation("training step", (2.0, False)),
    ]
    training = [
        {"name": "rig", "pictures a step": 96, "parity": 1e-6, "refused": "", **timed("", "", 4.0)} | {"name": "rig"}
    ]
    rates = [
        {"name": "sampling", "per second": 1000.0, "minutes": 3.333},
        {"name": "training", "error": "RuntimeError: out of memory"},
    ]
    absent = {"absent": {"tensorrt float16": "no such library"}}
    files = {
        "edit-mobile.json": report("edit", edits, stages=[]) | absent,
        "batch-mobile.json": report("batch", [timed("cuda_graph", "float16", 8.0, batch=16)]),
        "ops-open.json": report("ops", rows, setting=setting),
        "train.json": report("train", training, **{"face model": "x", "vertices": 5, "triangles": 6, "pixels": 8}),
        "rates.json": {"portraits": 200_000, "rows": rates},
        "tensorrt.json": {
            "version": "1.7",
            "any GPU": {"validity": "INVALID", "diagnostics": ["UNSUPPORTED_CC"], "MB": 31.0, "build s": 2.0},
            "this GPU": {"error": "RuntimeError: no engine"},
        },
    }
    steps = [("bench", "edit-mobile", "passed", 0, 50.0, 60), ("train", "train", "passed", 0, 20.0, 45)]
    return write(tmp_path / "second", files, steps)


def lines(text, start):
    return [line for line in text.splitlines() if line.startswith(f"| {start}")]


def test_two_calls_are_one_check(first, second):
    (check,) = read_checks([first, second])
    assert check.gpu == "Made-up GPU"
    assert [(step["step"], step["status"]) for step in check.steps] == [
        ("probe", "passed"), ("build", "passed"), ("test", "failed"), ("memcheck", "failed"),
        ("edit-mobile", "passed"), ("train", "passed"),
    ]  # fmt: skip
    assert check.tests == {"passed": 5, "failed": 2, "skipped": 2}


def test_rows_of_a_check(first, second):
    text = section(*read_checks([first, second]))
    assert text.startswith("## On Made-up GPU\n\n") and "driver 1.2" in text and "Copy 2000 GB/s" in text
    assert "| test | failed | 61 | 5 passed, 2 failed, 2 skipped |" in text
    assert "| sanitize: memcheck | failed | 20 | ERROR SUMMARY: 3 errors |" in text
    assert "| build | passed | 9 | the carried library |" in text
    # Eight times as fast as eager; 2 * 10^9 multiply-adds at 10^14, and as many of the rig at 10^13: 0.22 ms of 1.25.
    (edit,) = lines(text, "cuda_graph | float16")
    assert "| 1.25 (1.25 to 1.25) |" in edit and "| 8.00 | 18 % | 0.200 | 1.00 | 1/255 | 59.5 |" in edit
    (batch,) = lines(text, "16 | cuda_graph | float16")
    assert batch.startswith("| 16 | cuda_graph | float16 | 2000 | 8.00 (8.00 to 8.00) | 44 % |")
    assert lines(text, "rasterize") == ["| rasterize | 12.5 | 1000\\* | 80.0 | 4.00 | 3.1 | rel. 1e-7 |"]
    assert lines(text, "training step") == ["| training step | 2000\\* |  |  | 4.00 | 500.0 | rel. 1e-7 |"]
    assert "| op | µs | reference µs | times faster | floor µs |" in text and "Python's launches" in text
    assert lines(text, "sampling") == ["| sampling | 1,000 | 3.3 |"]
    assert lines(text, "training |") == ["| training | **RuntimeError: out of memory** |  |"]
    assert lines(text, "any GPU") == ["| any GPU | 2.00 | 31.0 | INVALID, UNSUPPORTED_CC |"]
    assert lines(text, "this GPU") == ["| this GPU | - | - | RuntimeError: no engine |"]
    assert "- tensorrt float16: no such library" in text


def test_the_page_of_a_check_no_longer_says_that_nothing_was_measured(first, second, tmp_path):
    target = tmp_path / "page.md"
    assert main(["page", str(first), str(second), "--markdown", str(target)]) == 0
    text = target.read_text(encoding="utf-8")
    assert text.startswith(page.INTRODUCTION) and "## On Made-up GPU" in text
    assert "## On CUDA" not in text and "## On CUDA" in page.page([])


def test_a_plot_needs_a_report(first, tmp_path, capsys):
    words = [str(first), "--markdown", str(tmp_path / "page.md"), "--plot", str(tmp_path / "page.svg")]
    assert main(["page", *words]) == 2
    assert "--plot draws the first report" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("more", "message"),
    [({"device": "cpu"}, "a dry run"), ({"small": True}, "a dry run"), ({"format": "x"}, "format 'x', expected")],
)
def test_what_is_no_check_of_a_gpu_is_refused(tmp_path, more, message):
    with pytest.raises(ValueError, match=message):
        read_folder(write(tmp_path / "folder", {}, [], **more))
    with pytest.raises(ValueError, match="make gpu-check"):
        read_folder(tmp_path)


def test_a_check_that_was_cut_off_still_makes_a_page(first):
    (first / "test.xml").write_text("<testsuites><test")
    (first / "memcheck.txt").write_text("========= COMPUTE-SANITIZER\n")
    text = section(*read_checks([first]))
    assert "| test | failed | 61 |  |" in text and "| no summary: it was stopped before its end |" in text
    assert "### Edits" not in text and "### Training" not in text


def test_the_last_word_of_a_sanitizer():
    assert results.SANITIZERS == ("memcheck", "racecheck", "initcheck", "synccheck")
    text = "========= x\n========= RACECHECK SUMMARY: 0 hazards displayed (0 errors, 0 warnings)\n"
    assert last_word(text) == "RACECHECK SUMMARY: 0 hazards displayed (0 errors, 0 warnings)"


def test_times_of_the_host_are_in_milliseconds():
    row = operation("rasterize", (4.0, True), (8.0, True))
    cells = ["rasterize", "4.00", "8.00", "2.0", "0.004", "1000.0", "", "rel. 1e-7"]
    assert tables.ops_cells(row, {"clock": "wall"}) == cells
    assert tables.ops_cells(row, {"clock": "device"})[1:5] == ["4000", "8000", "2.0", "4.00"]
