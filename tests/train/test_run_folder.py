"""States to resume from: of the former format, damaged, and of another network."""

from __future__ import annotations

import json
import math
from pathlib import Path

import pytest
import torch

from stylerig_fast.checkpoint import save_checkpoint
from stylerig_fast.errors import CheckpointError, TrainingDiverged
from stylerig_fast.rignet import RENAMED, RigConfig, build
from stylerig_fast.train.config import RigDataConfig, RigRunConfig, RigTraining
from stylerig_fast.train.run_folder import RunFolder

SIZES = {"identity": 2, "albedo": 2, "expression": 2, "illumination": 27, "rotation": 3, "translation": 3}


def config_in(runs: Path, resume: bool = True) -> RigTraining:
    data = RigDataConfig(portraits=Path("portraits"), reconstructor=Path("reconstructor"))
    return RigTraining(data=data, run=RigRunConfig(name="rig", runs=runs, resume=resume))


def parts(seed: int, rank: int = 3):
    torch.manual_seed(seed)
    rig = build(RigConfig(num_ws=2, sizes=SIZES, w_dim=4, components=5, rank=rank))
    optimiser = torch.optim.AdamW(rig.parameters())
    rig.offset(torch.randn(2, 2, 4), torch.randn(2, 39), torch.randn(2, 39)).square().sum().backward()
    optimiser.step()
    return rig, optimiser, torch.Generator().manual_seed(seed)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    with RunFolder(config_in(tmp_path)) as record:
        record.save_state(7, *parts(0))
        return record.folder


def restored(runs: Path, rank: int = 3):
    rig, optimiser, draw = parts(1, rank)
    with RunFolder(config_in(runs)) as record:
        return record.load_state(rig, optimiser, draw), rig, optimiser, draw


@pytest.mark.parametrize("former", [False, True])
def test_a_state_is_restored_whatever_its_tensors_are_called(folder: Path, tmp_path: Path, former: bool) -> None:
    if former:
        rig, optimiser, draw = parts(0)
        names = {name: old for old, name in RENAMED.items()}
        state = {f"module.{names.get(name, name)}": value for name, value in rig.state_dict().items()}
        for index, values in optimiser.state_dict()["state"].items():
            state |= {f"optimiser.{index}.{name}": torch.as_tensor(value) for name, value in values.items()}
        save_checkpoint(folder / "state", "training state", {"step": 7}, state | {"draw": draw.get_state()})
        head = json.loads((folder / "state" / "config.json").read_text())
        (folder / "state" / "config.json").write_text(json.dumps(head | {"format": 1}))
    step, rig, optimiser, draw = restored(tmp_path)
    expected = parts(0)
    assert step == 7
    assert all(torch.equal(value, rig.state_dict()[name]) for name, value in expected[0].state_dict().items())
    moments = optimiser.state_dict()["state"]
    for index, values in expected[1].state_dict()["state"].items():
        assert torch.equal(moments[index]["exp_avg"], values["exp_avg"])
    assert torch.equal(draw.get_state(), expected[2].get_state())


def test_a_state_of_another_network(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match=r"(?s)state: not a state of this training .*size mismatch"):
        restored(tmp_path, rank=2)


@pytest.mark.parametrize("lost", ["draw", "module.gain"])
def test_a_state_that_lacks_something(folder: Path, tmp_path: Path, lost: str) -> None:
    from stylerig_fast.checkpoint import read_checkpoint

    config, state = read_checkpoint(folder / "state", "training state")
    state.pop(lost)
    save_checkpoint(folder / "state", "training state", config, state)
    with pytest.raises(CheckpointError, match="state: not a state of this training"):
        restored(tmp_path)


@pytest.mark.parametrize("text", ["null", "[]", "3", "{", "", "[" * 100_000, '{"a": NaN}'])
def test_a_damaged_config(folder: Path, tmp_path: Path, text: str) -> None:
    (folder / "config.json").write_text(text)
    with pytest.raises(CheckpointError, match=r"config\.json: not the config of a run"):
        RunFolder(config_in(tmp_path))


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_a_loss_that_is_no_number_ends_the_training(folder: Path, tmp_path: Path, value: float) -> None:
    with RunFolder(config_in(tmp_path)) as record:
        record.log(25, {"loss": 1.0})
        with pytest.raises(
            TrainingDiverged, match=r"diverged: after step 50 edit is .*; the state of an earlier step is"
        ):
            record.log(50, {"loss": 1.0, "edit": value})


def test_a_network_that_is_no_number_does_not_replace_the_state(folder: Path, tmp_path: Path) -> None:
    rig, optimiser, draw = parts(2)
    with torch.no_grad():
        rig.direction[0, 0] = math.nan
    with RunFolder(config_in(tmp_path)) as record, pytest.raises(TrainingDiverged, match="direction holds NaN"):
        record.save_state(9, rig, optimiser, draw)
    assert restored(tmp_path)[0] == 7
