"""docs/examples/run_onnx.py in a fresh process that has neither torch nor stylerig_fast."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from stylerig_fast.face.rotation import axis_angle_to_degrees, degrees_to_axis_angle

SCRIPT = Path(__file__).resolve().parents[2] / "docs" / "examples" / "run_onnx.py"

# Runs a script in a process in which these packages cannot be imported.
WITHOUT = """
import runpy, sys

class Blocked:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in ("torch", "stylerig_fast", "onnx", "export", "scipy"):
            raise ImportError(f"{name} is blocked in this test")

sys.meta_path.insert(0, Blocked())
sys.argv = sys.argv[1:]
runpy.run_path(sys.argv[0], run_name="__main__")
assert not {"torch", "stylerig_fast", "onnx"} & set(sys.modules)
"""


def script(*arguments, cwd=None) -> subprocess.CompletedProcess:
    command = [sys.executable, "-c", WITHOUT, str(SCRIPT), *map(str, arguments), "--threads", "1"]
    return subprocess.run(command, capture_output=True, text=True, cwd=cwd)


def test_edits_a_person_as_the_engine_does(engine, graphs, tmp_path):
    request = ["--person", 3, "--yaw", 20, "--pitch", -4, "--expression", "jawOpen=0.5", "mouthSmileLeft=0.3"]
    done = script(graphs, *request, "--out", tmp_path / "edited.npy", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert done.stdout == f"wrote {tmp_path / 'edited.npy'}, 64x64\n"
    w = torch.from_numpy(np.load(graphs / "people.npy")[3:4])
    params = engine.params(w).with_pose(yaw=20, pitch=-4).with_expression(jawOpen=0.5, mouthSmileLeft=0.3)
    expected = engine.edit(w, params)[0]
    assert np.abs(np.load(tmp_path / "edited.npy").astype(int) - expected).max() <= 1
    assert np.abs(engine.render(w)[0].astype(int) - expected).mean() > 2


@pytest.mark.parametrize("name", ["person.png", "person.ppm"])
def test_an_unchanged_person_from_a_file(engine, graphs, tmp_path, name):
    w = engine.sample(seed=9)
    np.save(tmp_path / "w.npy", w.numpy())
    done = script(graphs, "--latent", tmp_path / "w.npy", "--out", tmp_path / name)
    assert done.returncode == 0, done.stderr
    # To degrees and back moves a rotation by a rounding.
    picture = np.asarray(Image.open(tmp_path / name)).astype(int)
    assert np.abs(picture - engine.edit(w, engine.params(w))[0]).max() <= 1


def test_a_changed_graph_is_not_run(graphs, tmp_path):
    import shutil

    folder = Path(shutil.copytree(graphs, tmp_path / "graphs"))
    content = bytearray((folder / "edit.onnx").read_bytes())
    content[1000] ^= 1
    (folder / "edit.onnx").write_bytes(content)
    done = script(folder, "--out", tmp_path / "x.npy")
    assert done.returncode != 0
    assert "edit.onnx is not the file that was exported" in done.stderr
    assert not (tmp_path / "x.npy").exists()


def test_its_rotations_are_ours():
    import runpy

    module = runpy.run_path(str(SCRIPT))
    for degrees in ([20.0, -8.0, 2.0], [0.0, 0.0, 0.0], [-35.0, 12.0, -9.0]):
        ours = degrees_to_axis_angle(torch.tensor([degrees], dtype=torch.float64))
        np.testing.assert_allclose(module["to_axis_angle"](np.array(degrees)), ours[0].numpy(), atol=1e-9)
        back = module["to_degrees"](ours[0].numpy())
        np.testing.assert_allclose(back, axis_angle_to_degrees(ours)[0].numpy(), atol=1e-9)
