"""What leaves the page as a file and comes back: pictures, portraits, films of the timeline."""

from __future__ import annotations

import base64
import io
import json

import numpy as np
import pytest
from PIL import Image, ImageSequence

from stylerig_fast.studio import video
from tests.studio.browser.hands import add_person, move, people, pixels, press, rests, state, tab, until, value


def saved(page, button, tmp_path):
    """The file that a button downloads."""
    with page.expect_download() as waiting:
        press(page, button)
    target = tmp_path / waiting.value.suggested_filename
    waiting.value.save_as(target)
    return target


def test_saving_the_picture(page, tmp_path):
    """The very pixels that the server draws: PNG, at the full size."""
    tab(page, "rig")
    move(page, "yaw", 15)
    shown = rests(page)
    file = saved(page, "save-png", tmp_path)
    assert file.suffix == ".png"
    picture = pixels(file.read_bytes())
    assert picture.shape == (512, 512, 3)
    assert np.abs(picture - shown).mean() < 3  # what is shown went through JPEG


def test_a_portrait_comes_back(page, tabs, server, tmp_path):
    """Saved in one browser and loaded in another: the same person with the same edits, to the pixel."""
    add_person(page, 77)
    tab(page, "rig")
    move(page, "yaw", -14)
    press(page, "preset-smile")
    picture, asked = rests(page), state(page, "request")
    file = saved(page, "save-json", tmp_path)
    content = json.loads(file.read_text())
    assert content["request"]["pose"] == {"yaw": -14}
    assert len(base64.b64decode(content["latent"])) == content["num_ws"] * 512 * 4
    other = tabs(server).open()
    rests(other)
    count = len(people(other))
    other.locator("[data-testid=load-json-input]").set_input_files(file)
    until(other, f"window.studio.store.state.people.length === {count + 1}")
    assert (rests(other) == picture).all()
    assert state(other, "request.pose") == asked["pose"]
    assert state(other, "request.expression") == pytest.approx(asked["expression"])


@pytest.mark.parametrize(
    "content",
    [
        "",
        "[]",
        '{"format": "something else"}',
        '{"format": "stylerig-studio", "version": 1, "latent": "AAAA"}',
        "\x00" * 99,
    ],
)
def test_files_that_are_none_are_refused_in_words(page, tmp_path, content):
    rests(page)
    before = people(page)
    (tmp_path / "broken.json").write_text(content)
    page.locator("[data-testid=load-json-input]").set_input_files(tmp_path / "broken.json")
    toast = page.get_by_test_id("toast").filter(has_text="broken.json was not loaded")
    toast.wait_for()
    assert people(page) == before
    rests(page)


# Whether this browser shows a film.
PLAY = """
  async (film) => {
    const video = document.createElement('video');
    const bytes = Uint8Array.from(atob(film), (letter) => letter.charCodeAt(0));
    video.src = URL.createObjectURL(new Blob([bytes], { type: 'video/mp4' }));
    await new Promise((done, failed) => {
      video.onloadeddata = done;
      video.onerror = () => failed(new Error(video.error.message));
    });
    return { seconds: video.duration, size: [video.videoWidth, video.videoHeight] };
  }
"""


def two_keys(page):
    """A timeline of half a second from the left to the right."""
    tab(page, "rig")
    if state(page, "timeline.open") is False:
        press(page, "timeline-toggle")
    page.get_by_test_id("timeline-duration").fill("0.5")
    page.get_by_test_id("timeline-duration").press("Enter")
    move(page, "yaw", -20)
    press(page, "timeline-add-key")
    page.get_by_test_id("timeline-time").focus()
    page.keyboard.press("End")
    move(page, "yaw", 20)
    press(page, "timeline-add-key")
    assert [key["time"] for key in state(page, "timeline.keys")] == [0, 0.5]


def test_the_timeline_moves_the_face(page):
    two_keys(page)
    page.get_by_test_id("timeline-time").focus()
    page.keyboard.press("Home")
    assert value(page, "yaw") == -20
    for _ in range(5):
        page.keyboard.press("ArrowRight")
    assert value(page, "yaw") == pytest.approx(0, abs=0.6)
    rests(page)
    if state(page, "timeline.loop"):
        press(page, "timeline-loop")
    page.keyboard.press("Home")
    page.evaluate(
        "() => { window.seen = []; "
        "window.studio.store.subscribe((state) => window.seen.push(state.request.pose?.yaw ?? null)); }"
    )
    press(page, "timeline-play")
    until(page, "!window.studio.store.state.timeline.playing && window.seen.length")
    assert any(yaw is not None and -20 < yaw < 20 for yaw in page.evaluate("window.seen"))
    assert value(page, "yaw") == 20
    press(page, "timeline-delete-key")
    assert len(state(page, "timeline.keys")) == 1
    press(page, "undo")
    assert len(state(page, "timeline.keys")) == 2


@pytest.mark.parametrize("format", video.formats())
def test_a_film_of_the_timeline(page, tmp_path, format):
    two_keys(page)
    press(page, "export-open")
    page.get_by_test_id("export-size").select_option("256")
    page.get_by_test_id("export-fps").select_option("20")
    file = saved(page, f"export-{format}", tmp_path)
    assert file.suffix == f".{format}"
    if format == "gif":
        with Image.open(io.BytesIO(file.read_bytes())) as film:
            frames = [np.asarray(frame.convert("RGB")).astype(int) for frame in ImageSequence.Iterator(film)]
    else:
        import av

        with av.open(str(file)) as film:
            frames = [frame.to_ndarray(format="rgb24").astype(int) for frame in film.decode(video=0)]
        played = page.evaluate(PLAY, base64.b64encode(file.read_bytes()).decode())
        assert played == {"seconds": pytest.approx(0.5, abs=0.01), "size": [256, 256]}
    assert len(frames) == 10 and frames[0].shape == (256, 256, 3)
    assert np.abs(frames[0] - frames[-1]).mean() > 2
    page.get_by_test_id("export-close").click()


def test_a_reload_keeps_the_work(page):
    add_person(page, 31)
    tab(page, "rig")
    move(page, "yaw", 13)
    picture, names = rests(page), people(page)
    page.reload()
    until(page, "document.body.dataset.ready === 'true'")
    assert (rests(page) == picture).all()
    assert people(page) == names
