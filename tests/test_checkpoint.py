from __future__ import annotations

import json
import os
import re

import pytest
import torch

from stylerig_fast import checkpoint
from stylerig_fast.errors import CheckpointError
from stylerig_fast.rignet import RigConfig, RigNet, build

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


def test_interrupted_write_leaves_the_old_file(tmp_path, monkeypatch):
    target = tmp_path / "file"
    checkpoint.write_atomically(target, b"old")

    def fail(_: int) -> None:
        raise OSError("disk full")

    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(OSError, match="disk full"):
        checkpoint.write_atomically(target, b"new")
    assert target.read_bytes() == b"old"
    assert [path.name for path in tmp_path.iterdir()] == ["file"]
