from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest

from stylerig_fast.evaluation import ablations
from stylerig_fast.evaluation.ablations import ABLATIONS, SHOWN, Ablations
from stylerig_fast.evaluation.metrics.registry import metric_goals
from stylerig_fast.train.config import RigDataConfig, RigTraining
from stylerig_fast.train.rig import train as rig
from stylerig_fast.train.rig.dataset_statistics import DatasetStatistics


def test_each_ablation_changes_something_and_one_is_the_whole():
    whole = RigTraining(data=RigDataConfig(portraits=Path("d"), reconstructor=Path("r")))
    changed = {name: change(whole) for name, change in ABLATIONS.items()}
    assert changed.pop("whole") == whole
    assert all(config != whole for config in changed.values())
    assert len({str(dataclasses.asdict(config)) for config in changed.values()}) == len(changed)


def test_what_is_shown_has_a_goal():
    """But for the background, whose goal is beside style mixing."""
    assert set(SHOWN) - set(metric_goals()) == {"background.yaw"}


def test_what_is_trained_is_not_trained_again(tmp_path, monkeypatch, capsys):
    trained, solved = [], []

    def solve(config, stats):
        assert stats == "stats"
        solved.append(config.run.name)
        return f"solved for {config.run.name}"

    def train(config, stats, start):
        trained.append((config.run.name, stats, start))
        engine = config.run.runs / config.run.name / "engine"
        engine.mkdir(parents=True)
        (engine / "reach.json").write_text("{}")

    monkeypatch.setattr(rig, "run", train)
    monkeypatch.setattr(rig, "solve", solve)
    monkeypatch.setattr(DatasetStatistics, "load", lambda config: "stats")
    monkeypatch.setattr(ablations, "measure", lambda folder, controls, config: {"yaw.gain": 0.9})
    arguments = ["--data", "d", "--reconstructor", "r", "--runs", str(tmp_path), "--only"]
    arguments += ["whole", "no-siamese", "one-edit-for-all"]
    assert ablations.main(arguments) == 0
    assert ablations.main(arguments) == 0
    # What is solved before training is shared where its settings are the same.
    assert solved == ["ablation-whole", "ablation-one-edit-for-all"]
    assert trained == [
        ("ablation-whole", "stats", "solved for ablation-whole"),
        ("ablation-no-siamese", "stats", "solved for ablation-whole"),
        ("ablation-one-edit-for-all", "stats", "solved for ablation-one-edit-for-all"),
    ]
    assert "0.900" in capsys.readouterr().out
    assert (tmp_path / "ablations.json").is_file()


def test_unknown_names_are_listed(tmp_path):
    with pytest.raises(ValueError, match=r"unknown ablations \['x'\]; there are whole"):
        ablations.run(Ablations(data=tmp_path, reconstructor=tmp_path, only=("x",)))
