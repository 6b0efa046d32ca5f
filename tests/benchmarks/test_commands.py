"""Every command from its arguments to its files, on a small model."""

from __future__ import annotations

import json
import re
import shlex
from pathlib import Path
from xml.etree import ElementTree

import pytest
import torch

from benchmarks.__main__ import COMMANDS, main
from benchmarks.report import page
from benchmarks.suites import all as everything
from benchmarks.suites.batch import BatchBenchmark
from benchmarks.suites.edit import EditBenchmark
from benchmarks.suites.start_up import StartUpBenchmark
from stylerig_fast.engine.backends.base import BACKENDS

ROOT = Path(__file__).resolve().parents[2]
FEW = "--device cpu --threads 1 --dtype float32 --backends torch --peers eager".split()
EDITS = "--samples 2 --seconds 0 --rounds 2".split()


@pytest.fixture(autouse=True)
def keep_threads():
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


def run(tmp_path, *words):
    """The report and the tables that a command writes."""
    files = [tmp_path / f"out.{kind}" for kind in ("json", "md", "svg")]
    paths = ["--json", files[0], "--markdown", files[1], "--plot", files[2]]
    assert main([*map(str, words), *map(str, paths)]) == 0
    ElementTree.parse(files[2])
    report = json.loads(files[0].read_text())
    assert {"cpu", "cores", "threads", "versions", "commit"} <= report["setting"].keys()
    assert "load" in report
    return report, files[1].read_text()


def test_edit(model, tmp_path, capsys):
    extra = "--people 2 --edits 1 --stages 2".split()
    report, text = run(tmp_path, "edit", "--model", model, *FEW, *EDITS, *extra)
    rows = report["edit"]["rows"]
    assert [(row["name"], row["resolution"]) for row in rows] == [
        ("torch", 64), ("PyTorch eager", 64), ("torch", 32), ("PyTorch eager", 32),
    ]  # fmt: skip
    for row in rows:
        assert not row["refused"]
        assert [len(values) for values in row["rounds"]] == [1, 1]
        assert row["max error"] <= 2 and row["pictures"] == 2
        assert ("psnr to full" in row) == (row["resolution"] == 32)
    names = [stage["name"] for stage in report["edit"]["stages"]]
    assert names[:4] == ["request", "rig (F, RigNet)", "modulation", "4 px"]
    assert names[-4:] == ["to RGB", "between layers", "uint8", "copy to NumPy"]
    counted = sum(stage["multiply_adds"] for stage in report["edit"]["stages"])
    work = [report["networks"][part]["multiply_adds"] for part in ("synthesis", "rig work")]
    assert counted == sum(sum(part.values()) for part in work)
    assert text in capsys.readouterr().out
    assert "One edit after the other, 64 px" in text and "32 px preview" in text
    assert "1 threads" in text


def test_a_wrong_backend_gets_no_time(model, tmp_path, monkeypatch):
    for name in ("wrong", "broken"):
        monkeypatch.setitem(BACKENDS, name, f"tests.benchmarks.{name}_backend")
    words = ["--model", model, *FEW, "--backends", "wrong", "broken", "torch"]
    extra = "--people 1 --edits 1 --stages 0 --resolutions 64".split()
    report, text = run(tmp_path, "edit", *words, *EDITS, *extra)
    wrong, broken, torch_row, _ = report["edit"]["rows"]
    assert wrong["refused"].startswith("parity failed: max error") and "rounds" not in wrong
    assert broken["refused"] == "failed: out of paint" and "rounds" not in broken
    assert "rounds" in torch_row
    line = next(line for line in text.splitlines() if line.startswith("| wrong"))
    assert "parity failed: max error" in line
    report, _ = run(tmp_path, "batch", *words, *"--batches 1 --calls 1".split())
    assert [bool(row["refused"]) for row in report["batch"]["rows"]] == [True, True, False, False]
    report, _ = run(tmp_path, "start-up", "--times", "0", *words)
    assert [bool(row["refused"]) for row in report["start-up"]["rows"]] == [True, True, False, False]


def test_batch(model, tmp_path):
    report, text = run(tmp_path, "batch", "--model", model, *FEW, *"--batches 3 1 --calls 2".split())
    rows = report["batch"]["rows"]
    assert [(row["batch"], row["name"]) for row in rows][::2] == [(1, "torch"), (3, "torch")]
    assert all(len(row["rounds"]) == 2 and row["pictures"] == 3 for row in rows)
    assert "pictures/s" in text


def test_start_up(model, tmp_path):
    report, text = run(tmp_path, "start-up", "--model", model, *FEW, "--times", "1")
    for row in report["start-up"]["rows"]:
        (started,) = row["runs"]
        assert list(started["laps"]) == ["interpreter", "import torch", "import", "load", "build", "first frame"]
        assert all(value >= 0 for value in started["laps"].values())
        assert started["peak"] >= started["first peak"] > 50e6
        assert len(started["frames"]) == 5
    assert "| torch | float32 |" in text


def test_train(tmp_path):
    small = "--portraits 8 --pixels 16 --slots 4 --components 8".split()
    report, text = run(tmp_path, "train", *EDITS, *small, *"--device cpu --threads 1".split())
    for row in report["train"]["rows"]:
        assert row["parity"] < 1e-4 and not row["refused"]
        assert row["figures"]["samples"] == 2
    assert "| reconstructor | 32 |" in text and "| rig | 96 |" in text


def test_everything_and_its_page(model, tmp_path, monkeypatch, capsys):
    seen = {}
    for name in everything.STEPS:
        seen[name] = {"rows": []}
    seen["edit"]["stages"] = []
    seen["train"] |= {"face model": "x", "vertices": 1, "triangles": 1, "pixels": 1}
    seen["ops"]["setting"] = {"model": "x", "vertices": 1, "triangles": 1, "batch": 1, "pixels": 1, "threads": 1}
    seen["ops"]["setting"] |= {"clock": "wall", "copy GB/s": 1.0, "matrix GFLOP/s": 1.0}
    asked = {}
    for name in everything.STEPS:
        monkeypatch.setitem(
            everything.STEPS, name, lambda current, options, name=name: asked.update({name: options}) or seen[name]
        )
    report, text = run(tmp_path, "all", "--model", model, *FEW, "--skip", "train")
    assert set(asked) == set(everything.STEPS) - {"train"}
    assert report["edit"] == seen["edit"] and "train" not in report
    assert text.startswith(page.INTRODUCTION)
    assert "### Edits" in text and "### Training" not in text and "](out.svg)" in text and "## On CUDA" in text
    again = tmp_path / "again.md"
    files = [tmp_path / "out.json", "--markdown", again, "--plot", tmp_path / "out.svg"]
    assert main(["page", *map(str, files)]) == 0
    assert again.read_text() == text


def test_options_of_all_reach_its_parts():
    options = everything.AllBenchmarks(samples=7, batches=(1, 2), times=1, threads=1)
    assert everything._options_of(EditBenchmark, options).samples == 7
    assert everything._options_of(BatchBenchmark, options).batches == (1, 2)
    assert everything._options_of(StartUpBenchmark, options).times == 1


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("--backends nothing", "there are torch"),
        ("--device moon", "no such device"),
        ("--resolutions 48", "expected 64 or its half"),
        ("--threads -1", "--threads -1"),
        ("--model nowhere", "nowhere"),
        ("--generator untrained-stylegan9", "untrained-stylegan2"),
        ("--json folder", "a .json file"),
    ],
)
def test_mistakes_are_one_line(model, tmp_path, monkeypatch, capsys, words, message):
    monkeypatch.chdir(tmp_path)
    arguments = ["edit", "--device", "cpu", "--model", model, "--peers", "eager", "--backends", "torch", *words.split()]
    assert main(arguments) == 2
    err = capsys.readouterr().err
    assert err.startswith("stylerig-bench: error: ") and message in err and err.count("\n") == 1


@pytest.mark.parametrize("command", COMMANDS)
def test_help(command, capsys):
    with pytest.raises(SystemExit) as stopped:
        main([command, "--help"])
    assert stopped.value.code == 0
    assert "--help" in capsys.readouterr().out


def shown():
    text = (ROOT / "docs" / "benchmarks.md").read_text(encoding="utf-8") + page.page([])
    blocks = re.findall(r"^```sh\n(.*?)^```", text, re.MULTILINE | re.DOTALL)
    return sorted({line for block in blocks for line in block.splitlines() if line.startswith("stylerig-bench")})


@pytest.mark.parametrize("line", shown())
def test_shown_commands_parse(line, monkeypatch):
    _, command, *words = shlex.split(line)
    monkeypatch.setattr(COMMANDS[command], "run", lambda command: None)
    assert main([command, *words]) == 0


def test_the_page_has_the_words_of_the_program():
    """Whoever changes them changes benchmarks/report/page.py and has the page written anew, without measuring."""
    text = (ROOT / "docs" / "benchmarks.md").read_text(encoding="utf-8")
    assert text.startswith(page.INTRODUCTION)
