"""metrics.json: what is written is read, and so is what the first format wrote."""

from __future__ import annotations

import json

import pytest

from stylerig_fast.errors import DataError
from stylerig_fast.evaluation.metrics.registry import metric_goals
from stylerig_fast.evaluation.metrics_file import FORMAT, read_metrics, renamed_metric


def test_the_first_format_is_read_in_todays_names(tmp_path):
    estimate = {"value": 0.5, "low": 0.4, "high": 0.6, "n": 3}
    names = ["yaw.gain", "smile.smile_width_gain", "drift.yaw_to_smile_width", "mirror.identity", "witness.yaw_by_own"]
    old = {
        "settings": {"model": "m"},
        "reconstructor": {"title": "r", "settings": {}, "figures": {"pose.yaw_error": estimate}, "missed": []},
        "rig": {"title": "r", "settings": {}, "figures": dict.fromkeys(names, estimate), "missed": names[:2]},
        "second_rig": None,
        "frechet_network": "n",
        "methods": [{"method": "direct optimisation", "found": 1.0, "drift": 0.1, "outside_interval": [0, 1]}],
        "standings": [{"method": "style mixing", "more_drift": {"value": 1.0}, "rig_has_drift": "less"}],
        "reach": {"yaw": {"range": [0, 1], "steps": [{"asked": 1.0, "found": 1.0, "gain": 1.0}]}},
        "layers": {},
        "seconds": {},
    }
    path = tmp_path / "metrics.json"
    path.write_text(json.dumps(old))
    found = read_metrics(path)
    assert found["format"] == FORMAT and "standings" not in found
    assert list(found["rig"]["metrics"]) == [
        *("yaw.gain", "smile.gain", "off_target_change.yaw_to_mouth_width", "noise_floor.identity"),
        "reconstructor_agreement.yaw_by_training",
    ]
    assert found["rig"]["missed"] == ["yaw.gain", "smile.gain"]
    assert found["methods"] == [
        {"method": "latent optimization", "detected": 1.0, "off_target_change": 0.1, "background_interval": [0, 1]}
    ]
    assert found["iso_identity"][0]["rig_has_off_target_change"] == "less"
    assert found["reach"]["yaw"]["steps"] == [{"amount": 1.0, "detected": 1.0, "gain": 1.0}]


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("smile.smile_width_monotone_share", "smile.monotone_share"),
        ("smile.smile_width_gain_by_mesh", "smile.gain_by_mesh"),
        ("smile.corner_height_gain", "smile.corner_height_gain"),
        ("jaw.change_seen", "jaw.change_measured"),
        ("drift_mean.yaw_to_smile_width", "off_target_change_mean.yaw_to_mouth_width"),
        ("mirror.smile_width", "noise_floor.mouth_width"),
        ("outside.yaw_over_style_mixing", "background.yaw_over_style_mixing"),
        ("witness.jaw_in_picture", "reconstructor_agreement.jaw_in_picture"),
        ("light.asked_side_share", "light.requested_side_share"),
        ("detected.share", "detected.share"),
    ],
)
def test_names_of_the_first_format(old, new):
    assert renamed_metric(old) == new


def test_the_published_report_is_read_and_names_todays_goals():
    from tests.modules import ROOT

    found = read_metrics(ROOT / "docs" / "report" / "metrics.json")
    goals = {name for name, each in found["rig"]["metrics"].items() if "goal" in each}
    assert goals == {name for name in metric_goals() if "pucker" not in name}
    assert len(found["iso_identity"]) > 20


def test_other_files_are_refused(tmp_path):
    path = tmp_path / "metrics.json"
    with pytest.raises(DataError, match="cannot be read"):
        read_metrics(path)
    path.write_text("[]")
    with pytest.raises(DataError, match="no reports of rig and reconstructor"):
        read_metrics(path)
    path.write_text('{"format": 3, "rig": {}, "reconstructor": {}}')
    with pytest.raises(DataError, match="metrics format 3, this version reads 1 to 2"):
        read_metrics(path)
