"""Films: what is read back is what went in, in time and colour; nothing half-written; memory does not grow."""

from __future__ import annotations

import sys
import tracemalloc

import numpy as np
import pytest
from PIL import Image, ImageSequence

from stylerig_fast.errors import BackendUnavailable
from stylerig_fast.studio import video

HEIGHT, WIDTH = 48, 64


def picture(k, height=HEIGHT, width=WIDTH):
    """A smooth picture that moves with ``k``."""
    y, x = np.mgrid[0:height, 0:width]
    wave = np.stack([np.sin(x / 9 + k / 2), np.cos(y / 7), np.sin((x + y) / 15)], -1)
    return (128 + 90 * wave).astype(np.uint8)


def frames(count, **size):
    return (picture(k, **size) for k in range(count))


def read_gif(path):
    with Image.open(path) as film:
        found = [(np.asarray(frame.convert("RGB")), frame.info["duration"]) for frame in ImageSequence.Iterator(film)]
        return found, film.info.get("loop")


def read_mp4(path):
    av = pytest.importorskip("av", reason="needs PyAV: pip install av")
    with av.open(str(path)) as film:
        stream = film.streams.video[0]
        found = [(float(frame.time), frame.to_ndarray(format="rgb24")) for frame in film.decode(stream)]
        return found, stream


def psnr(a, b):
    return 10 * np.log10(255**2 / np.mean((a.astype(float) - b) ** 2))


def blocks(pixels):
    return pixels.reshape(HEIGHT // 4, 4, WIDTH // 4, 4, 3).astype(float).mean((1, 3))


def test_gif(tmp_path):
    path = tmp_path / "film.gif"
    video.write(frames(25), path, "gif", 24)
    found, loop = read_gif(path)
    assert loop == 0
    assert len(found) == 25
    for k, (shown, _) in enumerate(found):  # the diffused error is gone from the means of 4x4 pixels
        assert psnr(blocks(shown), blocks(picture(k))) > 38
    times = [duration for _, duration in found]
    assert set(times) == {40, 50}
    assert sum(times) == 1040  # 25 frames of 1/24 s, to the hundredth


def test_a_gif_of_few_colours(tmp_path):
    """Colour tables of every size from two entries on."""
    flat = [np.full((8, 8, 3), value, np.uint8) for value in (0, 255)]
    stripes = np.repeat(np.arange(0, 250, 25, dtype=np.uint8)[:, None, None], 8, 1).repeat(3, 2)[:8]
    video.write(iter([*flat, stripes]), tmp_path / "film.gif", "gif", 10)
    found, _ = read_gif(tmp_path / "film.gif")
    assert [int(shown.mean()) for shown, _ in found[:2]] == [0, 255]
    assert np.abs(found[2][0].astype(int) - stripes).max() <= 1


def test_a_fast_gif_keeps_its_length(tmp_path):
    video.write(frames(120), tmp_path / "film.gif", "gif", 120)
    found, _ = read_gif(tmp_path / "film.gif")
    times = [duration for _, duration in found]
    assert min(times) >= 20
    assert sum(times) == 1000


def test_a_still_is_a_film(tmp_path):
    for name in video.formats():
        video.write(frames(1), tmp_path / f"still.{name}", name, 24)
    found, _ = read_gif(tmp_path / "still.gif")
    assert len(found) == 1


@pytest.mark.skipif("mp4" not in video.formats(), reason="needs PyAV with a VP9 or AV1 encoder: pip install av")
class TestMP4:
    def test_frames_time_and_colour(self, tmp_path):
        path = tmp_path / "film.mp4"
        video.write(frames(25), path, "mp4", 24)
        found, stream = read_mp4(path)
        assert stream.codec_context.name in ("vp9", "av1", "libdav1d")
        assert (stream.width, stream.height) == (WIDTH, HEIGHT)
        assert [round(time * 24) for time, _ in found] == list(range(25))
        assert float(stream.duration * stream.time_base) == pytest.approx(25 / 24, abs=1e-3)
        for k, (_, shown) in enumerate(found):
            assert psnr(shown, picture(k)) > 27  # saturated waves, and colour at half the resolution
            assert np.abs(shown.astype(float).mean((0, 1)) - picture(k).mean((0, 1))).max() < 4
        assert (stream.codec_context.colorspace, stream.codec_context.color_range) == (1, 1)  # BT.709, 16 to 235

    def test_av1_where_there_is_no_vp9(self, tmp_path, monkeypatch):
        monkeypatch.setattr(video, "ENCODERS", {"none-such": {}, "libsvtav1": video.ENCODERS["libsvtav1"]})
        if video._encoder() is None:
            pytest.skip("this PyAV has no libsvtav1")
        video.write(frames(6), tmp_path / "film.mp4", "mp4", 24)
        found, stream = read_mp4(tmp_path / "film.mp4")
        assert "av1" in stream.codec.canonical_name and len(found) == 6
        assert psnr(found[3][1], picture(3)) > 25

    def test_the_index_is_in_front(self, tmp_path):
        video.write(frames(5), tmp_path / "film.mp4", "mp4", 24)
        content = (tmp_path / "film.mp4").read_bytes()
        assert 0 < content.index(b"moov") < content.index(b"mdat")

    def test_odd_sizes_are_filled_up(self, tmp_path):
        video.write(frames(3, height=33, width=65), tmp_path / "film.mp4", "mp4", 24)
        found, stream = read_mp4(tmp_path / "film.mp4")
        assert (stream.width, stream.height) == (66, 34)
        assert psnr(found[0][1][:33, :65], picture(0, 33, 65)) > 27

    def test_broken_rates(self, tmp_path):
        video.write(frames(4), tmp_path / "film.mp4", "mp4", 29.97)
        found, _ = read_mp4(tmp_path / "film.mp4")
        assert found[3][0] == pytest.approx(3 / 29.97, rel=1e-3)


def test_without_an_encoder(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "av", None)
    with pytest.raises(BackendUnavailable, match="export a GIF"):
        video.write(frames(2), tmp_path / "film.mp4", "mp4", 24)
    assert not list(tmp_path.iterdir())


def test_no_mp4_is_offered_without_an_encoder(monkeypatch):
    monkeypatch.setattr(video, "ENCODERS", {})
    assert video.formats() == ["gif"]
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    assert video.formats() == ["gif"]


@pytest.mark.parametrize(
    ("content", "format", "fps", "message"),
    [
        ([], "gif", 24, "no frames"),
        ([], "mp4", 24, "no frames"),
        ([picture(0)], "webm", 24, "expected one of gif, mp4"),
        ([picture(0)], "gif", 0, "fps is 0"),
        ([picture(0)], "gif", float("nan"), "fps is nan"),
        ([picture(0)], "gif", 121, "at most 120"),
        ([picture(0), picture(1, 8, 8)], "gif", 24, "frame 1 is 8x8, the first is 64x48"),
        ([picture(0).astype(np.float32)], "gif", 24, "float32"),
        ([picture(0)[..., :1]], "gif", 24, "expected uint8"),
    ],
)
def test_mistakes_leave_nothing(tmp_path, content, format, fps, message):
    if format == "mp4":
        pytest.importorskip("av", reason="needs PyAV: pip install av")
    with pytest.raises(ValueError, match=message):
        video.write(iter(content), tmp_path / "film", format, fps)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("format", video.formats())
def test_a_cancelled_export_leaves_what_was_there(tmp_path, format):
    path = tmp_path / "film"
    path.write_bytes(b"before")

    def interrupted():
        yield from frames(3)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        video.write(interrupted(), path, format, 24)
    assert [file.name for file in tmp_path.iterdir()] == ["film"]
    assert path.read_bytes() == b"before"


@pytest.mark.parametrize("format", video.formats())
def test_memory_does_not_grow_with_the_length(tmp_path, format):
    """Frames of 0.2 MB each: 100 of them held would be 20 MB."""

    def peak(count):
        tracemalloc.start()
        video.write(frames(count, height=256, width=256), tmp_path / "film", format, 24)
        most = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return most

    peak(2)
    assert peak(100) < peak(10) + 2e6
