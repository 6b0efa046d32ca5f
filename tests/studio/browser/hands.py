"""What a person does at the studio's page, and what they see."""

from __future__ import annotations

import base64
import io
import time

import numpy as np
from PIL import Image

# Runs before the page's own scripts.
WATCH = """
  window.watched = { edit: {}, edits: 0, shown: 0, frames: 0, socket: null };
  const send = WebSocket.prototype.send;
  WebSocket.prototype.raw = send;
  WebSocket.prototype.send = function (data) {
    const message = JSON.parse(data);
    const { watched } = window;
    watched.socket = this;
    if (message.type === 'edit') Object.assign(watched, { edit: message, edits: watched.edits + 1 });
    if (message.type === 'shown') Object.assign(watched, { shown: message.id, frames: watched.frames + 1 });
    return send.call(this, data);
  };
"""

# The picture, if it is the full one of what the page's state says now.
AT_REST = """
  async () => {
    const { currentPerson, rounded } = await import('/js/request.js');
    const { edit, shown } = window.watched;
    const { store, studio } = window.studio;
    const canvas = document.querySelector('[data-testid=portrait]');
    if (edit.size !== studio.full_size || shown < edit.id || canvas.width !== studio.full_size) return null;
    if (edit.person !== currentPerson(store.state)?.remote) return null;
    if (JSON.stringify(edit.request) !== JSON.stringify(rounded(store.state.request))) return null;
    return canvas.toDataURL('image/png');
  }
"""


def until(page, expression: str, seconds: float = 20):
    """Waits until something holds, and returns it. Playwright's own way needs `eval`: the page's policy forbids it."""
    end = time.monotonic() + seconds
    while not (found := page.evaluate(expression)):
        assert time.monotonic() < end, f"never came true: {expression}"
        page.wait_for_timeout(20)
    return found


def portrait(page) -> np.ndarray:
    """The portrait's pixels ``(H, W, 3)``, as its canvas holds them."""
    return decoded(page.get_by_test_id("portrait").evaluate("canvas => canvas.toDataURL('image/png')"))


def rests(page) -> np.ndarray:
    """Waits until the full picture of what is asked for is on the screen, and returns it.

    The page asks for it 150 ms after the last change; `WATCH` has seen what it asked for, and what it has shown.
    """
    return decoded(until(page, AT_REST))


def mesh(page) -> np.ndarray:
    """The pixels of the 3D face as they are on the screen, what lies over them included."""
    return pixels(page.locator(".mesh-canvas").screenshot())


def decoded(address: str) -> np.ndarray:
    """Pixels of a data URL."""
    return pixels(base64.b64decode(address.partition(",")[2]))


def pixels(picture: bytes) -> np.ndarray:
    """``(H, W, 3)``, of a type that can be subtracted."""
    return np.asarray(Image.open(io.BytesIO(picture)).convert("RGB")).astype(np.int16)


def state(page, path: str):
    """A part of the page's state."""
    return page.evaluate(f"window.studio.store.state.{path}")


def move(page, slider: str, value: float) -> None:
    """Puts a slider somewhere and lets go."""
    page.get_by_test_id(f"slider-{slider}").fill(str(value))


def value(page, slider: str) -> float:
    return float(page.get_by_test_id(f"slider-{slider}").input_value())


def own(page, slider: str) -> float:
    """The person's own value of what a slider sets."""
    return float(page.get_by_test_id(f"slider-{slider}").get_attribute("data-own"))


def press(page, name: str) -> None:
    page.get_by_test_id(name).click()


def tab(page, name: str) -> None:
    """Brings a panel to the front."""
    press(page, f"tab-{name}")


def drag(page, element, by, steps=6, modifiers=()) -> None:
    """Presses in the middle of an element, moves by some pixels, lets go."""
    box = element.bounding_box()
    x, y = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
    for key in modifiers:
        page.keyboard.down(key)
    page.mouse.move(x, y)
    page.mouse.down()
    page.mouse.move(x + by[0], y + by[1], steps=steps)
    page.mouse.up()
    for key in modifiers:
        page.keyboard.up(key)


def people(page) -> list[str]:
    """Names of everybody in the filmstrip."""
    return [item.get_attribute("aria-label") for item in page.get_by_test_id("filmstrip").get_by_role("option").all()]


def current(page) -> str:
    return page.get_by_test_id("filmstrip").locator("[aria-selected=true]").get_attribute("aria-label")


def add_person(page, seed: int) -> None:
    """A person of a seed, through the panel; the page then shows them."""
    tab(page, "people")
    page.get_by_test_id("seed").fill(str(seed))
    press(page, "person-add")
    chosen = page.get_by_test_id("filmstrip").locator("[aria-selected=true]")
    chosen.and_(page.get_by_role("option", name=f"Person {seed}")).wait_for()
