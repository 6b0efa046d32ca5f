from __future__ import annotations

import io
import logging
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from PIL import Image

from stylerig_fast.data import shard as shard_module
from stylerig_fast.data.portraits import PortraitSet, write_shard
from stylerig_fast.errors import DataError


def arrays(n: int = 5, size: int = 64, num_ws: int = 4, seed: int = 0) -> dict[str, Any]:
    """Smooth pictures (WebP keeps them) and codes that float16 holds exactly."""
    rng = np.random.default_rng(seed)
    coarse = rng.integers(0, 256, (n, 4, 4, 3), dtype=np.uint8)
    images = np.stack(
        [np.asarray(Image.fromarray(item).resize((size, size), Image.Resampling.BICUBIC)) for item in coarse]
    )
    return {
        "w_a": rng.standard_normal((n, 512)).astype(np.float16),
        "w_b": rng.standard_normal((n, 512)).astype(np.float16),
        "mix": rng.uniform(size=(n, num_ws)).astype(np.float16),
        "images": images,
        "landmarks": rng.uniform(size=(n, 68, 2)).astype(np.float32),
        "detected": rng.uniform(size=n) < 0.5,
    }


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for i in range(3):
        write_shard(tmp_path / f"portraits-{i:05d}-of-00003.parquet", **arrays(seed=i), generator="tiny")
    return tmp_path


def first(folder: Path) -> Path:
    return folder / "portraits-00000-of-00003.parquet"


def rewrite(path: Path, column: str, value: Any) -> None:
    """Replaces a column of a shard, or drops it where ``value`` is None."""
    table = pq.read_table(path)
    index = table.column_names.index(column)
    table = table.remove_column(index) if value is None else table.set_column(index, column, value)
    pq.write_table(table, path)


def test_round_trip(folder: Path) -> None:
    portraits = PortraitSet.load(folder, size=64)
    assert len(portraits) == 15
    assert (portraits.num_ws, portraits.size, portraits.generator) == (4, 64, "tiny")
    for i in range(3):
        part, made = portraits.subset(slice(5 * i, 5 * i + 5)), arrays(seed=i)
        np.testing.assert_array_equal(part.w_a.numpy(), made["w_a"].astype(np.float32))
        np.testing.assert_array_equal(part.w_b.numpy(), made["w_b"].astype(np.float32))
        np.testing.assert_array_equal(part.mix.numpy(), made["mix"].astype(np.float32))
        np.testing.assert_array_equal(part.detected.numpy(), made["detected"])
        np.testing.assert_allclose(part.landmarks.numpy(), made["landmarks"], atol=1e-6)
        difference = part.images.float() - torch.from_numpy(made["images"]).permute(0, 3, 1, 2)
        assert difference.square().mean().sqrt() < 5  # of 255: what WebP loses
        assert part.images.dtype == torch.uint8


def test_shards_are_stored_as_documented(folder: Path) -> None:
    table = pq.read_table(first(folder))
    made = arrays()
    assert table.column_names == ["w_a", "w_b", "mix", "image", "landmarks68", "detected"]
    assert table.schema.field("w_a").type == pa.list_(pa.float16(), 512)
    assert table.schema.field("mix").type == pa.list_(pa.float16(), 4)
    row = table.slice(0, 1).to_pylist()[0]
    assert Image.open(io.BytesIO(row["image"])).format == "WEBP"
    np.testing.assert_allclose(np.reshape(row["landmarks68"], (68, 2)), made["landmarks"][0] * 64, atol=1e-4)
    assert not list(folder.glob(".*"))


def test_ws(folder: Path) -> None:
    portraits = PortraitSet.load(folder, size=8)
    made = arrays(seed=1)
    w_a, w_b, mix = (made[name][2].astype(np.float32) for name in ("w_a", "w_b", "mix"))
    expected = w_a[None] + mix[:, None] * (w_b - w_a)[None]
    ws = portraits.ws(torch.tensor([7]))
    assert ws.shape == (1, 4, 512) and ws.dtype == torch.float32
    np.testing.assert_allclose(ws[0].numpy(), expected, atol=1e-5)
    assert torch.equal(portraits.ws([7, 0])[0], ws[0])
    assert torch.equal(portraits.ws(slice(7, 8)), ws)
    assert torch.equal(portraits.ws(torch.arange(15) == 7), ws)
    assert torch.equal(portraits.ws()[7:8], ws)
    assert portraits.ws(torch.empty(0, dtype=torch.long)).shape == (0, 4, 512)


def test_pictures_may_stay_behind() -> None:
    images, (detected, w_a, w_b, mix) = torch.zeros(2, 3, 4, 4, dtype=torch.uint8), torch.rand(4, 2, 1)
    portraits = PortraitSet(images, torch.rand(2, 68, 2), detected > 0, w_a, w_b, mix, "g")
    without, whole = (portraits.to("meta", pictures=there) for there in (False, True))
    assert without.images is portraits.images and whole.images.is_meta
    assert without.generator == "g" and without.landmarks.is_meta and without.ws([1, 0]).is_meta


def test_ends_of_the_mix_are_exact(tmp_path: Path) -> None:
    made = arrays(n=1)
    made["mix"][:] = np.array([[0, 1, 0, 1]], dtype=np.float16)
    write_shard(tmp_path / "a.parquet", **made, generator="")
    ws = PortraitSet.load(tmp_path, size=8).ws()[0].numpy()
    np.testing.assert_array_equal(ws[[0, 2]], np.repeat(made["w_a"].astype(np.float32), 2, 0))
    np.testing.assert_array_equal(ws[[1, 3]], np.repeat(made["w_b"].astype(np.float32), 2, 0))


def test_box_filter(folder: Path) -> None:
    whole = PortraitSet.load(folder, size=64).images.float()
    half = PortraitSet.load(folder, size=32).images.float()
    assert (torch.nn.functional.avg_pool2d(whole, 2) - half).abs().max() <= 0.5
    assert PortraitSet.load(folder, size=48, limit=2).images.shape == (2, 3, 48, 48)
    with pytest.raises(DataError, match="64x64; ask for a size up to that, not 65"):
        PortraitSet.load(folder, size=65)


def test_choosing_shards(folder: Path) -> None:
    everything = PortraitSet.load(folder, size=8)

    def chosen(**options: Any) -> list[int]:
        part = PortraitSet.load(folder, size=8, **options)
        return [int((everything.w_a == code).all(1).nonzero()) for code in part.w_a]

    assert chosen(shards="train") == list(range(10))
    assert chosen(shards="held-out") == list(range(10, 15))
    assert chosen(shards=[-1, 0]) == [*range(10, 15), *range(5)]
    assert chosen(shards=slice(1, None)) == list(range(5, 15))
    assert chosen(limit=7) == list(range(7))
    assert chosen(limit=99) == list(range(15))
    with pytest.raises(ValueError, match=r"shards names \[3\], but the set has 3"):
        chosen(shards=[0, 3])
    with pytest.raises(ValueError, match="chooses none"):
        chosen(shards=[])
    with pytest.raises(ValueError, match="'test'"):
        chosen(shards="test")
    with pytest.raises(ValueError, match="limit=0"):
        chosen(limit=0)
    with pytest.raises(DataError, match="only shard"):
        PortraitSet.load(first(folder), size=8, shards="train")
    assert len(PortraitSet.load([first(folder), first(folder)], size=8)) == 10


def test_cache_of_decoded_pictures(
    folder: Path, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch, caplog: Any
) -> None:
    cache = tmp_path_factory.mktemp("cache")
    decoded = PortraitSet.load(folder, size=32)
    PortraitSet.load(folder, size=32, limit=2, cache=cache)
    assert not list(cache.iterdir())  # half a shard is not kept
    PortraitSet.load(folder, size=32, cache=cache)
    assert len(list(cache.iterdir())) == 3

    def broken(*_: object) -> None:
        raise AssertionError("decoded although cached")

    with monkeypatch.context() as patch:
        patch.setattr(shard_module, "_decode", broken)
        again = PortraitSet.load(folder, size=32, cache=cache)
        assert torch.equal(again.images, decoded.images) and torch.equal(again.landmarks, decoded.landmarks)
        assert torch.equal(PortraitSet.load(folder, size=32, limit=7, cache=cache).images, decoded.images[:7])
        with pytest.raises(AssertionError, match="decoded although cached"):
            PortraitSet.load(folder, size=16, cache=cache)
    entry = next(cache.iterdir())
    content = bytearray(entry.read_bytes())
    content[len(content) // 2] ^= 255
    entry.write_bytes(content)
    with caplog.at_level(logging.WARNING):
        assert torch.equal(PortraitSet.load(folder, size=32, cache=cache).images, decoded.images)
    assert "decoded again" in caplog.text
    # A shard of the same name with other content is another entry.
    write_shard(first(folder), **arrays(seed=9), generator="tiny")
    assert not torch.equal(PortraitSet.load(folder, size=32, cache=cache).images, decoded.images)


@pytest.mark.parametrize("column", ["w_a", "w_b", "mix", "image", "landmarks68", "detected"])
def test_missing_column(folder: Path, column: str) -> None:
    rewrite(first(folder), column, None)
    with pytest.raises(DataError, match=rf"portraits-00000.*: column {column} is missing \(found: .*train sample"):
        PortraitSet.load(folder)


@pytest.mark.parametrize(
    ("column", "value", "message"),
    [
        ("w_a", pa.array([[0.0] * 511] * 5), "row 0 of column w_a has 511 values, expected 512"),
        ("w_b", pa.array([[0.0] * 512] * 4 + [[0.0]]), "row 4 of column w_b has 1 values, expected 512"),
        ("w_b", pa.array([[0.0] * 512] * 4 + [None]), "row 4 of column w_b has no value, expected 512"),
        ("mix", pa.array([[0.5] * 4] * 3 + [[0.5] * 3] * 2), "row 3 of column mix has 3 values, expected 4"),
        ("landmarks68", pa.array([[1.0] * 132] * 5), "row 0 of column landmarks68 has 132 values, expected 136"),
        ("w_a", pa.array([["a"] * 512] * 5), "column w_a is list<.*string>, expected a list of 512 floats"),
        ("w_a", pa.array([[0.0] * 511 + [float("nan")]] * 5), "row 0 of column w_a holds a value that is no finite"),
        ("w_a", pa.array([[0.0] * 511 + [None]] * 5), "row 0 of column w_a holds a value that is no finite"),
        ("image", pa.array(["text"] * 5), "column image is string"),
        ("image", pa.array([b"RIFF"] * 5), "the image of row 0 cannot be decoded"),
        ("detected", pa.array([1] * 5), "column detected is int64"),
        ("detected", pa.array([True] * 4 + [None]), "column detected is bool with 1 nulls"),
    ],
)
def test_damaged_column(folder: Path, column: str, value: Any, message: str) -> None:
    rewrite(first(folder), column, value)
    with pytest.raises(DataError, match=message) as caught:
        PortraitSet.load(folder, size=32)
    assert "portraits-00000-of-00003.parquet" in str(caught.value)


def test_lists_from_other_writers(folder: Path) -> None:
    expected = PortraitSet.load(folder, size=8)
    path = first(folder)
    for column in ("w_a", "mix", "landmarks68"):
        plain = pq.read_table(path)[column].to_pylist()
        rewrite(path, column, pa.array(plain, type=pa.large_list(pa.float64())))
    again = PortraitSet.load(folder, size=8)
    assert torch.equal(again.ws(), expected.ws()) and torch.equal(again.landmarks, expected.landmarks)


def test_truncated_shard(folder: Path) -> None:
    content = first(folder).read_bytes()
    first(folder).write_bytes(content[: len(content) // 2])
    with pytest.raises(DataError, match=r"portraits-00000.*: cannot be read as Parquet.*again"):
        PortraitSet.load(folder)


def test_nothing_to_read(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"no \*\.parquet shard.*train sample"):
        PortraitSet.load(tmp_path)
    with pytest.raises(DataError, match=r"absent: no such file or folder"):
        PortraitSet.load(tmp_path / "absent")
    write_shard(tmp_path / "a.parquet", **{name: value[:0] for name, value in arrays().items()}, generator="")
    with pytest.raises(DataError, match="holds no portrait"):
        PortraitSet.load(tmp_path)


def test_shards_that_do_not_fit(folder: Path) -> None:
    path = folder / "portraits-00001-of-00003.parquet"
    write_shard(path, **arrays(num_ws=6), generator="tiny")
    with pytest.raises(DataError, match="made for 6 slots of generator 'tiny' .*, but .* for 4 of 'tiny'"):
        PortraitSet.load(folder, size=8)
    write_shard(path, **arrays(), generator="other")
    with pytest.raises(DataError, match="'other'"):
        PortraitSet.load(folder, size=8)
    write_shard(path, **arrays(), generator="tiny", generator_sha256="c0ffee")
    with pytest.raises(DataError, match="c0ffee"):
        PortraitSet.load(folder, size=8)


def test_missing_shard_is_said(folder: Path, caplog: pytest.LogCaptureFixture) -> None:
    first(folder).unlink()
    with caplog.at_level(logging.WARNING):
        PortraitSet.load(folder, size=8)
    assert "holds 2 shards, their names say [3]" in caplog.text


def test_pictures_of_different_sizes(folder: Path) -> None:
    table = pq.read_table(first(folder))
    images = table["image"].to_pylist()
    buffer = io.BytesIO()
    Image.new("RGB", (64, 32)).save(buffer, "WEBP")
    images[1] = buffer.getvalue()
    rewrite(first(folder), "image", pa.array(images, type=pa.binary()))
    with pytest.raises(DataError, match=r"sizes \[\(64, 32\), \(64, 64\)\]"):
        PortraitSet.load(folder, size=16)


def test_write_refuses_wrong_shapes_and_leaves_nothing(tmp_path: Path) -> None:
    made = arrays()
    for name, value, message in (
        ("w_b", made["w_b"][:4], r"w_b has shape \(4, 512\), expected \(5, 512\)"),
        ("landmarks", made["landmarks"][:, :66], r"landmarks has shape \(5, 66, 2\)"),
        ("images", made["images"].astype(np.float32), "images are float32"),
        ("images", made["images"][:, :, :32], "images has shape"),
    ):
        with pytest.raises(ValueError, match=message):
            write_shard(tmp_path / "a.parquet", **made | {name: value}, generator="")
    assert not list(tmp_path.iterdir())


def test_failed_write_keeps_what_was_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "a.parquet"
    write_shard(path, **arrays(), generator="")
    before = path.read_bytes()

    def fails(*_: object) -> None:
        raise OSError("disk full")

    monkeypatch.setattr(pq, "write_table", fails)
    with pytest.raises(OSError, match="disk full"):
        write_shard(path, **arrays(seed=1), generator="")
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]


def test_shared_portraits(shared: Path) -> None:
    portraits = PortraitSet.load(shared / "data" / "portraits", shards="held-out", limit=50)
    assert (len(portraits), portraits.num_ws, portraits.size) == (50, 16, 128)
    assert portraits.generator == "mobilestylegan-ffhq"
    assert portraits.detected.float().mean() > 0.9
    # FFHQ's alignment puts the eyes and the mouth in the same places in every picture.
    mean = portraits.landmarks[portraits.detected].mean(0)
    eyes, mouth = mean[36:48].mean(0), mean[48:68].mean(0)
    torch.testing.assert_close(eyes, torch.tensor([0.5, 0.48]), atol=0.03, rtol=0)
    torch.testing.assert_close(mouth, torch.tensor([0.5, 0.7]), atol=0.05, rtol=0)
    assert 60 < portraits.images.float().mean() < 180
