from __future__ import annotations

import math
import re
import xml.etree.ElementTree as ElementTree

import pytest
import torch

from stylerig_fast.evaluation.comparison import MethodScore
from stylerig_fast.evaluation.html_report.page import write_page
from stylerig_fast.evaluation.html_report.parts import number, picture_grid, table
from stylerig_fast.evaluation.iso_identity import IsoIdentityComparison
from stylerig_fast.evaluation.metrics.results import Goal, Report
from stylerig_fast.evaluation.paper_figures import Grid
from stylerig_fast.evaluation.plan import EvaluationPlan
from stylerig_fast.evaluation.protocol import Evaluation
from stylerig_fast.measurement.edit_kinds import EDIT_KINDS
from stylerig_fast.measurement.edit_runner import MeasuredEdits
from stylerig_fast.measurement.range_sweep import Sweep, SweepStep
from stylerig_fast.measurement.statistics import Estimate
from stylerig_fast.plotting import Series, bars, histogram, plot, ticks
from tests.measured import STD, measurements


def well_formed(svg):
    root = ElementTree.fromstring(svg[: svg.index("</svg>") + 6])
    coordinates = re.findall(r' (?:x|y|cx|cy|x1|y1|width|height)="([^"]+)"', svg)
    assert all(math.isfinite(float(value)) for value in coordinates)
    return root


def test_plots_are_well_formed_whatever_the_data():
    well_formed(plot([Series("a<b", [(0, 1), (math.nan, 2), (3, math.inf)])], "x & y", "z", band=(0.8, 1.2)))
    well_formed(plot([], "x", "y"))
    well_formed(plot([Series("one", [(1, 1)])], "x", "y"))
    well_formed(bars({"a": [1, -2, math.nan], "b": [0, 0, 3]}, ["p", "q", "r"], "edit", "gain"))
    well_formed(histogram([0.0] * 10, "constant"))
    well_formed(histogram(torch.randn(500).tolist(), "normal"))


@pytest.mark.parametrize(("low", "high"), [(0, 1), (-35, 37.7), (0, 0.003), (1e5, 3e5)])
def test_ticks_are_round_and_inside(low, high):
    found = ticks(low, high)
    assert 3 <= len(found) <= 9
    assert all(low - 1e-9 <= value <= high + 1e-9 for value in found)


def test_cells_are_escaped_and_unknown_numbers_are_dashes():
    assert "<script>" not in table(["<script>"], [["<script>", "met"]])
    assert number(math.nan) == "-"
    assert number(0.12345) == "0.123"


def report(title):
    figures = {"yaw.gain": Estimate(0.9, 0.8, 1.0, 5), "yaw.error": Estimate(math.nan, math.nan, math.nan, 0)}
    return Report(title, figures, {"yaw.gain": Goal(0.95, 1.05)})


def test_the_page_needs_nothing_else(tmp_path):
    some = Estimate(0.5, 0.4, 0.6, 5)
    people = measurements(5)
    measured = MeasuredEdits(people, people, (), torch.zeros(5, 3), torch.zeros(0))
    evaluation = Evaluation(EvaluationPlan(5), STD, report("reconstructor"), report("rig <b>"), measured)
    evaluation.scores = [
        MethodScore(method, "yaw", strength, some, some, some, some, some, 1.0)
        for method in ("rig", "no edit")
        for strength in (0.7, 1.0)
    ]
    less, unclear = Estimate(0.2, 0.1, 0.3, 5), Estimate(0.1, -0.1, 0.3, 5)
    evaluation.iso_identity = [
        IsoIdentityComparison("style mixing", kind, 0.3, 0.1, 0.3, less, 0.1, 0.2, more)
        for kind, more in (("yaw", less), ("pitch", less), ("smile", unclear))
    ]
    steps = tuple(SweepStep(a, Estimate(0.9, 0.8, 1.0, 5), Estimate(1, 1, 1, 5), some) for a in (-10.0, 10.0))
    evaluation.sweeps = [Sweep(EDIT_KINDS["yaw"], steps)]
    evaluation.layers = {"pose": torch.rand(16)}
    evaluation.histograms = {"yaw, degrees": torch.randn(100)}
    evaluation.grids = {"Strips": Grid(torch.zeros(2, 3, 16, 16, 3, dtype=torch.uint8), ("a", "b", "c"), ("<i>", "y"))}
    evaluation.second_rig = report("second")
    write_page(tmp_path / "index.html", evaluation, {"model": "<me>", "seed": 0})
    page = (tmp_path / "index.html").read_text(encoding="utf-8")
    assert not re.search(r'(src|href)="(?!data:image/webp;base64,|#)', page)
    assert "<me>" not in page and "&lt;me&gt;" in page
    assert "<i>" not in page.replace('<i style="background', "")
    for title in ("At a glance", "Beside the baselines", "Reach", "Pictures", "Layers", "All metrics", "Settings"):
        assert title in page
    assert "missed" in page
    assert (
        "Beside style mixing the rig errs less in yaw, pitch, smile. It changes other measures less in yaw, pitch; "
        "is not told apart in smile."
    ) in page


def test_grids_hold_every_picture():
    grid = Grid(torch.zeros(2, 3, 16, 16, 3, dtype=torch.uint8), ("", "", ""), ("first", "second"))
    assert picture_grid(grid).count("<img") == 6
