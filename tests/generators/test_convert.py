"""From a file of another project to the folder that everything loads."""

from __future__ import annotations

import json
import pickle
from pathlib import Path

import numpy as np
import pytest
import torch

from stylerig_fast.cli import main
from stylerig_fast.errors import CheckpointError
from stylerig_fast.generators import open_generator
from stylerig_fast.generators.convert import check_finite, convert_checkpoint
from stylerig_fast.generators.stylegan2 import StyleGAN2

GOLDENS = Path(__file__).resolve().parents[3] / "shared" / "goldens"
FILES = {
    "stylegan2_ada_64.pkl": "stylegan2",
    "stylegan2_tf_64.pkl": "stylegan2",
    "rosinality_stylegan2_64.pt": "stylegan2",
    "genforce_stylegan1_64.pth": "stylegan1",
    "stylegan3_t_64.pkl": "stylegan3",
    "stylegan3_r_64.pkl": "stylegan3",
}


@pytest.mark.parametrize("file", FILES)
def test_every_golden_becomes_a_folder_that_draws_its_pictures(
    file: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    if not (GOLDENS / file).is_file():
        pytest.skip("../shared/goldens is not there")
    out, preview = tmp_path / "folder", tmp_path / "people.png"
    words = ["convert", "generator", str(GOLDENS / file), "--out", str(out), "--preview", str(preview), "--people", "3"]
    assert main([*words, "--json"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert report["family"] == FILES[file] and preview.is_file()
    assert sorted(path.name for path in out.iterdir()) == ["config.json", "model.safetensors"]
    generator = open_generator(out)
    assert (generator.family, generator.name) == (FILES[file], file.rpartition(".")[0])
    assert report["sha256"] == generator.fingerprint()
    golden = np.load((GOLDENS / file).with_suffix(".npz"))
    expected = torch.from_numpy(golden["image"])
    with torch.no_grad():
        assert (generator.synthesis(torch.from_numpy(golden["ws"])) - expected).abs().max() <= 1e-3 * expected.std()
        w = generator.truncate(generator.mapping(torch.from_numpy(golden["z"])), float(golden["psi"]))
    mapped = torch.from_numpy(golden["w_mapped"])
    mapped = mapped if mapped.ndim == 3 else mapped[:, None]
    assert (w - mapped).abs().max() <= 1e-3 * mapped.std()


def test_what_is_no_generator_is_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "other.pkl"
    path.write_bytes(pickle.dumps({"optimizer": [1, 2], "epoch": 3}))
    assert main(["convert", "generator", str(path), "--out", str(tmp_path / "out")]) == 2
    message = capsys.readouterr().err
    assert "no generator checkpoint of a known format" in message and "optimizer, epoch" in message
    assert not (tmp_path / "out").exists()


def test_nothing_is_written_for_a_hostile_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    sentinel = tmp_path / "sentinel"

    class Hostile:
        def __reduce__(self):
            return __import__("os").system, (f"touch {sentinel}",)

    path = tmp_path / "hostile.pkl"
    path.write_bytes(pickle.dumps({"G_ema": Hostile()}))
    assert main(["convert", "generator", str(path), "--out", str(tmp_path / "out")]) == 2
    assert "system" in capsys.readouterr().err
    assert sorted(item.name for item in tmp_path.iterdir()) == ["hostile.pkl"]


def test_weights_that_are_not_finite_are_refused(tmp_path: Path) -> None:
    generator = StyleGAN2(channels=(4, 4), mapping_layers=1)
    with torch.no_grad():
        generator.const[0, 0, 0] = torch.nan
    with pytest.raises(CheckpointError, match=r"1 tensors hold values that are not finite: const;.*--allow-nonfinite"):
        check_finite(generator, "file.pkl")


def test_the_name_is_the_files(tmp_path: Path) -> None:
    if not (GOLDENS / "stylegan2_ada_64.pkl").is_file():
        pytest.skip("../shared/goldens is not there")
    assert convert_checkpoint(GOLDENS / "stylegan2_ada_64.pkl")[0].name == "stylegan2_ada_64"
    assert convert_checkpoint(GOLDENS / "stylegan2_ada_64.pkl", "mine")[0].name == "mine"
