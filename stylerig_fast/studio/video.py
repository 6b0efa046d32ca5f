"""Frames to a film: GIF by Pillow, MP4 by PyAV, one frame in memory at a time."""

from __future__ import annotations

import contextlib
import importlib.util
import io
import os
import tempfile
from collections.abc import Callable, Iterable, Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any, Literal, cast

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from stylerig_fast.errors import BackendUnavailable

Pixels = NDArray[np.uint8]
Format = Literal["gif", "mp4"]
FASTEST = 120.0
# Encoders for MP4, the first that PyAV has. PyAV's wheels hold libx264 too, which plays in older programs; it is under
# the GPL, and these are not: libvpx and SVT-AV1 are BSD, and neither VP9 nor AV1 asks for royalties.
ENCODERS: dict[str, dict[str, str]] = {
    "libvpx-vp9": {"deadline": "realtime", "cpu-used": "6", "row-mt": "1", "crf": "24", "b": "0"},
    "libsvtav1": {"preset": "10", "crf": "28"},
}
# Hundredths of a second: what browsers show for longer than it says if it says less.
SHORTEST_DELAY = 2


def formats() -> list[Format]:
    """The formats that can be written here: "gif" always, "mp4" with PyAV and one of `ENCODERS`."""
    return ["gif", "mp4"] if importlib.util.find_spec("av") is not None and _encoder() else ["gif"]


def write(frames: Iterable[Pixels], path: Path, format: str, fps: float) -> None:
    """Writes a film, whole or not at all.

    Frames are taken one at a time; an exception that their source raises, or KeyboardInterrupt, leaves no file behind.

    Args:
        frames: uint8 ``(H, W, 3)`` RGB, at least one, all of one size.
        path: the file; its folder must exist.
        format: "gif" or "mp4".
        fps: frames per second, over 0 and at most 120. A GIF holds no more than 50: of more frames some are left out,
            and the film keeps its length.

    Raises:
        ValueError: unknown format, no frames, or frames of a wrong shape or type.
        BackendUnavailable: no encoder for this format is installed.
    """
    writers: dict[str, Callable[[Iterator[Pixels], Path, float], None]] = {"gif": _write_gif, "mp4": _write_mp4}
    if format not in writers:
        raise ValueError(f"format is {format!r}, expected one of {', '.join(writers)}")
    if not 0 < fps <= FASTEST:
        raise ValueError(f"fps is {fps}, expected more than 0 and at most {FASTEST:g}")
    handle, temporary = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    try:
        writers[format](_checked(frames), Path(temporary), fps)
        os.fsync(handle)
        os.fchmod(handle, 0o644)
        os.replace(temporary, path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise
    finally:
        os.close(handle)


def _checked(frames: Iterable[Pixels]) -> Iterator[Pixels]:
    """The frames, each looked at before it is used."""
    first: tuple[int, ...] | None = None
    for index, frame in enumerate(frames):
        shape = tuple(frame.shape)
        if frame.dtype != np.uint8 or len(shape) != 3 or shape[2] != 3 or 0 in shape:
            raise ValueError(f"frame {index} is {frame.dtype} {shape}, expected uint8 (H, W, 3)")
        if first is not None and shape != first:
            raise ValueError(f"frame {index} is {shape[1]}x{shape[0]}, the first is {first[1]}x{first[0]}")
        first = shape
        yield frame
    if first is None:
        raise ValueError("there are no frames; a film needs at least one")


# ---- GIF --------------------------------------------------------------------------------------------


def _write_gif(frames: Iterator[Pixels], path: Path, fps: float) -> None:
    """GIF89a that repeats for ever, every frame with colours of its own.

    Pillow's own writer for several frames holds all of them until the last has come. Here it writes each as a file of
    its own, and the parts of those are put together.
    """
    with path.open("wb") as file:
        for index, (start, end, frame) in enumerate(_timed(frames, 100 / fps)):
            colours, data = _gif_parts(frame)
            if index == 0:
                height, width, _ = frame.shape
                file.write(b"GIF89a" + width.to_bytes(2, "little") + height.to_bytes(2, "little") + b"\x70\x00\x00")
                file.write(b"\x21\xff\x0bNETSCAPE2.0\x03\x01\x00\x00\x00")  # for ever
            # Graphic control: leave the frame where it is, nothing transparent.
            file.write(b"\x21\xf9\x04\x04" + min(end - start, 0xFFFF).to_bytes(2, "little") + b"\x00\x00")
            # The image descriptor, with the flag of a local colour table and the table's size; then the table.
            file.write(data[:9] + bytes([0x80 | (len(colours) // 3).bit_length() - 2]) + colours + data[10:])
        file.write(b"\x3b")


def _timed(frames: Iterator[Pixels], step: float) -> Iterator[tuple[int, int, Pixels]]:
    """Frames with the hundredths of a second at which they start and end; one that would be too short is left out.

    A frame's end is known when the next one that stays comes; starts are rounded, so that errors do not add up.
    """
    waiting: tuple[int, Pixels] | None = None
    index = -1
    for index, frame in enumerate(frames):
        start = round(step * index)
        if waiting is None:
            waiting = start, frame
        elif start - waiting[0] >= SHORTEST_DELAY:
            yield waiting[0], start, waiting[1]
            waiting = start, frame
    if waiting is not None:
        yield waiting[0], max(round(step * (index + 1)), waiting[0] + SHORTEST_DELAY), waiting[1]


def _gif_parts(frame: Pixels) -> tuple[bytes, bytes]:
    """Colour table, and image descriptor with the compressed indices, of one frame.

    An octree of each frame's own colours with error diffusion: on edited portraits, of what Pillow offers, the closest
    to the frame after a slight blur (49 dB; a palette shared by all frames: 45) and the steadiest, for a fifteenth of
    the time of k-means.
    """
    picture = Image.fromarray(frame)
    palette = picture.quantize(256, method=Image.Quantize.FASTOCTREE)
    buffer = io.BytesIO()
    picture.quantize(palette=palette, dither=Image.Dither.FLOYDSTEINBERG).save(
        buffer, "GIF", optimize=False, interlace=0
    )
    single = buffer.getvalue()
    table = 3 * 2 ** ((single[10] & 7) + 1)  # the packed field of the logical screen descriptor
    colours, rest = single[13 : 13 + table], single[13 + table :]
    while rest[0] == 0x21:  # extensions, in sub-blocks that each begin with their length
        at = 2
        while rest[at]:
            at += 1 + rest[at]
        rest = rest[at + 1 :]
    return colours, rest[:-1]  # without the trailer


# ---- MP4 --------------------------------------------------------------------------------------------


def _encoder() -> str | None:
    """The first of `ENCODERS` that PyAV has."""
    import av

    for name in ENCODERS:
        with contextlib.suppress(av.error.FFmpegError, ValueError):
            av.codec.Codec(name, "w")
            return name
    return None


def _write_mp4(frames: Iterator[Pixels], path: Path, fps: float) -> None:
    """VP9 (or AV1) in MP4: 4:2:0, BT.709, the index in front, so that it plays while it is fetched."""
    try:
        import av
        from av.video.reformatter import ColorRange, Colorspace
    except ImportError as error:
        raise BackendUnavailable(
            "MP4 needs PyAV, which is not installed: pip install 'stylerig-fast[studio]', or export a GIF"
        ) from error
    name = _encoder()
    if name is None:
        raise BackendUnavailable(f"PyAV {av.__version__} has none of the encoders {', '.join(ENCODERS)}; export a GIF")
    rate = Fraction(fps).limit_denominator(1001)
    first = next(frames)  # there is one, or _checked has raised
    height, width = (side + side % 2 for side in first.shape[:2])  # 4:2:0 halves both sides
    with av.open(f"file:{path}", "w", format="mp4", options={"movflags": "+faststart"}) as container:
        stream = cast(Any, container.add_stream(name, rate=rate, options=ENCODERS[name]))
        stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
        context = stream.codec_context
        context.colorspace = context.color_primaries = context.color_trc = int(Colorspace.ITU709)
        context.color_range = int(ColorRange.MPEG)
        for index, frame in enumerate(_with_first(first, frames)):
            padding = ((0, height - frame.shape[0]), (0, width - frame.shape[1]), (0, 0))
            whole = np.pad(frame, padding, mode="edge") if padding[0][1] or padding[1][1] else frame
            picture = av.VideoFrame.from_ndarray(np.ascontiguousarray(whole), format="rgb24").reformat(
                format="yuv420p", dst_colorspace=Colorspace.ITU709, dst_color_range=ColorRange.MPEG
            )
            picture.pts, picture.time_base = index, 1 / rate
            container.mux(stream.encode(picture))
        container.mux(stream.encode())


def _with_first(first: Pixels, rest: Iterator[Pixels]) -> Iterator[Pixels]:
    yield first
    yield from rest
