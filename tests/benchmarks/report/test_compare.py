"""Two reports: ratios, and whether a difference is more than noise."""

from __future__ import annotations

import json

import numpy as np
import pytest

from benchmarks.__main__ import main
from benchmarks.report.compare import compared, difference
from benchmarks.report.files import read
from benchmarks.report.format import FORMAT


def rounds(centre, seed, spread=0.5):
    draw = np.random.default_rng(seed)
    return [list(centre + draw.normal(scale=spread) + draw.normal(scale=spread, size=10)) for _ in range(8)]


def report(rows, **setting):
    known = {"cpu": "x", "commit": "c", "date": "d", "threads": 2, "versions": {"torch": "2"}}
    return {"format": FORMAT, "setting": known | setting, "edit": {"rows": rows}}


def row(name, values, **others):
    return {"name": name, "precision": "float32", "resolution": 64, "rounds": values, "refused": ""} | others


def test_the_same_distribution_is_no_difference():
    assert difference(rounds(100, 0), rounds(100, 1)).verdict == "no difference"


def test_a_difference_beyond_the_noise():
    found = difference(rounds(100, 0), rounds(80, 1))
    assert found.verdict == "faster"
    assert found.ratio == pytest.approx(1.25, rel=0.02)
    assert found.ratio_interval[0] < found.ratio < found.ratio_interval[1]
    assert difference(rounds(80, 0), rounds(100, 1)).verdict == "slower"


def test_much_noise_hides_a_small_difference():
    assert difference(rounds(100, 0, 20), rounds(97, 1, 20)).verdict == "no difference"


def test_touching_intervals_overlap():
    same = [[5.0] * 10] * 4
    assert difference(same, same).verdict == "no difference"
    assert difference(same, same).ratio_interval == (1.0, 1.0)


def test_rows_are_matched_by_name_and_what_is_missing_is_said():
    a = report([row("torch", rounds(100, 0)), row("gone", rounds(1, 0)), row("bad", None)])
    refused = {"name": "bad", "precision": "float32", "resolution": 64, "refused": "parity failed"}
    b = report([row("torch", rounds(50, 1)), row("new", rounds(1, 0)), refused], cpu="y")
    del a["edit"]["rows"][2]["rounds"]
    text = compared(a, b)
    assert "differ in cpu: x and y" in text
    lines = {line.split(" | ")[0]: line for line in text.splitlines() if line.startswith("| edit")}
    assert "| faster |" in lines["| edit: 64 px torch float32"]
    assert "only in A" in lines["| edit: 64 px gone float32"]
    assert "only in B" in lines["| edit: 64 px new float32"]
    assert "refused in A" in lines["| edit: 64 px bad float32"]


def test_single_figures_have_no_interval():
    a, b = report([]), report([])
    for each, ms in ((a, 2.0), (b, 1.0)):
        each["ops"] = {"rows": [{"name": "rasterize", "ours": ms}]}
    assert "| ops: rasterize | 2.00 | 1.00 | 2.00 | not known" in compared(a, b)


def test_start_up_compares_whole_processes():
    def started(ms):
        runs = [{"laps": {"import": ms, "load": ms + i}} for i in range(3)]
        rows = [{"name": "torch", "precision": "float32", "runs": runs, "refused": ""}]
        return report([]) | {"start-up": {"rows": rows}}

    assert "| start-up: torch float32 | 2001 (" in compared(started(1000), started(500))


def test_the_command(tmp_path, capsys):
    for name, centre in (("a", 100), ("b", 80)):
        (tmp_path / f"{name}.json").write_text(json.dumps(report([row("torch", rounds(centre, 0))])))
    assert main(["compare", str(tmp_path / "a.json"), str(tmp_path / "b.json")]) == 0
    assert "| faster |" in capsys.readouterr().out


@pytest.mark.parametrize("content", ["", "[]", "{}", '{"format": "another"}'])
def test_what_is_no_report_is_refused(tmp_path, content, capsys):
    path = tmp_path / "x.json"
    path.write_text(content)
    with pytest.raises(ValueError, match="x.json"):
        read(path)
    assert main(["compare", str(path), str(path)]) == 2
    assert "stylerig-bench: error:" in capsys.readouterr().err
    with pytest.raises(ValueError, match="cannot be read"):
        read(tmp_path / "missing.json")
