"""The 3D face as WebGL draws it: the picture against stylerig_fast.render, when it is drawn, what moves it."""

from __future__ import annotations

import base64

import numpy as np
import pytest
import torch

from stylerig_fast.face import Camera
from stylerig_fast.params import FaceParams
from stylerig_fast.render import evaluate, render
from tests.studio.browser.hands import pixels, until

BLOCKS = ("identity", "albedo", "expression", "illumination", "rotation", "translation")
REQUESTS = [
    {},
    {
        "pose": {"yaw": 24, "pitch": -8, "roll": 5},
        "expression": {"jawOpen": 0.5, "mouthSmileLeft": 0.8, "eyeBlinkRight": 1.0},
        "light": {"direction": [0.7, 0.5, 0.6], "strength": 0.35},
    },
]
# Draws at once and hands out the picture; a canvas can be read only in the task that drew it.
DRAWN = """(() => {
  const view = window.studio.mesh;
  view.shown.drawn = false;
  view.draw();
  return view.canvas.toDataURL('image/png');
})()"""
COUNTED = """(() => {
  const { renderer } = window.studio.mesh;
  const draw = renderer.render.bind(renderer);
  window.drawn = 0;
  renderer.render = (...what) => { window.drawn += 1; draw(...what); };
})()"""


def ask(page, request):
    page.evaluate("request => { window.studio.store.set({ request }); }", request)


def asked(page, request) -> FaceParams:
    """What the page's person and a request are for stylerig_fast."""
    person = page.evaluate("({ people, person }) => people.find(({ id }) => id === person).params", state(page))
    names = page.evaluate("window.studio.mesh.face.model.expressionNames")
    own = FaceParams(**{name: torch.tensor([person[name]]) for name in BLOCKS}, expression_names=tuple(names))
    own = own.with_pose(**request["pose"]) if "pose" in request else own
    own = own.with_expression(**request["expression"]) if "expression" in request else own
    return own.with_light(**request["light"]) if "light" in request else own


def state(page):
    return page.evaluate("window.studio.store.state")


def picture(page) -> np.ndarray:
    return pixels(base64.b64decode(page.evaluate(DRAWN).partition(",")[2]))


@pytest.mark.parametrize("request_", REQUESTS, ids=["as they are", "edited"])
def test_the_picture_is_that_of_render(page, stand_in, request_):
    """Inside the face, away from its outline: the colours are those of render.py, to a rounding of a byte."""
    ask(page, request_)
    found = picture(page)
    size = len(found)
    assert found.shape == (size, size, 3)
    # A roll swings the head about the neck, as Engine.edit turns the portrait.
    place = torch.tensor([page.evaluate("window.studio.mesh.face.group.matrix.elements.slice(12, 15)")])
    rendered = render(stand_in.face_model, asked(page, request_).with_blocks(translation=place), Camera(), size)
    expected = (rendered.image[0].clamp(0, 1) * 255).permute(1, 2, 0).numpy()
    inside = rendered.mask[0].numpy()
    for _ in range(3):
        for axis in (0, 1):
            inside &= np.roll(inside, 1, axis) & np.roll(inside, -1, axis)
    # The neck dissolves in the page, and a skull goes on behind the face: neither is in the model.
    lowest = int(float(rendered.landmarks[0, :17, 1].max()) * size)
    inside[lowest - size // 20 :] = False
    difference = np.abs(found - expected).max(-1)[inside]
    assert inside.sum() > 0.1 * size * size
    assert np.percentile(difference, 95) <= 2.0
    assert np.median(difference) <= 1.0


def test_vertices(page, stand_in):
    ask(page, REQUESTS[1])
    found = np.array(page.evaluate("[...window.studio.mesh.vertices()]")).reshape(-1, 3)
    surface = evaluate(stand_in.face_model, asked(page, REQUESTS[1]))
    np.testing.assert_allclose(found, surface.vertices[0].numpy(), atol=1e-4)


def test_drawn_only_when_something_changed(page):
    page.wait_for_timeout(1000)
    page.evaluate(COUNTED)
    page.wait_for_timeout(300)
    page.evaluate("window.studio.store.set({ linked: false }, { silent: true })")
    page.evaluate("window.studio.store.set({ request: { ...window.studio.store.state.request } }, { silent: true })")
    page.wait_for_timeout(300)
    assert page.evaluate("window.drawn") == 0
    ask(page, {"pose": {"yaw": 11}})
    until(page, "window.drawn > 0")
    page.wait_for_timeout(1000)  # once more where WebGL runs in software: sharp, at rest
    assert page.evaluate("window.drawn") <= 2


def test_two_fingers_tip_the_head(page):
    box = page.locator(".mesh-canvas").bounding_box()
    touch = page.context.new_cdp_session(page)
    x, y = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2

    def fingers(kind, *places):
        points = [{"x": x + dx, "y": y + dy, "id": number} for number, (dx, dy) in enumerate(places)]
        touch.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": points})

    fingers("touchStart", (-60, 0), (60, 0))
    for angle in (5, 10, 15, 20):  # clockwise on the screen
        dx, dy = 60 * np.cos(np.radians(angle)), 60 * np.sin(np.radians(angle))
        fingers("touchMove", (-dx, -dy), (dx, dy))
    fingers("touchEnd")
    pose = state(page)["request"]["pose"]
    own = asked(page, {}).pose_degrees()[0, 2]
    assert abs(pose["roll"] - float(own) - 20) < 1
    assert "yaw" not in pose
    page.get_by_test_id("undo").click()
    assert "pose" not in state(page)["request"]


def test_escape_takes_a_drag_back(page):
    box = page.locator(".mesh-canvas").bounding_box()
    x, y = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
    page.mouse.move(x, y)
    page.mouse.down()
    page.mouse.move(x + 50, y + 20, steps=3)
    assert "pose" in state(page)["request"]
    page.keyboard.press("Escape")
    page.mouse.move(x + 90, y + 20)
    page.mouse.up()
    assert "pose" not in state(page)["request"]


def test_the_ball_shows_the_light(page):
    ask(page, {"light": {"direction": [0.6, 0.0, 0.8], "strength": 0.8}})
    page.wait_for_timeout(100)
    place = page.locator(".light-ball-handle").evaluate("({ style }) => [style.left, style.top].map(parseFloat)")
    assert np.allclose(place, [80, 50], atol=0.1)
    ball = page.locator(".light-ball")
    assert ball.get_attribute("aria-label").startswith("Light from the right")
    shown = pixels(ball.locator("canvas").screenshot()).mean(-1)
    row, side = len(shown) // 3, len(shown) // 6  # above the handle
    assert shown[row, -side] > shown[row, side] + 40


def test_wires_take_the_accent_of_the_theme(page):
    ink = "window.studio.mesh.face.lineUniforms.ink.value.toArray()"
    page.get_by_test_id("mesh-wire").click()
    assert page.get_by_test_id("mesh-wire").get_attribute("aria-pressed") == "true"
    before, shown = page.evaluate(ink), picture(page)
    page.evaluate("""() => {
      const { dataset } = document.documentElement;
      dataset.theme = dataset.theme === 'dark' ? 'light' : 'dark';
    }""")
    until(page, f"{ink}.some((value, k) => Math.abs(value - {before}[k]) > 0.1)")
    assert np.abs(picture(page) - shown).mean() > 1
    page.get_by_test_id("mesh-shaded").click()


def test_without_webgl_the_page_says_so(chromium, server):
    context = chromium.new_context()
    context.add_init_script("""
      const real = HTMLCanvasElement.prototype.getContext;
      HTMLCanvasElement.prototype.getContext = function (kind, ...rest) {
        return kind.startsWith('webgl') ? null : real.call(this, kind, ...rest);
      };
    """)
    page = context.new_page()
    page.goto(server.origin)
    page.locator("body[data-ready=true][data-mesh=ready]").wait_for()
    assert "no WebGL" in page.locator(".mesh-message").text_content()
    page.get_by_test_id("slider-yaw").fill("10")  # the rest works
    assert state(page)["request"]["pose"]["yaw"] == 10
    context.close()
