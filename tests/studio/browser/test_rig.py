"""The rig in the browser: the mesh, the portrait that follows, and every way to move them."""

from __future__ import annotations

import numpy as np
import pytest

from tests.studio.browser.hands import decoded, drag, mesh, move, own, portrait, press, rests, state, tab, until, value


@pytest.fixture
def page(page):
    tab(page, "rig")
    return page


def differs(a, b) -> float:
    """Share of the pixels that changed visibly."""
    return float((np.abs(a - b).max(-1) > 12).mean())


def test_the_page_opens_with_a_face(page):
    """A portrait at full size, and a mesh that is a face: it covers much of its canvas, in many shades."""
    picture = rests(page)
    assert picture.shape[:2] == (512, 512)
    assert picture.std() > 10
    shown = mesh(page)
    background = shown[4, 4]
    face = np.abs(shown - background).max(-1) > 24
    assert 0.08 < face.mean() < 0.9
    assert len(np.unique(shown[face] // 8, axis=0)) > 40
    assert page.evaluate("window.studio.mesh?.vertices()?.length ?? 3") % 3 == 0


def test_yaw_turns_mesh_and_portrait(page):
    before = rests(page), mesh(page)
    move(page, "yaw", 25)
    turned = mesh(page)  # at once, without the server
    after = rests(page)
    assert differs(before[1], turned) > 0.02
    assert differs(before[0], after) > 0.02
    move(page, "yaw", own(page, "yaw"))
    assert differs(before[0], rests(page)) < 0.02


def test_the_mesh_follows_without_the_server(page):
    """A second of a server that does not answer is no second of a mesh that stands still."""
    rests(page)
    page.evaluate("WebSocket.prototype.send = () => {}")
    before = portrait(page), mesh(page)
    move(page, "yaw", -25)
    page.wait_for_timeout(200)
    assert differs(before[1], mesh(page)) > 0.02
    assert differs(before[0], portrait(page)) == 0


def test_dragging_asks_for_previews_and_rest_for_the_full_size(page):
    rests(page)
    page.evaluate("""() => {
      window.asked = [];
      const edit = window.studio.live.edit.bind(window.studio.live);
      window.studio.live.edit = (what) => { window.asked.push(what.size); edit(what); };
    }""")
    move(page, "yaw", 12)
    rests(page)
    asked = page.evaluate("window.asked")
    assert asked[0] == 256 and asked[-1] == 512


def test_dragging_the_head(page):
    rests(page)
    before = value(page, "yaw"), value(page, "pitch"), value(page, "roll")
    drag(page, page.locator(".mesh-canvas"), (60, -40))
    after = value(page, "yaw"), value(page, "pitch"), value(page, "roll")
    assert after[0] > before[0] + 3  # to the right edge
    assert after[1] > before[1] + 2  # chin up
    assert after[2] == before[2]
    drag(page, page.locator(".mesh-canvas"), (40, 0), modifiers=["Shift"])
    assert value(page, "roll") > before[2] + 2
    press(page, "undo")
    assert value(page, "roll") == before[2]
    press(page, "undo")  # a drag is one step
    assert value(page, "yaw") == before[0]


def test_dragging_the_light(page):
    before = rests(page)
    ball = page.get_by_role("application").and_(page.locator(".light-ball"))
    side = ball.bounding_box()["width"]
    drag(page, ball, (-0.35 * side, 0))
    x, y, z = state(page, "request.light.direction")
    assert x < -0.5 and abs(y) < 0.3 and z > 0
    assert differs(before, rests(page)) > 0.02
    ball.focus()
    page.keyboard.press("ArrowUp")
    assert state(page, "request.light.direction")[1] > y
    page.keyboard.press("Home")
    assert state(page, "request.light ?? null") is None


def test_a_light_of_two_colours(page):
    before = mesh(page)
    press(page, "light-mode-new")
    page.get_by_test_id("slider-light-colour").fill("1.5")
    page.locator("input[type=color][data-testid=light-colour]").fill("#ff4020")
    asked = state(page, "request.light")
    assert asked["colour"][0] == pytest.approx(1.5, abs=0.01) and asked["colour"][2] < 0.4
    assert differs(before, mesh(page)) > 0.02
    rests(page)
    press(page, "reset-light")
    assert state(page, "request.light ?? null") is None


def test_an_expression_by_name(page):
    before = rests(page), mesh(page)
    page.get_by_test_id("filter").fill("jaw")
    page.get_by_test_id("slider-jawOpen").fill("0.8")
    assert differs(before[1], mesh(page)) > 0.002
    assert differs(before[0], rests(page)) > 0.002
    assert state(page, "request.expression") == {"jawOpen": 0.8}
    press(page, "reset-jawOpen")
    assert state(page, "request.expression ?? null") is None


def test_presets(page):
    before = mesh(page)
    names = page.locator("[data-testid^=preset-]").all_text_contents()
    assert {"Smile", "Surprise", "Blink"} <= {name.strip() for name in names}
    press(page, "preset-smile")
    assert len(state(page, "request.expression")) > 1
    assert page.get_by_test_id("preset-smile").get_attribute("aria-pressed") == "true"
    assert differs(before, mesh(page)) > 0.002
    press(page, "preset-smile")
    assert state(page, "request.expression ?? null") is None


def test_left_and_right(page):
    page.get_by_test_id("filter").fill("smile")
    move(page, "mouthSmile", 0.7)
    asked = state(page, "request.expression")
    assert asked == {"mouthSmileLeft": 0.7, "mouthSmileRight": 0.7}
    press(page, "link")
    move(page, "mouthSmileLeft", 0.1)
    assert state(page, "request.expression") == {"mouthSmileLeft": 0.1, "mouthSmileRight": 0.7}
    press(page, "reset-expression")
    assert state(page, "request.expression ?? null") is None


def test_what_is_reached_is_marked(page):
    """The range of the rig's report stands on the slider, and a value beyond it is marked."""
    row = page.locator(".slider", has=page.get_by_test_id("slider-yaw"))
    slider = page.get_by_test_id("slider-yaw")
    assert (slider.get_attribute("data-reach-low"), slider.get_attribute("data-reach-high")) == ("-35", "35")
    move(page, "yaw", 20)
    assert "beyond" not in row.get_attribute("class")
    move(page, "yaw", 50)
    assert "beyond" in row.get_attribute("class")
    rests(page)  # the server's warning is shown and is no error


def test_roll_turns_the_picture(page):
    before = rests(page)
    move(page, "roll", 20)
    assert state(page, "request.pose.roll") == 20
    assert rests(page).shape == before.shape
    assert "Roll 20°" in page.get_by_test_id("mesh-angles").text_content()


def test_undo_and_redo(page):
    rests(page)
    start = value(page, "yaw")
    move(page, "yaw", 10)
    press(page, "preset-smile")
    move(page, "yaw", 20)
    assert value(page, "yaw") == 20
    page.keyboard.press("Control+z")
    assert value(page, "yaw") == 10
    assert state(page, "request.expression") is not None
    press(page, "undo")
    assert state(page, "request.expression ?? null") is None
    press(page, "undo")
    assert value(page, "yaw") == pytest.approx(start)
    assert page.get_by_test_id("undo").is_disabled()
    for _ in range(3):
        press(page, "redo")
    assert value(page, "yaw") == 20
    assert page.get_by_test_id("redo").is_disabled()
    picture = rests(page)
    page.keyboard.press("Control+z")
    page.keyboard.press("Control+Shift+z")
    assert differs(picture, rests(page)) == 0


def test_reset_all(page):
    before = rests(page)
    move(page, "yaw", 20)
    press(page, "preset-surprise")
    press(page, "reset-all")
    assert state(page, "request") == {}
    assert differs(before, rests(page)) == 0


def test_comparing_with_the_original(page):
    before = rests(page)
    move(page, "yaw", 25)
    edited = rests(page)
    page.keyboard.down("c")
    until(page, "document.querySelector('.comparing') !== null")
    shown = page.locator("canvas.original").evaluate("canvas => canvas.toDataURL('image/png')")
    assert differs(decoded(shown), before) < 0.02
    page.keyboard.up("c")
    until(page, "document.querySelector('.comparing') === null")
    assert differs(portrait(page), edited) == 0


def test_by_keyboard_alone(page):
    """Tab reaches the head and the sliders; arrows move them; the focus is seen."""
    page.get_by_test_id("slider-yaw").focus()
    before = value(page, "yaw")
    page.keyboard.press("ArrowRight")
    assert value(page, "yaw") > before
    page.locator(".mesh-canvas").focus()
    page.keyboard.press("ArrowUp")
    assert state(page, "request.pose.pitch") is not None
    page.keyboard.press("Home")
    assert state(page, "request.pose ?? null") is None
    wanted, seen = {"undo", "slider-yaw", "mesh-canvas", "tab-rig", "filter", "save-json", "timeline-toggle"}, set()
    for _ in range(200):
        page.keyboard.press("Tab")
        seen.add(page.evaluate("document.activeElement.dataset.testid ?? document.activeElement.className"))
        if wanted <= seen:
            break
    assert wanted <= seen
