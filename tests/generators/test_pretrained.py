from __future__ import annotations

import json
import logging
import shutil
from importlib import metadata
from pathlib import Path
from typing import Any

import pytest
import torch

from stylerig_fast.errors import CheckpointError
from stylerig_fast.generators import Generator, load_pretrained
from stylerig_fast.generators import pretrained as module
from stylerig_fast.generators.formats.random_face import FILES


@pytest.fixture
def package(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, cache: Path) -> Path:
    """A copy of the installed package's data that a test may damage."""
    folder = tmp_path / "site" / "random_face" / "data"
    shutil.copytree(module.find_package(), folder)

    class Copy:
        version = module.VERSION

        def locate_file(self, path: str) -> Path:
            return tmp_path / "site" / path

    monkeypatch.setattr(metadata, "distribution", lambda name: Copy())
    return folder


def missing(name: str) -> Any:
    raise metadata.PackageNotFoundError(name)


def folder_of(cache: Path) -> Path:
    return cache / "generators" / f"mobilestylegan-ffhq-{module.CONVERTER}"


def test_cache_records_where_it_comes_from(cache: Path, pretrained: Generator) -> None:
    head = json.loads((folder_of(cache) / "config.json").read_text())
    assert head["config"]["origin"]["source_sha256"].keys() == set(FILES)
    assert len(head["sha256"]) == 64
    assert sorted(path.name for path in folder_of(cache).iterdir()) == ["config.json", "model.safetensors"]
    assert (pretrained.num_ws, pretrained.w_dim, pretrained.resolution) == (16, 512, 1024)
    assert not any(item.requires_grad for item in pretrained.parameters())
    assert not pretrained.training


def test_cached_copy_needs_no_package(cache: Path, pretrained: Generator, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(metadata, "distribution", missing)
    again = load_pretrained(cache_dir=cache)
    assert all(
        torch.equal(a, b) for a, b in zip(again.state_dict().values(), pretrained.state_dict().values(), strict=True)
    )


def test_missing_package_names_the_command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(metadata, "distribution", missing)
    with pytest.raises(CheckpointError, match=r"pip install --no-deps random-face==2021\.7\.21\.1"):
        load_pretrained(cache_dir=tmp_path)
    assert not list(tmp_path.iterdir())


def test_unknown_name() -> None:
    with pytest.raises(CheckpointError, match=r"'stylegan9'.*mobilestylegan-ffhq"):
        load_pretrained("stylegan9")


def test_other_version(package: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Old:
        version = "2020.1"

    monkeypatch.setattr(metadata, "distribution", lambda name: Old())
    with pytest.raises(CheckpointError, match=r"random-face 2020\.1 is installed, expected 2021\.7\.21\.1"):
        load_pretrained(cache_dir=tmp_path / "cache")


@pytest.mark.parametrize("file", FILES)
def test_truncated_file(package: Path, tmp_path: Path, file: str) -> None:
    content = (package / file).read_bytes()
    (package / file).write_bytes(content[:-100])
    with pytest.raises(CheckpointError, match=rf"{file}: {len(content) - 100} bytes.*--force-reinstall"):
        load_pretrained(cache_dir=tmp_path / "cache")
    assert not (tmp_path / "cache").exists()


def test_absent_file(package: Path, tmp_path: Path) -> None:
    (package / "SynthesisNetwork.bin").unlink()
    with pytest.raises(CheckpointError, match=r"SynthesisNetwork\.bin: cannot be read \(No such file.*pip install"):
        load_pretrained(cache_dir=tmp_path / "cache")


@pytest.mark.parametrize("damage", ["truncated", "flipped", "config", "no weights", "another family"])
def test_damaged_cache_is_converted_again(
    cache: Path, pretrained: Generator, tmp_path: Path, caplog: pytest.LogCaptureFixture, damage: str
) -> None:
    copy = tmp_path / "cache"
    shutil.copytree(cache, copy)
    weights, config = folder_of(copy) / "model.safetensors", folder_of(copy) / "config.json"
    content = bytearray(weights.read_bytes())
    if damage == "truncated":
        weights.write_bytes(content[:-5000])
    elif damage == "flipped":
        content[len(content) // 2] ^= 1
        weights.write_bytes(content)
    elif damage == "config":
        config.write_text('{"format": 1,')
    elif damage == "no weights":
        weights.unlink()
    else:
        config.write_text(config.read_text().replace('"family": "mobilestylegan"', '"family": "gan"'))
    with caplog.at_level(logging.WARNING):
        again = load_pretrained(cache_dir=copy)
    assert "converting mobilestylegan-ffhq again" in caplog.text
    torch.testing.assert_close(again.state_dict(), pretrained.state_dict())
    caplog.clear()
    load_pretrained(cache_dir=copy)
    assert not caplog.text


def test_unwritable_cache_still_loads(pretrained: Generator, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    blocked = tmp_path / "file"
    blocked.write_text("a file where the cache folder should be")
    with caplog.at_level(logging.WARNING):
        generator = load_pretrained(cache_dir=blocked)
    assert "cannot be kept" in caplog.text
    torch.testing.assert_close(generator.state_dict(), pretrained.state_dict())
