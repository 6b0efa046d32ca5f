"""``stylerig export``, from its words to its files."""

from __future__ import annotations

import json
import sys

import pytest
import torch
import tyro

from stylerig_fast.commands.export import ExportCommand
from stylerig_fast.engine import Engine
from stylerig_fast.errors import BackendUnavailable, ExportError
from tests.engine.backends.tensorrt_stand_in import use


def command(*words):
    commands = {"export": ExportCommand, "other": ExportCommand}
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
        str(tmp_path / "graphs" / name)
        for name in ("rig.onnx", "generator.onnx", "edit.onnx", "reconstructor.onnx", "people.npy")
    ]
    command("triton", "--graphs", tmp_path / "graphs", "--out", tmp_path / "models")
    assert "stylerig_edit/config.pbtxt" in capsys.readouterr().out
    assert (tmp_path / "models" / "stylerig_edit" / "1" / "model.onnx").is_file()


def test_tensorrt_says_what_is_missing(graphs, monkeypatch):
    use(monkeypatch)
    monkeypatch.setitem(sys.modules, "tensorrt", None)
    with pytest.raises(BackendUnavailable, match="the tensorrt backend"):
        command("tensorrt", "--graphs", graphs)


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_tensorrt_for_rtx_without_a_gpu(graphs, tmp_path, monkeypatch, capsys):
    use(monkeypatch, "rtx")
    monkeypatch.setattr("platformdirs.user_data_dir", lambda *_, **__: str(tmp_path / "data"))
    command("tensorrt", "--graphs", graphs, "--out", tmp_path / "plans", "--json")
    said = json.loads(capsys.readouterr().out)
    assert said["runs on"].startswith("GPUs of compute capability 8.6, 8.9")
    assert said["wrote"] == [str(tmp_path / "plans" / f"{name}.plan") for name in ("generator", "edit")]


def test_triton_takes_no_plans_of_rtx(graphs, tmp_path, monkeypatch):
    use(monkeypatch, "rtx")
    with pytest.raises(ExportError, match="Triton runs plans of TensorRT 10 or 11, and here is TensorRT for RTX"):
        command("triton", "--graphs", graphs, "--out", tmp_path / "models", "--plans")


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
