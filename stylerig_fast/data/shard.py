"""One Parquet shard of a portrait set: its columns, how it is read and how it is written.

A shard holds ``w_a``, ``w_b`` (512 float16), ``mix`` (num_ws float16), ``image`` (WebP bytes), ``landmarks68``
(136 float32: x, y in pixels of that image) and ``detected`` (bool), one row per portrait. pandas, Hugging Face
datasets and Ray read it as it is.

Shards come from other people. What one unpacks to is bounded by its size before anything is read, a value that many
rows share stays one value, and a picture is decoded only as WebP, PNG or JPEG and only when its size is known.
"""

from __future__ import annotations

import io
import math
import os
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from PIL import Image, UnidentifiedImageError

from stylerig_fast.atomic_files import write_atomically
from stylerig_fast.data.cache import PictureCache
from stylerig_fast.errors import DataError

COLUMNS = ("w_a", "w_b", "mix", "image", "landmarks68", "detected")
W_DIM = 512
WEBP_QUALITY = 85

# Pillow knows more formats, and one of them starts a program to decode (EPS, Ghostscript).
PICTURE_FORMATS = ("WEBP", "PNG", "JPEG")
MAX_SIDE = 4096  # pixels of a stored picture, either way
MAX_NUM_WS = 64
# A real row is some 10 kB of WebP and floats. Files of a few equal rows are smaller: those of tests, for example.
BYTES_PER_ROW, SMALL_SET = 64, 4096
# WebP, PNG and JPEG do not compress further; equal pictures do.
MAX_UNPACKED = 64


@dataclass(frozen=True)
class Shard:
    """What one shard holds, decoded.

    Attributes:
        w_a, w_b: ``(N, 512)`` float16. mix: ``(N, num_ws)`` float16.
        images: ``(N, 3, size, size)`` uint8 RGB.
        landmarks: ``(N, 68, 2)`` float32 in image widths.
        detected: ``(N,)`` bool, False where no face was found and the landmarks are a guess.
        generator: name of the generator that made the pictures, empty if the file does not say.
        generator_sha256: its fingerprint, likewise.
    """

    w_a: np.ndarray
    w_b: np.ndarray
    mix: np.ndarray
    images: np.ndarray
    landmarks: np.ndarray
    detected: np.ndarray
    generator: str
    generator_sha256: str


def read_shard(
    path: Path, size: int, limit: int | None = None, threads: int | None = None, cache: PictureCache | None = None
) -> Shard:
    """Reads and decodes the first ``limit`` rows of ``path`` at ``size`` x ``size`` pixels (box filter).

    Pictures come from ``cache`` if they are there, and a shard that is decoded whole is put there.

    Raises:
        DataError: the file is unreadable, lacks a column, or holds one of another type or length.
    """
    try:
        with pq.ParquetFile(path) as file:
            names = file.schema_arrow.names
            missing = [name for name in COLUMNS if name not in names]
            if missing:
                raise DataError(
                    f"{path}: column {', '.join(missing)} is missing (found: {', '.join(names) or 'none'}; a portrait "
                    f"shard has {', '.join(COLUMNS)}); make the set anew with `python -m stylerig_fast.train sample`"
                )
            _check_extent(path, file.metadata)
        # Pictures as a dictionary: a value that many rows refer to is then not copied for each.
        with pq.ParquetFile(path, read_dictionary=["image"]) as file:
            table = file.read(columns=list(COLUMNS))
    except (pa.ArrowException, OSError, ValueError) as error:
        raise DataError(
            f"{path}: cannot be read as Parquet ({error}); expected a complete portrait shard: delete the file and "
            "fetch or sample it again"
        ) from error
    rows = table.num_rows if limit is None else min(limit, table.num_rows)
    whole = rows == table.num_rows
    table = table.slice(0, rows)
    images, stored = _pictures(path, table, size, threads, cache, whole)
    landmarks = _floats(path, table, "landmarks68", 136, np.float32).reshape(-1, 68, 2) / stored
    metadata = table.schema.metadata or {}
    return Shard(
        w_a=_floats(path, table, "w_a", W_DIM, np.float16),
        w_b=_floats(path, table, "w_b", W_DIM, np.float16),
        mix=_floats(path, table, "mix", None, np.float16),
        images=images,
        landmarks=landmarks.astype(np.float32),
        detected=_detected(path, table),
        generator=metadata.get(b"generator", b"").decode("utf-8", "replace"),
        generator_sha256=metadata.get(b"generator_sha256", b"").decode("utf-8", "replace"),
    )


def write_shard(
    path: Path,
    *,
    w_a: np.ndarray,
    w_b: np.ndarray,
    mix: np.ndarray,
    images: np.ndarray,
    landmarks: np.ndarray,
    detected: np.ndarray,
    generator: str,
    generator_sha256: str = "",
    threads: int | None = None,
) -> None:
    """Writes one shard; ``path`` appears only when it is complete.

    Args:
        path: where to; an existing file is replaced.
        w_a: ``(N, 512)``, stored as float16 like ``w_b`` and ``mix``.
        w_b: ``(N, 512)``.
        mix: ``(N, num_ws)``; the code of slot k is ``w_a + mix[k] * (w_b - w_a)``.
        images: ``(N, size, size, 3)`` uint8 RGB.
        landmarks: ``(N, 68, 2)`` in image widths (stored in pixels of the image).
        detected: ``(N,)`` bool.
        generator: name of the generator.
        generator_sha256: its fingerprint.
        threads: WebP encoders that run side by side, by default one per core.

    Raises:
        ValueError: an array has another shape or dtype.
    """
    n, size = images.shape[:2]
    expected = {"w_a": (n, W_DIM), "w_b": (n, W_DIM), "mix": (n, mix.shape[-1]), "images": (n, size, size, 3)}
    expected |= {"landmarks": (n, 68, 2), "detected": (n,)}
    values = {"w_a": w_a, "w_b": w_b, "mix": mix, "images": images, "landmarks": landmarks, "detected": detected}
    for name, shape in expected.items():
        if values[name].shape != shape:
            raise ValueError(f"{name} has shape {values[name].shape}, expected {shape} for {n} portraits")
    if images.dtype != np.uint8:
        raise ValueError(f"images are {images.dtype}, expected uint8")

    def floats(array: np.ndarray, dtype: type[np.generic]) -> pa.Array:
        flat = np.ascontiguousarray(array.reshape(n, math.prod(array.shape[1:])), dtype=dtype)
        return pa.FixedSizeListArray.from_arrays(pa.array(flat.reshape(-1)), flat.shape[1])

    table = pa.table(
        {
            "w_a": floats(w_a, np.float16),
            "w_b": floats(w_b, np.float16),
            "mix": floats(mix, np.float16),
            "image": pa.array(_parallel(_encode, images, threads), type=pa.binary()),
            "landmarks68": floats(landmarks * np.float32(size), np.float32),
            "detected": pa.array(np.asarray(detected, dtype=bool)),
        },
        metadata={
            "generator": generator,
            "generator_sha256": generator_sha256,
            "image_size": str(size),
            "num_ws": str(mix.shape[-1]),
        },
    )
    buffer = io.BytesIO()
    pq.write_table(table, buffer)
    write_atomically(path, buffer.getvalue())


def _check_extent(path: Path, metadata: pq.FileMetaData) -> None:
    """DataError where a file says that it unpacks to much more than its size explains."""
    size, rows = path.stat().st_size, metadata.num_rows
    if rows > max(SMALL_SET, size // BYTES_PER_ROW):
        raise DataError(f"{path}: says that it holds {rows} portraits in {size} bytes, which cannot be")
    values = {"w_a": W_DIM, "w_b": W_DIM, "mix": MAX_NUM_WS, "landmarks68": 136, "image": 1, "detected": 1}
    for number in range(metadata.num_row_groups):
        group = metadata.row_group(number)
        for column in map(group.column, range(group.num_columns)):
            name = column.path_in_schema.partition(".")[0]
            if name not in values:
                continue  # not read
            if column.num_values > values[name] * group.num_rows:
                raise DataError(
                    f"{path}: column {name} holds {column.num_values} values in {group.num_rows} rows, "
                    f"expected at most {values[name]} each"
                )
            if column.total_uncompressed_size > MAX_UNPACKED * size:
                raise DataError(
                    f"{path}: column {name} unpacks to {column.total_uncompressed_size} bytes, but the file has {size}"
                )


def _floats(path: Path, table: pa.Table, name: str, length: int | None, dtype: type[np.generic]) -> np.ndarray:
    """A list column as ``(N, length)``; None takes the length of the first row."""
    column = table[name].combine_chunks()
    if not _is_list(column.type) or not pa.types.is_floating(column.type.value_type):
        raise DataError(f"{path}: column {name} is {column.type}, expected a list of {length or 'num_ws'} floats")
    lengths = pc.list_value_length(column)
    length = length if length is not None else (lengths[0].as_py() or 0 if len(lengths) else 0)
    wrong = pc.index(pc.fill_null(pc.equal(lengths, length), False), False).as_py()
    if wrong >= 0:
        found = lengths[wrong].as_py()
        raise DataError(
            f"{path}: row {wrong} of column {name} has {'no value' if found is None else f'{found} values'}, expected "
            f"{length}; delete the file and fetch or sample it again"
        )
    flat = column.flatten()
    values = flat.to_numpy(zero_copy_only=False).astype(dtype).reshape(len(column), length)
    bad = ~np.isfinite(values).all(axis=1)
    if bad.any():
        raise DataError(
            f"{path}: row {int(bad.argmax())} of column {name} holds a value that is no finite number; "
            "delete the file and fetch or sample it again"
        )
    return values


def _is_list(kind: pa.DataType) -> bool:
    return pa.types.is_fixed_size_list(kind) or pa.types.is_list(kind) or pa.types.is_large_list(kind)


def _detected(path: Path, table: pa.Table) -> np.ndarray:
    column = table["detected"]
    if not pa.types.is_boolean(column.type) or column.null_count:
        raise DataError(f"{path}: column detected is {column.type} with {column.null_count} nulls, expected bool")
    return column.to_numpy().astype(bool)


def _pictures(
    path: Path, table: pa.Table, size: int, threads: int | None, cache: PictureCache | None, whole: bool
) -> tuple[np.ndarray, int]:
    """`_decode` through the cache, if there is one."""
    if cache is None:
        return _decode(path, table, size, threads)
    entry = cache.entry(path, size)
    found = cache.read(entry)
    if found is not None and len(found[0]) >= table.num_rows:
        return found[0][: table.num_rows], found[1]
    images, stored = _decode(path, table, size, threads)
    if whole:
        cache.write(entry, images, stored)
    return images, stored


def _decode(path: Path, table: pa.Table, size: int, threads: int | None) -> tuple[np.ndarray, int]:
    """Decodes the pictures: ``(N, 3, size, size)`` uint8 and the width they are stored at."""
    encoded = _encoded(path, table["image"])
    images = np.empty((len(encoded), 3, size, size), dtype=np.uint8)

    def decode(item: tuple[int, bytes]) -> tuple[int, int]:
        row, data = item
        try:
            with Image.open(io.BytesIO(data), formats=PICTURE_FORMATS) as file:
                if max(file.size) > MAX_SIDE:
                    raise ValueError(f"{file.size[0]}x{file.size[1]}, expected at most {MAX_SIDE} pixels either way")
                picture = file.convert("RGB")
        except UnidentifiedImageError as error:
            raise DataError(
                f"{path}: the image of row {row} cannot be decoded: it is none of {', '.join(PICTURE_FORMATS)}"
            ) from error
        except Exception as error:  # Pillow has no family of its own: SyntaxError, struct.error, DecompressionBombError
            raise DataError(
                f"{path}: the image of row {row} cannot be decoded ({error}); delete the file and fetch or sample it "
                "again"
            ) from error
        stored = picture.size
        if stored[0] % size == 0 and stored[0] == stored[1]:
            picture = picture.reduce(stored[0] // size)
        elif min(stored) > size:
            picture = picture.resize((size, size), Image.Resampling.BOX)
        else:
            raise DataError(f"{path}: the images are {stored[0]}x{stored[1]}; ask for a size up to that, not {size}")
        images[row] = np.asarray(picture).transpose(2, 0, 1)
        return stored

    sizes = set(_parallel(decode, enumerate(encoded), threads))
    if len(sizes) > 1 or any(width != height for width, height in sizes):
        raise DataError(f"{path}: images have sizes {sorted(sizes)}, expected one square size throughout")
    return images, sizes.pop()[0] if sizes else size


def _encoded(path: Path, column: pa.ChunkedArray) -> list[bytes]:
    """The bytes of each row's picture; rows with the same picture share them."""
    kind = column.type.value_type if pa.types.is_dictionary(column.type) else column.type
    if not (pa.types.is_binary(kind) or pa.types.is_large_binary(kind)) or column.null_count:
        raise DataError(f"{path}: column image is {kind} with {column.null_count} nulls, expected WebP bytes")
    encoded: list[bytes] = []
    for chunk in column.chunks:
        values = chunk.dictionary_encode() if not pa.types.is_dictionary(chunk.type) else chunk
        distinct = values.dictionary.to_pylist()
        encoded.extend(distinct[index] for index in values.indices.to_pylist())
    return encoded


def _encode(image: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(image).save(buffer, "WEBP", quality=WEBP_QUALITY)
    return buffer.getvalue()


def _parallel(function: Callable, items: Iterable, threads: int | None) -> list:
    # Pillow lets go of the interpreter lock while libwebp works, so threads are enough.
    with ThreadPoolExecutor(threads or os.cpu_count() or 1) as pool:
        return list(pool.map(function, items))
