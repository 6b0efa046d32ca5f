from __future__ import annotations

import hashlib
import json
import os
import re
from functools import partial

import pytest
import torch

from stylerig_fast import checkpoint
from stylerig_fast.errors import CheckpointError
from stylerig_fast.rignet import RigConfig, RigNet, build
from tests import kill_points

SIZES = {"identity": 5, "albedo": 4, "expression": 3, "illumination": 27, "rotation": 3, "translation": 3}


@pytest.fixture
def folder(tmp_path):
    rig = build(RigConfig(num_ws=2, sizes=SIZES, form="linear", w_dim=8, encoder=4))
    rig.save_pretrained(tmp_path / "rig")
    return tmp_path / "rig"


def test_round_trip(folder):
    first, second = RigNet.from_pretrained(folder), RigNet.from_pretrained(folder)
    first.save_pretrained(folder.parent / "again")
    assert not first.training
    for name, value in RigNet.from_pretrained(folder.parent / "again").state_dict().items():
        assert torch.equal(value, second.state_dict()[name])


def test_truncated_weights(folder):
    weights = folder / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-10])
    with pytest.raises(CheckpointError, match=r"model\.safetensors: sha256"):
        RigNet.from_pretrained(folder)


@pytest.mark.parametrize("name", ["config.json", "model.safetensors"])
def test_missing_file_is_named(folder, name):
    (folder / name).unlink()
    with pytest.raises(CheckpointError, match=re.escape(name)):
        RigNet.from_pretrained(folder)


@pytest.mark.parametrize("content", ["", "[]", "{}", '{"kind": 3}', "\x00"])
def test_damaged_config(folder, content):
    (folder / "config.json").write_text(content)
    with pytest.raises(CheckpointError, match=r"config\.json"):
        RigNet.from_pretrained(folder)


def test_other_kind(folder):
    with pytest.raises(CheckpointError, match="holds a 'rig' checkpoint, expected 'reconstructor'"):
        checkpoint.read_checkpoint(folder, "reconstructor")


def test_config_that_does_not_fit_the_tensors(folder):
    head = json.loads((folder / "config.json").read_text())
    head["config"]["num_ws"] = 3
    (folder / "config.json").write_text(json.dumps(head))
    with pytest.raises(CheckpointError, match=r"do not fit the config: .*decoder"):
        RigNet.from_pretrained(folder)


def test_unknown_config_key(folder):
    head = json.loads((folder / "config.json").read_text())
    head["config"]["surprise"] = 1
    (folder / "config.json").write_text(json.dumps(head))
    with pytest.raises(CheckpointError, match="surprise"):
        RigNet.from_pretrained(folder)


# ---- crashes -----------------------------------------------------------------------------------


def value_in(folder):
    _, tensors = checkpoint.read_checkpoint(folder, "toy")
    assert len(set(tensors["x"].tolist())) == 1
    return float(tensors["x"][0])


def save(folder, value):
    checkpoint.save_checkpoint(folder, "toy", {"value": value}, {"x": torch.full((1000,), float(value))})


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
@pytest.mark.parametrize("first", ["nothing", "a checkpoint", "what a killed process left"])
def test_either_checkpoint_survives_a_kill_at_any_moment(tmp_path, first):
    def prepared(name):
        folder = tmp_path / name
        if first != "nothing":
            save(folder, 1)
        if first == "what a killed process left":
            # Killed after the head was renamed: the weights that it names wait under another name.
            save(folder, 2)
            weights = (folder / "model.safetensors").read_bytes()
            digest = json.loads((folder / "config.json").read_text())["sha256"]
            (folder / f".model.safetensors.{digest[:16]}.waiting").write_bytes(weights)
            (folder / "model.safetensors").write_bytes(b"the one before")
            assert value_in(folder) == 2
        return folder

    events = kill_points.run(partial(save, prepared("whole"), 3))
    assert events > 6
    old = {"nothing": None, "a checkpoint": 1.0}.get(first, 2.0)
    seen = set()
    for event in range(events):
        folder = prepared(f"killed-{event}")
        assert kill_points.run(partial(save, folder, 3), kill_at=event) == event
        try:
            seen.add(value_in(folder))
        except CheckpointError:
            assert old is None
            seen.add(None)
        save(folder, 4)
        assert value_in(folder) == 4
        assert sorted(os.listdir(folder)) == ["config.json", "model.safetensors"]
    assert seen == {old, 3.0}


def test_a_full_disk_leaves_the_old_checkpoint(tmp_path, monkeypatch):
    save(tmp_path, 1)
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    for failing in ("fsync", "replace"):
        with monkeypatch.context() as patch:
            patch.setattr(os, failing, lambda *_: (_ for _ in ()).throw(OSError(28, "No space left on device")))
            with pytest.raises(OSError, match="No space left"):
                save(tmp_path, 2)
        assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before


# ---- configs that ask for much -----------------------------------------------------------------


class Toy(torch.nn.Module):
    def __init__(self, layers, width):
        super().__init__()
        self.layers = torch.nn.ModuleList(torch.nn.Linear(width, width) for _ in range(layers))


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({"layers": 10**9, "width": 2}, "asks for many more tensors than model.safetensors holds"),
        ({"layers": 2, "width": 10**6}, "tensors do not fit the config: .*weight"),
        ({"layers": 2, "width": 10**12}, "not a toy config of this version"),
        ({"layers": 2, "width": -1}, "not a toy config of this version"),
        ({"layers": [], "width": 2}, "not a toy config of this version"),
        ({"layers": 1, "width": 2}, "tensors do not fit the config"),
    ],
)
def test_a_config_gets_no_more_than_the_weights_explain(tmp_path, config, message):
    checkpoint.save_checkpoint(tmp_path, "toy", config, Toy(2, 2).state_dict())
    with pytest.raises(CheckpointError, match=message):
        checkpoint.load_checkpoint(tmp_path, "toy", lambda given: Toy(**given))


@pytest.mark.parametrize(
    "damage", [lambda data: data[:-1], lambda data: b"", lambda data: data.replace(b"F32", b"F33")]
)
def test_damaged_weights_whose_sum_is_right(tmp_path, damage):
    save(tmp_path, 1)
    weights = damage((tmp_path / "model.safetensors").read_bytes())
    (tmp_path / "model.safetensors").write_bytes(weights)
    head = json.loads((tmp_path / "config.json").read_text()) | {"sha256": hashlib.sha256(weights).hexdigest()}
    (tmp_path / "config.json").write_text(json.dumps(head))
    with pytest.raises(CheckpointError, match="not a safetensors file"):
        value_in(tmp_path)
