from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from stylerig_fast.data import sampling
from stylerig_fast.data.portraits import PortraitSet
from stylerig_fast.data.sampling import SetConfig, draw_codes, sample_set
from stylerig_fast.errors import DataError
from stylerig_fast.generators import Generator
from stylerig_fast.generators.stylegan2 import StyleGAN2
from stylerig_fast.measurement.landmarks import Landmarks
from tests.ops.meshes import needs_kernels


class TinyGenerator(Generator):
    """Pictures whose 4x4 blocks of colour are 48 numbers of the code, one slot after the other."""

    name = "tiny"

    def __init__(self) -> None:
        super().__init__()
        self.num_ws, self.resolution = 6, 64
        self.register_buffer("w_mean", torch.linspace(-0.2, 0.2, 512))

    def config(self) -> dict[str, object]:
        return {}

    def mapping(self, z: Tensor) -> Tensor:
        return 0.3 * z + self.w_mean

    def synthesis(self, ws: Tensor, resolution: int | None = None, noise: Sequence[Tensor] | None = None) -> Tensor:
        colours = ws[:, :, :8].reshape(-1, 3, 4, 4).tanh()
        return F.interpolate(colours, size=resolution or self.resolution, mode="bilinear")


class TinyDetector:
    """Landmarks that say which picture they are of: its mean colours."""

    def __init__(self, before: Callable[[], None] = lambda: None) -> None:
        self.before = before
        self.sizes: set[tuple[int, ...]] = set()

    def detect(self, images: np.ndarray) -> Landmarks:
        self.before()
        self.sizes.add(images.shape[1:])
        means = torch.from_numpy(images).float().mean((1, 2)) / 255
        return Landmarks(means[:, None, :2].expand(-1, 68, -1), means[:, 0] > 0.5)


@pytest.fixture
def generator() -> Generator:
    return TinyGenerator()


CONFIG = SetConfig("tiny", count=10, shard_size=4, size=32, seed=7)


def contents(paths: list[Path]) -> list[bytes]:
    return [path.read_bytes() for path in paths]


def test_set_reads_back_and_regenerates(generator: Generator, tmp_path: Path) -> None:
    detector = TinyDetector()
    done: list[int] = []
    paths = sample_set(tmp_path / "set", CONFIG, generator, detector, batch=3, advance=done.append)
    assert [path.name for path in paths] == [f"portraits-0000{i}-of-00003.parquet" for i in range(3)]
    assert sorted(path.name for path in (tmp_path / "set").iterdir()) == [*(path.name for path in paths), "sample.json"]
    assert sum(done) == 10
    assert detector.sizes == {(64, 64, 3)}
    portraits = PortraitSet.load(tmp_path / "set", size=32)
    assert (len(portraits), portraits.num_ws, portraits.generator) == (10, 6, "tiny")
    again = generator.synthesis(portraits.ws())
    difference = F.avg_pool2d(again, 2).clamp(-1, 1) - (portraits.images.float() / 127.5 - 1)
    assert difference.abs().mean() < 0.06  # WebP's loss
    means = again.add(1).div(2).mean((2, 3))
    torch.testing.assert_close(portraits.landmarks[:, 0], means[:, :2], atol=0.01, rtol=0)
    sure = (means[:, 0] - 0.5).abs() > 0.01
    assert torch.equal(portraits.detected[sure], means[sure, 0] > 0.5)
    assert json.loads((tmp_path / "set" / "sample.json").read_text())["seed"] == 7


def test_same_seed_same_bytes_whatever_the_batch(generator: Generator, tmp_path: Path) -> None:
    one = contents(sample_set(tmp_path / "a", CONFIG, generator, TinyDetector(), batch=1))
    other = contents(sample_set(tmp_path / "b", CONFIG, generator, TinyDetector(), batch=4))
    assert one == other
    seed8 = SetConfig("tiny", count=10, shard_size=4, size=32, seed=8)
    assert contents(sample_set(tmp_path / "c", seed8, generator, TinyDetector()))[0] != one[0]
    assert len(set(one)) == 3


def test_interrupted_run_goes_on(generator: Generator, tmp_path: Path) -> None:
    whole = contents(sample_set(tmp_path / "whole", CONFIG, generator, TinyDetector(), batch=2))
    calls = 0

    def interrupt() -> None:
        nonlocal calls
        calls += 1
        if calls == 4:  # in the middle of the second shard
            raise KeyboardInterrupt

    folder = tmp_path / "set"
    with pytest.raises(KeyboardInterrupt):
        sample_set(folder, CONFIG, generator, TinyDetector(interrupt), batch=2)
    assert sorted(path.name for path in folder.iterdir()) == ["portraits-00000-of-00003.parquet", "sample.json"]
    finished = folder / "portraits-00000-of-00003.parquet"
    before = finished.stat()
    done: list[int] = []
    paths = sample_set(folder, CONFIG, generator, TinyDetector(), batch=2, advance=done.append)
    assert contents(paths) == whole
    after = finished.stat()
    assert (before.st_mtime_ns, before.st_ino) == (after.st_mtime_ns, after.st_ino)
    assert done[0] == 4 and sum(done) == 10


def test_shard_does_not_depend_on_the_others(generator: Generator, tmp_path: Path) -> None:
    paths = sample_set(tmp_path / "set", CONFIG, generator, TinyDetector())
    whole = contents(paths)
    paths[1].unlink()
    assert contents(sample_set(tmp_path / "set", CONFIG, generator, TinyDetector())) == whole


def test_interrupt_while_writing_leaves_no_shard(
    generator: Generator, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    (tmp_path / "set").mkdir()
    monkeypatch.setattr(sampling, "_record", lambda *_: None)  # its own file is renamed as well
    monkeypatch.setattr("stylerig_fast.data.shard.os.replace", interrupted)
    with pytest.raises(KeyboardInterrupt):
        sample_set(tmp_path / "set", CONFIG, generator, TinyDetector())
    assert not list((tmp_path / "set").iterdir())


def test_other_settings_are_refused(generator: Generator, tmp_path: Path) -> None:
    folder = tmp_path / "set"
    before = contents(sample_set(folder, CONFIG, generator, TinyDetector()))
    other = SetConfig("tiny", count=10, shard_size=4, size=32, seed=8, psi=(0.7, 0.7))
    with pytest.raises(
        DataError, match=r"psi \[0.5, 1.0\] \(now \[0.7, 0.7\]\), seed 7 \(now 8\); sample into another"
    ):
        sample_set(folder, other, generator, TinyDetector())
    (folder / "sample.json").write_text("{")
    with pytest.raises(DataError, match=r"sample\.json: damaged"):
        sample_set(folder, CONFIG, generator, TinyDetector())
    (folder / "sample.json").unlink()
    with pytest.raises(DataError, match=r"shards but no sample\.json"):
        sample_set(folder, CONFIG, generator, TinyDetector())
    assert contents(sorted(folder.glob("*.parquet"))) == before


def test_bad_settings(generator: Generator, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="for generator 'other' .*, found 'tiny'"):
        sample_set(tmp_path, SetConfig("other", count=1), generator, TinyDetector())
    for size in (2, 48, 128):
        with pytest.raises(ValueError, match=f"size is {size}, expected a power of two from 4 to 64"):
            sample_set(tmp_path, SetConfig("tiny", count=1, size=size), generator, TinyDetector())
    with pytest.raises(ValueError, match="count and shard_size"):
        SetConfig("tiny", count=0)
    with pytest.raises(ValueError, match="psi is a range"):
        SetConfig("tiny", count=1, psi=(1.0, 0.5))
    with pytest.raises(ValueError, match="seed is at least 0"):
        SetConfig("tiny", count=1, seed=-1)
    assert not list(tmp_path.iterdir())


def test_codes_have_the_documented_distribution(generator: Generator) -> None:
    codes = draw_codes(generator, 4000, seed=1, psi=(0.5, 1.0))
    constant = (codes.mix == 0).all(1)
    steps = codes.mix.diff(dim=1)
    crossover = ((codes.mix == 0) | (codes.mix == 1)).all(1) & (steps >= 0).all(1) & ~constant
    blend = ~constant & ~crossover
    shares = torch.stack([constant, crossover, blend]).float().mean(1)
    # Four standard errors of a share of 0.4 over 4,000.
    torch.testing.assert_close(shares, torch.tensor([0.4, 0.3, 0.3]), atol=0.031, rtol=0)
    # Every switch leaves the first slot to one code and the last to the other, and all places occur.
    assert set(steps[crossover].argmax(1).tolist()) == {0, 1, 2, 3, 4}
    mixes = codes.mix[blend]
    assert mixes.min() >= 0 and mixes.max() <= 1
    torch.testing.assert_close(mixes.mean(0), torch.full((6,), 0.5), atol=0.04, rtol=0)
    assert abs(np.corrcoef(mixes.T.numpy())[0, 1]) < 0.13  # drawn for each slot
    for w in (codes.w_a, codes.w_b):
        # |w - mean| / 0.3 = psi |z|, and |z| of 512 numbers is 22.6 within a few percent.
        psi = (w - generator.w_mean).norm(dim=1) / 0.3 / 512**0.5
        assert 0.4 < psi.min() < 0.55 and 0.95 < psi.max() < 1.15
        assert abs(psi.mean() - 0.75) < 0.02
        assert torch.equal(w, w.half().float())
    assert torch.equal(codes.mix, codes.mix.half().float())
    assert (codes.w_a - codes.w_b).abs().mean() > 0.1


def test_streams_of_shards_and_seeds_differ(generator: Generator) -> None:
    drawn = [draw_codes(generator, 2, seed, shard).w_a for seed in (0, 1, 2) for shard in (0, 1, 2)]
    assert len({tuple(item.flatten().tolist()) for item in drawn}) == 9
    assert torch.equal(draw_codes(generator, 2, 1, 2).w_a, drawn[5])


@needs_kernels
def test_the_compiled_network_draws(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    torch.manual_seed(0)
    small = StyleGAN2(channels=(8,) * 4, mapping_layers=1, name="small").eval().requires_grad_(False)
    for block in small.blocks:
        block.to_rgb.bias.copy_(torch.randn(3))  # type: ignore[operator]
    config = SetConfig("small", count=3, size=16, seed=1)
    monkeypatch.setattr(sampling, "compiled_network", lambda generator, device: None)
    (plain,) = sample_set(tmp_path / "plain", config, small, TinyDetector())
    monkeypatch.undo()
    monkeypatch.setattr(small, "synthesis", lambda *_: pytest.fail("drawn by the plain module"))
    (compiled,) = sample_set(tmp_path / "compiled", config, small, TinyDetector())
    found, wanted = (PortraitSet.load(path, size=16) for path in (compiled, plain))
    assert torch.equal(found.ws(), wanted.ws())
    torch.testing.assert_close(found.landmarks, wanted.landmarks, atol=1e-3, rtol=0)
    # Rounding may move a level here and there, and WebP's loss with it.
    assert (found.images.float() - wanted.images.float()).abs().mean() < 1


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_same_codes_on_cuda(generator: Generator) -> None:
    here, there = draw_codes(generator, 8, 3), draw_codes(TinyGenerator().cuda(), 8, 3)
    torch.testing.assert_close(here.ws(), there.ws(), atol=1e-3, rtol=0)
