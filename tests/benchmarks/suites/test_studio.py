"""``stylerig-bench studio`` from its arguments to its files, on a small model; and its client's mistakes."""

from __future__ import annotations

import itertools
import json

import pytest

from benchmarks.__main__ import main
from benchmarks.report.compare import compared
from benchmarks.suites import studio, studio_client
from benchmarks.suites.studio_server import instant
from stylerig_fast.errors import StyleRigError
from tests.studio.stand_in import StandIn

pytest.importorskip("fastapi", reason="needs the extra `studio`")
pytest.importorskip("websockets", reason="needs the extra `studio`")


def test_studio(model, tmp_path):
    files = ["--json", str(tmp_path / "out.json"), "--markdown", str(tmp_path / "out.md")]
    small = "--device cpu --threads 1 --size 64 --preview 64 --samples 5 --seconds 0.2 --frames 40 --moves 0".split()
    assert main(["studio", "--model", model, *small, *files]) == 0
    report, text = json.loads((tmp_path / "out.json").read_text()), (tmp_path / "out.md").read_text()
    found = report["studio"]
    assert [row["name"] for row in found["rows"]] == [
        "the studio's own time, 64 px", "of that, the JPEG of 64 px", "Engine, 64 px preview",
        "round trip of that preview",
    ]  # fmt: skip
    assert all(value > 0 for row in found["rows"] for value in row["rounds"][0])
    assert [len(row["pictures/s"]) for row in found["throughput"]] == [1, 2]
    assert found["memory"]["pictures"] == 40 and len(found["memory"]["readings"]) == 20
    assert "The studio" in text and "after 40 pictures" in text
    assert "no difference" in compared(report, report)


def test_a_browser_that_is_not_there_is_said():
    section = {"rows": [], "throughput": [], "size": 64, "refused": "a slider in Chromium: no Chromium to start"}
    from benchmarks.report.tables import markdown

    assert "Not measured: a slider in Chromium: no Chromium to start." in markdown({"studio": section}, "studio")


def test_instant_pictures_are_made_once():
    engine = StandIn(resolution=64)
    w = engine.sample(3)
    stands_in = instant(engine)
    pictures = [stands_in.edit(w, None, resolution=32) for _ in range(20)]
    assert engine.drawn == 8
    assert all(picture.shape == (1, 32, 32, 3) for picture in pictures)
    assert (pictures[0] == pictures[8]).all() and (pictures[0] != pictures[1]).any()
    assert stands_in.render(w).shape == (1, 64, 64, 3)


def test_no_frame():
    with pytest.raises(StyleRigError, match="expected a frame"):
        studio_client.parse(b"HTTP/1.1 200")


def test_a_head_never_rests():
    angles = studio.sway()
    found = [next(angles) for _ in range(200)]
    assert all(a != b for a, b in itertools.pairwise(found))
    assert max(map(abs, found)) <= 20
