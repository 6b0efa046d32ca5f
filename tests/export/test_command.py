"""``stylerig export``, from its words to its files."""

from __future__ import annotations

import json
import sys

import pytest
import tyro

from stylerig_fast.commands.export import Export
from stylerig_fast.engine import Engine
from stylerig_fast.errors import BackendUnavailable, ExportError


def command(*words):
    commands = {"export": Export, "other": Export}
    config = (tyro.conf.FlagCreatePairsOff,)
    made = tyro.extras.subcommand_cli_from_dict(commands, args=["export", *map(str, words)], config=config)
    made.run()


@pytest.fixture(autouse=True)
def small(engine, monkeypatch):
    """The small engine in place of the pretrained one."""
    monkeypatch.setattr(Engine, "from_pretrained", lambda model, **options: engine)


def test_onnx_then_triton(tmp_path, capsys):
    pytest.importorskip("stylerig_fast.export", reason="export/ is not installed; run `make install` again")
    command("onnx", "--out", tmp_path / "graphs", "--precision", "fp16", "--batch", 2, "--resolution", 32, "--json")
    said = json.loads(capsys.readouterr().out)
    assert (said["precision"], said["batch"], said["resolution"]) == ("fp16", "static 2", 32)
    assert said["wrote"] == [
        str(tmp_path / "graphs" / f"{n}.onnx") for n in ("rig", "generator", "edit", "reconstructor")
    ]
    command("triton", "--graphs", tmp_path / "graphs", "--out", tmp_path / "models")
    assert "stylerig_edit/config.pbtxt" in capsys.readouterr().out
    assert (tmp_path / "models" / "stylerig_edit" / "1" / "model.onnx").is_file()


def test_tensorrt_says_what_is_missing(graphs):
    with pytest.raises(BackendUnavailable, match="the tensorrt backend"):
        command("tensorrt", "--graphs", graphs)


def test_without_onnx(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "onnx", None)
    with pytest.raises(ExportError, match=r"needs onnx .*pip install 'stylerig-fast\[export\]'"):
        command("onnx", "--out", tmp_path)


@pytest.mark.parametrize("what", ["", "onnx", "tensorrt", "triton"])
def test_help(what, capsys):
    with pytest.raises(SystemExit) as stopped:
        command(*what.split(), "--help")
    assert stopped.value.code == 0
    assert "usage" in capsys.readouterr().out
