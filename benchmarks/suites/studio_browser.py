"""A slider of the studio's page in headless Chromium: from its input event to the new picture on the screen."""

from __future__ import annotations

import shutil
from pathlib import Path

from stylerig_fast.errors import BackendUnavailable

ARGUMENTS = ["--no-sandbox", "--enable-unsafe-swiftshader"]
NAMES = ("chromium", "chromium-browser", "google-chrome")
LIMIT = 60_000.0

# Installed before the page's own scripts: records when each edit was sent and when each frame was reported as shown.
WATCH = """
(() => {
  const record = { edits: [], shown: [], renders: new Map() };
  window.__bench = record;
  const send = WebSocket.prototype.send;
  WebSocket.prototype.send = function (data) {
    if (typeof data === 'string') {
      const message = JSON.parse(data);
      const at = performance.now();
      if (message.type === 'edit') record.edits.push({ id: message.id, size: message.size, at });
      if (message.type === 'shown') record.shown.push({ id: message.id, at });
    }
    return send.call(this, data);
  };
  const Original = WebSocket;
  window.WebSocket = class extends Original {
    constructor(...args) {
      super(...args);
      this.addEventListener('message', async ({ data }) => {
        if (typeof data === 'string') return;
        const bytes = data instanceof Blob ? await data.arrayBuffer() : data;
        const length = new DataView(bytes).getUint32(4, true);
        const header = JSON.parse(new TextDecoder().decode(new Uint8Array(bytes, 8, length)));
        record.renders.set(header.id, header);
      });
    }
  };
})();
"""

# Moves the slider once and waits until its frame is shown.
MOVE = """
async ([slider, value]) => {
  const record = window.__bench;
  const edits = record.edits.length;
  const start = performance.now();
  slider.value = value;
  slider.dispatchEvent(new Event('input', { bubbles: true }));
  for (;;) {
    const edit = record.edits[edits];
    const shown = edit && record.shown.find((frame) => frame.id >= edit.id);
    if (shown) {
      const header = record.renders.get(shown.id);
      return { trip: shown.at - start, render: header.render_ms, size: edit.size };
    }
    if (performance.now() - start > 30000) throw new Error('no picture within 30 s');
    await new Promise((resume) => setTimeout(resume, 1));
  }
}
"""


def find_chromium(path: Path | None = None) -> str | None:
    """Path of the browser; None for Playwright's own.

    Raises:
        BackendUnavailable: ``path`` does not exist.
    """
    program = str(path) if path is not None else next(filter(None, map(shutil.which, NAMES)), None)
    if path is not None and not path.exists():
        raise BackendUnavailable(f"{path}: no such browser")
    return program


def move_slider(origin: str, moves: int, chromium: Path | None = None) -> dict[str, list[float]]:
    """Milliseconds from a slider's input event to its picture, with a pause before each move.

    Args:
        origin: of a running studio.
        moves: number of moves.
        chromium: path of the browser.

    Raises:
        BackendUnavailable: Playwright or the browser is not installed.
    """
    try:
        from playwright.sync_api import Error, sync_playwright
    except ImportError as error:
        raise BackendUnavailable("Playwright is not installed: pip install playwright") from error
    with sync_playwright() as playwright:
        try:
            browser = playwright.chromium.launch(executable_path=find_chromium(chromium), args=ARGUMENTS)
        except Error as error:
            raise BackendUnavailable(f"no Chromium to start: {str(error).splitlines()[0]}") from error
        with browser:
            page = browser.new_page(viewport={"width": 1440, "height": 900})
            page.set_default_timeout(LIMIT)
            page.add_init_script(WATCH)
            page.goto(origin)
            page.locator("body[data-ready=true]").wait_for()
            slider = page.get_by_role("slider", name="Yaw").first.element_handle()
            measured = []
            for move in range(moves + 3):
                page.wait_for_timeout(700)  # until the full picture has arrived
                measured.append(page.evaluate(MOVE, [slider, str(-12 + 24 * (move % 9) / 8)]))
    kept = measured[3:]
    size = kept[0]["size"]
    return {
        f"slider to picture in Chromium, {size} px": [move["trip"] for move in kept],
        "of that, the Engine": [move["render"] for move in kept],
        "of that, all the rest": [move["trip"] - move["render"] for move in kept],
    }
