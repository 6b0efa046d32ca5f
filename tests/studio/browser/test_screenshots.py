"""The guide's screenshots, with the trained model: ``STYLERIG_SCREENSHOTS=docs/images pytest -k screenshots``."""

from __future__ import annotations

import os

import pytest

from tests.studio.browser.conftest import Server
from tests.studio.browser.hands import move, press, rests, tab, until

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif("STYLERIG_SCREENSHOTS" not in os.environ, reason="writes where STYLERIG_SCREENSHOTS says"),
]
SIZE = {"width": 1440, "height": 900}


@pytest.fixture(scope="module")
def real():
    from stylerig_fast import Engine

    server = Server(Engine.from_pretrained("mobilestylegan-ffhq"))
    yield server
    server.stop()


def ready(page):
    rests(page)
    until(page, "[...document.images].every((image) => image.complete)")
    page.mouse.move(0, 0)
    page.evaluate("document.activeElement.blur()")
    page.wait_for_timeout(300)


def keep(page, screenshots, name):
    ready(page)
    page.screenshot(path=screenshots / f"studio{name}.jpg", type="jpeg", quality=84)


def light_from_the_left(page):
    ball = page.get_by_role("application").and_(page.locator(".light-ball"))
    box = ball.bounding_box()
    page.mouse.click(box["x"] + 0.2 * box["width"], box["y"] + 0.4 * box["height"])


def test_screenshots_of_the_rig(real, tabs, screenshots):
    page = tabs(real, viewport=SIZE, color_scheme="light").open()
    ready(page)
    move(page, "yaw", 18)
    press(page, "preset-smile")
    light_from_the_left(page)
    keep(page, screenshots, "")


def test_screenshots_of_the_timeline(real, tabs, screenshots):
    page = tabs(real, viewport=SIZE, color_scheme="dark").open()
    ready(page)
    press(page, "person-next")
    press(page, "timeline-toggle")
    for share, yaw, preset in ((0, -18, "smile"), (0.35, 4, "surprise"), (0.7, 18, "smile"), (1, -6, "kiss")):
        box = page.get_by_test_id("timeline-time").bounding_box()
        page.mouse.click(box["x"] + share * (box["width"] - 1), box["y"] + 6)
        move(page, "yaw", yaw)
        if page.get_by_test_id(f"preset-{preset}").get_attribute("aria-pressed") == "false":
            press(page, f"preset-{preset}")
        press(page, "timeline-add-key")
    box = page.get_by_test_id("timeline-time").bounding_box()
    page.mouse.click(box["x"] + 0.52 * box["width"], box["y"] + 6)
    keep(page, screenshots, "-timeline")


def test_screenshots_of_combining_and_the_grid(real, tabs, screenshots):
    page = tabs(real, viewport=SIZE, color_scheme="light").open()
    ready(page)
    press(page, "person-next")
    press(page, "person-next")
    tab(page, "combine")
    press(page, "transfer-pose")
    press(page, "transfer-light")
    keep(page, screenshots, "-combine")
    tab(page, "rig")
    press(page, "reset-all")
    move(page, "yaw", -18)
    press(page, "preset-laugh")
    tab(page, "grid")
    page.get_by_test_id("grid-seed").fill("100")
    press(page, "grid-make")
    until(page, "document.querySelectorAll('[data-testid^=grid-item-] img').length === 12", 120)
    keep(page, screenshots, "-grid")


def test_screenshots_of_a_phone(real, tabs, screenshots):
    size = {"width": 390, "height": 844}
    page = tabs(real, viewport=size, color_scheme="dark", has_touch=True, is_mobile=True, device_scale_factor=2).open()
    ready(page)
    move(page, "yaw", 15)
    keep(page, screenshots, "-phone")
