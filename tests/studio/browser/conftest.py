"""The studio's page in Debian's or Playwright's Chromium, against a server in a thread of this process."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

from tests.studio.browser.hands import WATCH

ARGUMENTS = ["--no-sandbox", "--enable-unsafe-swiftshader", "--force-color-profile=srgb"]
NAMES = ("chromium", "chromium-browser", "google-chrome")
WIDE = {"width": 1280, "height": 800}


@pytest.fixture(scope="module")
def chromium():
    """The browser; tests skip where there is none.

    For one module: as long as Playwright runs, this thread has a running event loop, and `asyncio.run` of other tests
    fails.
    """
    sync_api = pytest.importorskip("playwright.sync_api", reason="needs Playwright: pip install playwright")
    program = next(filter(None, map(shutil.which, NAMES)), None)
    with sync_api.sync_playwright() as playwright:
        try:
            browser = playwright.chromium.launch(executable_path=program, args=ARGUMENTS)
        except sync_api.Error as error:
            pytest.skip(f"needs Chromium (apt-get install chromium): {str(error).splitlines()[0]}")
        yield browser
        browser.close()


class Server:
    """The studio on a port of this machine; it can be stopped and started again there."""

    def __init__(self, engine, **options):
        self.engine, self.options, self.port = engine, options, 0
        self.start()

    def start(self) -> None:
        from stylerig_fast.studio.app import create_app
        from stylerig_fast.studio.serve import running

        self.app = create_app(self.engine, **self.options)
        self._running = running(self.app, port=self.port)
        self.origin = self._running.__enter__().url.rstrip("/")
        self.port = int(self.origin.rpartition(":")[2])

    def stop(self) -> None:
        self._running.__exit__(None, None, None)


@pytest.fixture(scope="session")
def stand_in():
    pytest.importorskip("fastapi", reason="needs the extra `studio`")
    from tests.studio.stand_in import StandIn

    return StandIn()


@pytest.fixture(scope="module")
def server(stand_in):
    """A studio around an Engine that answers at once."""
    server = Server(stand_in)
    yield server
    server.stop()


class Tab:
    """A page of the studio, and what went wrong in it."""

    def __init__(self, context, origin):
        self.origin = origin
        self.page = context.new_page()
        self.page.set_default_timeout(15_000)
        self.problems: list[str] = []
        self.page.on("console", self._said)
        self.page.on("pageerror", lambda error: self.problems.append(f"uncaught: {error}"))
        self.page.on("requestfailed", self._failed)

    def _said(self, message):
        # Reading a picture of the screen back makes the software GPU wait, and say so.
        if message.type in ("error", "warning") and "GL Driver Message" not in message.text:
            self.problems.append(f"{message.type}: {message.text} ({message.location.get('url', '')})")

    def _failed(self, request):
        # Fetches that the page itself gave up are no failures.
        if request.failure != "net::ERR_ABORTED":
            self.problems.append(f"{request.url}: {request.failure}")

    def open(self, path=""):
        """Loads the page and waits for its first picture, its mesh and the people that it begins with."""
        self.page.goto(self.origin + path)
        self.page.locator("body[data-ready=true][data-mesh=ready]").wait_for()
        self.page.get_by_test_id("filmstrip").get_by_role("option").nth(5).wait_for()
        return self.page


@pytest.fixture
def tabs(chromium):
    """Makes tabs, each a browser profile of its own; a test whose page complained fails."""
    made = []

    def make(server, viewport=WIDE, init="", **options):
        context = chromium.new_context(viewport=viewport, **options)
        context.add_init_script(WATCH + init)
        tab = Tab(context, server.origin)
        made.append((context, tab))
        return tab

    yield make
    for context, _ in made:
        context.close()
    complaints([tab for _, tab in made])


@pytest.fixture(scope="module")
def profile(chromium):
    """One browser profile for the tests that need no other: its caches are warm."""
    context = chromium.new_context(viewport=WIDE)
    context.add_init_script(WATCH)
    yield context
    context.close()


@pytest.fixture
def page(profile, server):
    """The page, with a person and its first picture."""
    tab = Tab(profile, server.origin)
    yield tab.open()
    tab.page.close()
    complaints([tab])


def complaints(tabs) -> None:
    problems = [problem for tab in tabs for problem in tab.problems]
    assert not problems, "the page complained:\n" + "\n".join(problems)


@pytest.fixture(scope="session")
def screenshots():
    """Where pictures of the page go: the folder that STYLERIG_SCREENSHOTS names, or None."""
    named = os.environ.get("STYLERIG_SCREENSHOTS")
    if not named:
        return None
    folder = Path(named)
    folder.mkdir(parents=True, exist_ok=True)
    return folder
