from __future__ import annotations

import json
from pathlib import Path

import pytest

from stylerig_fast.data.portraits import PortraitSet
from stylerig_fast.errors import BackendUnavailable, CheckpointError
from stylerig_fast.generators import MobileStyleGAN
from stylerig_fast.measurement.landmarks import LandmarkDetector
from stylerig_fast.train.config import SampleConfig
from stylerig_fast.train.sample_portraits import run


@pytest.fixture
def generator() -> MobileStyleGAN:
    return MobileStyleGAN(channels=(8, 8, 8), w_dim=512, mapping_layers=1, name="untrained").requires_grad_(False)


@pytest.fixture(autouse=True)
def needs_dlib() -> None:
    try:
        LandmarkDetector(boxes=1)
    except BackendUnavailable as error:
        pytest.skip(str(error))


@pytest.mark.parametrize("workers", [0, 2])
def test_makes_a_set(
    generator: MobileStyleGAN, tmp_path: Path, capsys: pytest.CaptureFixture[str], workers: int
) -> None:
    config = SampleConfig(out=tmp_path / "set", count=5, shard_size=3, size=16, seed=2, boxes=1, workers=workers)
    paths = run(config, generator=generator)
    assert [path.name for path in paths] == ["portraits-00000-of-00002.parquet", "portraits-00001-of-00002.parquet"]
    portraits = PortraitSet.load(tmp_path / "set", size=16)
    assert len(portraits) == 5 and portraits.generator == "untrained"
    assert not portraits.detected.any()  # noise, with dlib's fixed box
    assert 0.2 < portraits.landmarks.mean() < 0.8
    assert "5/5" in capsys.readouterr().out
    recorded = json.loads((tmp_path / "set" / "sample.json").read_text())
    assert recorded["landmarks"] == "dlib 68, mean of 1" and recorded["generator"] == "untrained"
    before = [path.read_bytes() for path in paths]
    assert [path.read_bytes() for path in run(config, generator=generator)] == before


def test_unknown_generator(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="generator 'other': neither a folder nor one of"):
        run(SampleConfig(out=tmp_path / "set", generator="other"))
    assert not (tmp_path / "set").exists()
