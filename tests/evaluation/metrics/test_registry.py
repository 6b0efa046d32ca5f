"""The registry: metrics get what they name, those that lack it are left out, and wrong ones are refused at once."""

from __future__ import annotations

import pytest

from stylerig_fast.evaluation.metrics import registry
from stylerig_fast.evaluation.metrics.registry import (
    METRICS,
    MetricInputs,
    compute_metrics,
    metric_goals,
    register_metric,
)
from stylerig_fast.evaluation.metrics.results import Goal
from stylerig_fast.measurement.statistics import Estimate


@pytest.fixture
def empty(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(registry, "METRICS", {})


def test_every_metric_of_the_evaluation_is_registered():
    assert set(METRICS) == {
        *("edit_accuracy", "identity", "off_target_change", "background", "background_over_style_mixing"),
        *("disentanglement", "detected", "glasses", "frechet_distance", "noise_floor", "reconstructor_agreement"),
    }
    assert {"yaw.gain", "pucker.gain", "identity.expression", "frechet.edited_over_unedited"} <= set(metric_goals())


@pytest.mark.usefixtures("empty")
def test_a_metric_is_computed_where_its_inputs_are_there():
    @register_metric({"double.seed": Goal(high=5)})
    def double(seed: int) -> dict[str, Estimate]:
        return {"double.seed": Estimate(2 * seed, 0, 0, 1)}

    @register_metric()
    def counted(measured: list[int]) -> dict[str, Estimate]:
        return {"counted": Estimate(len(measured), 0, 0, 1)}

    assert {name: each.value for name, each in compute_metrics(MetricInputs(seed=3)).items()} == {"double.seed": 6}
    everything = compute_metrics(MetricInputs(seed=3, measured=[1, 2]))  # type: ignore[arg-type]
    assert {name: each.value for name, each in everything.items()} == {"double.seed": 6, "counted": 2}
    assert list(compute_metrics(MetricInputs(measured=[1]), only=["counted"])) == ["counted"]  # type: ignore[arg-type]
    assert metric_goals() == {"double.seed": Goal(high=5)}


@pytest.mark.usefixtures("empty")
def test_wrong_metrics_are_refused():
    def strange(pictures: int) -> dict[str, Estimate]:
        return {}

    def twice(seed: int) -> dict[str, Estimate]:
        return {}

    with pytest.raises(TypeError, match=r"metric strange takes \['pictures'\]"):
        register_metric()(strange)
    register_metric()(twice)
    with pytest.raises(TypeError, match="two metrics named twice"):
        register_metric()(twice)
    with pytest.raises(ValueError, match=r"no metrics \['fid'\]; there are twice"):
        compute_metrics(MetricInputs(), only=["fid"])
