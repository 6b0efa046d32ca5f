"""Portrait sets made to harm: formats that start programs, pictures and columns that unpack to much more."""

from __future__ import annotations

import io
import struct
import subprocess
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from stylerig_fast.data.portraits import PortraitSet
from stylerig_fast.errors import DataError

SIZE = 32


def stored(kind: str, width: int = SIZE, height: int = SIZE, **options: Any) -> bytes:
    buffer = io.BytesIO()
    Image.new("RGB", (width, height), (90, 120, 60)).save(buffer, kind, **options)
    return buffer.getvalue()


def png_that_says(width: int, height: int) -> bytes:
    """A PNG whose header promises pixels that are not there."""

    def chunk(name: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(b"")) + chunk(b"IEND", b"")


def floats(rows: int, length: int) -> pa.Array:
    values = np.zeros(rows * length, np.float16 if length != 136 else np.float32)
    return pa.FixedSizeListArray.from_arrays(pa.array(values), length)


def write(path: Path, pictures: list[bytes], **columns: pa.Array) -> Path:
    rows = len(pictures)
    table = {
        "w_a": floats(rows, 512),
        "w_b": floats(rows, 512),
        "mix": floats(rows, 6),
        "image": pa.array(pictures, type=pa.binary()),
        "landmarks68": floats(rows, 136),
        "detected": pa.array(np.ones(rows, bool)),
    }
    pq.write_table(pa.table(table | columns), path)
    return path


@pytest.mark.parametrize("kind", ["EPS", "TIFF", "BMP", "GIF", "TGA", "PPM", "ICO", "PCX", "JPEG2000"])
def test_other_formats_are_not_decoded(kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: Any, **__: Any) -> Any:
        raise AssertionError("a program was started")

    monkeypatch.setattr(subprocess, "Popen", refuse)
    path = write(tmp_path / "set.parquet", [stored(kind)])
    with pytest.raises(DataError, match="the image of row 0 cannot be decoded: it is none of WEBP, PNG, JPEG"):
        PortraitSet.load(path, size=SIZE)


@pytest.mark.parametrize("kind", ["WEBP", "PNG", "JPEG"])
def test_these_are(kind: str, tmp_path: Path) -> None:
    portraits = PortraitSet.load(write(tmp_path / "set.parquet", [stored(kind)] * 3), size=SIZE)
    assert np.abs(portraits.images[2].float().mean((1, 2)).numpy() - [90, 120, 60]).max() < 4


@pytest.mark.parametrize(
    "picture",
    [
        png_that_says(2**31 - 1, 2**31 - 1),
        png_that_says(12_000, 12_000),
        png_that_says(SIZE, SIZE),
        stored("WEBP", 5000, 16),
        stored("PNG", 16, 5000),
        stored("JPEG")[:100],
        b"",
    ],
    ids=["bomb", "large", "cut", "wide", "high", "truncated", "empty"],
)
def test_pictures_that_cannot_be(picture: bytes, tmp_path: Path) -> None:
    path = write(tmp_path / "set.parquet", [stored("PNG"), picture])
    with pytest.raises(DataError, match="the image of row 1 cannot be decoded"):
        PortraitSet.load(path, size=SIZE)


def test_equal_pictures_are_one_value(tmp_path: Path) -> None:
    """3000 rows of one picture of 300 kB: 900 MB, if each row had its own."""
    from stylerig_fast.data.shard import _encoded

    noise = np.random.default_rng(0).integers(0, 256, (316, 316, 3), dtype=np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(noise).save(buffer, "PNG")
    path = write(tmp_path / "set.parquet", [buffer.getvalue()] * 3000)
    assert path.stat().st_size < 1 << 20
    encoded = _encoded(path, pq.read_table(path, read_dictionary=["image"])["image"])
    assert len(encoded) == 3000
    assert len({id(value) for value in encoded}) < 3000 / 50
    assert encoded[-1] == buffer.getvalue()


def test_rows_that_cost_nothing(tmp_path: Path) -> None:
    path = write(tmp_path / "set.parquet", [stored("WEBP")] * 40_000)
    with pytest.raises(DataError, match=r"says that it holds 40000 portraits in \d+ bytes"):
        PortraitSet.load(path, size=SIZE)


@pytest.mark.parametrize("column", ["w_a", "w_b", "mix", "landmarks68"])
def test_lists_that_are_too_long(column: str, tmp_path: Path) -> None:
    lists = pa.ListArray.from_arrays(pa.array([0, 3_000_000]), pa.array(np.zeros(3_000_000, np.float32)))
    path = write(tmp_path / "set.parquet", [stored("WEBP")], **{column: lists})
    with pytest.raises(DataError, match=f"column {column} holds 3000000 values in 1 rows, expected at most"):
        PortraitSet.load(path, size=SIZE)


def test_a_column_that_unpacks_to_much_more(tmp_path: Path) -> None:
    pictures = [stored("BMP", 2000, 1500)]
    path = tmp_path / "set.parquet"
    write(path, pictures)
    pq.write_table(pq.read_table(path), path, compression="zstd")
    with pytest.raises(DataError, match=r"column image unpacks to \d+ bytes, but the file has \d+"):
        PortraitSet.load(path, size=SIZE)
