"""The command from end to end, on two people: slow, because baselines are fitted and every method is rendered."""

from __future__ import annotations

import pytest

from stylerig_fast.cli import main
from stylerig_fast.engine.reach import Reach
from stylerig_fast.errors import BackendUnavailable
from stylerig_fast.evaluation import EvaluationPlan
from stylerig_fast.evaluation.metrics_file import read_metrics
from stylerig_fast.measurement.landmarks import LandmarkDetector


@pytest.mark.exhaustive
def test_the_whole_evaluation(shared, tmp_path):
    try:
        LandmarkDetector()
    except BackendUnavailable as error:
        pytest.skip(str(error))
    out = tmp_path / "report"
    arguments = ["--portraits", str(shared / "data" / "portraits"), "--out", str(out), "--quick", "--people", "2"]
    assert main(["evaluate", *arguments]) == 0
    found = read_metrics(out / "metrics.json")
    assert found["std"]["origin"] == "reference of mobilestylegan-ffhq"
    assert 0.7 < found["rig"]["metrics"]["yaw.gain"]["value"] < 1.4
    methods = {row["method"] for row in found["methods"]}
    assert {"rig", "no edit", "style mixing", "pattern direction", "steering", "latent optimization"} <= methods
    assert (out / "index.html").stat().st_size > 300_000
    # Of two people the ranges are noise; that the Engine reads them is not.
    assert "jawOpen" in Reach.load(out / "reach.json").expression


def test_a_plan_of_few_people_compares_no_more_than_there_are():
    assert EvaluationPlan.full() == EvaluationPlan()
    plan = EvaluationPlan.full(30, seed=2)
    assert (plan.people, plan.compared, plan.swept, plan.mirrored, plan.seed) == (30, 24, 30, 30, 2)
    quick = EvaluationPlan.quick(3)
    assert (quick.people, quick.compared, quick.swept, quick.mirrored, quick.short) == (3, 3, 3, 3, True)


@pytest.mark.parametrize(
    ("extra", "message"),
    [
        (["--compare", "mobilestylegan-ffhq"], "--compare belongs to the whole evaluation"),
        (["--analyzers", "-1"], "--analyzers -1: at least 0"),
        (["--judges", "-1"], "--analyzers -1: at least 0"),  # its name before,
        (["--out", __file__], "is a file, not a folder"),
    ],
)
def test_options_that_cannot_be(extra, message, capsys, tmp_path):
    assert main(["evaluate", "--portraits", str(tmp_path), *extra]) == 2
    assert message in capsys.readouterr().err
