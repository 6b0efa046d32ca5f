"""What happens when servers restart, clients are slow, and messages are wrong."""

from __future__ import annotations

import asyncio
import itertools
import threading
import time

import pytest

from benchmarks.suites.studio import sway
from benchmarks.suites.studio_client import connect, stream_edits
from tests.studio.browser.conftest import Server
from tests.studio.browser.hands import add_person, move, people, press, rests, state, tab, until

# A page on a slow line: what it says of frames that it has shown leaves half a second late.
SLOW = """
  const quick = WebSocket.prototype.send;
  WebSocket.prototype.send = function (data) {
    if (JSON.parse(data).type === 'shown') setTimeout(() => quick.call(this, data), 500);
    else quick.call(this, data);
  };
"""
# A hand that moves a slider 60 times a second.
SWAY = """
  (seconds) => new Promise((done) => {
    const slider = document.querySelector('[data-testid=slider-yaw]');
    const start = performance.now();
    const timer = setInterval(() => {
      const time = performance.now() - start;
      slider.value = 20 * Math.sin(time / 150);
      slider.dispatchEvent(new Event('input', { bubbles: true }));
      if (time < 1000 * seconds) return;
      clearInterval(timer);
      slider.dispatchEvent(new Event('change', { bubbles: true }));
      done();
    }, 16);
  })
"""
# Kinds of messages that are wrong: no JSON, no object, no type, no such person, values out of bounds, too deep, …
MALFORMED = """
  async (count) => {
    const kinds = [
      '', 'null', '[]', '{', '"edit"', '{}', '{"type": "shutdown"}', '{"type": "edit"}', '{"type": "shown", "id": "1"}',
      '{"type": "edit", "id": -1, "person": "p1", "size": 256}',
      '{"type": "edit", "id": 1, "person": "../../etc/passwd", "size": 256, "request": {}}',
      '{"type": "edit", "id": 1, "person": "p999999", "size": 256, "request": {}}',
      '{"type": "edit", "id": 1, "person": "p1", "size": 100000, "request": {}}',
      '{"type": "edit", "id": 1, "person": "p1", "size": 256, "request": {"pose": {"yaw": 1e400}}}',
      '{"type": "edit", "id": 1, "person": "p1", "size": 256, "request": {"pose": {"yaw": NaN}}}',
      '{"type": "edit", "id": 1, "person": "p1", "size": 256, "request": {"expression": {"jawOpe": 0.5}}}',
      '{"type": "edit", "id": 1, "person": "p1", "size": 256, "request": {"light": {"direction": [0, 0, 0]}}}',
      '['.repeat(20000), '\\u0000\\uffff', '{"type": "ping", "time": "now"}',
    ];
    const socket = new WebSocket(`ws://${location.host}/api/live`);
    socket.binaryType = 'arraybuffer';
    const got = { errors: 0, messages: new Set(), pong: false, closed: null };
    await new Promise((done, failed) => {
      socket.onmessage = ({ data }) => {
        const message = JSON.parse(data);
        if (message.type === 'hello') {
          for (let i = 0; i < count; i++) {
            // Every tenth is binary.
            WebSocket.prototype.raw.call(socket, i % 10 ? kinds[i % kinds.length] : new Uint8Array([i, 255, 0, 1]));
          }
          WebSocket.prototype.raw.call(socket, JSON.stringify({ type: 'ping', time: 1 }));
        } else if (message.type === 'error') {
          got.errors += 1;
          got.messages.add(message.message);
        } else if (message.type === 'pong') {
          got.pong = true;
          done();
        }
      };
      socket.onclose = (event) => { got.closed = [event.code, event.reason]; done(); };
      setTimeout(() => failed(new Error('no pong')), 20000);
    });
    socket.onclose = null;
    socket.close();
    return { ...got, messages: [...got.messages] };
  }
"""


@pytest.mark.slow
def test_a_server_that_comes_back(stand_in, tabs):
    """The page says so, keeps the work, comes back by itself, and makes its people again."""
    server = Server(stand_in)
    tab_ = tabs(server)
    try:
        page = tab_.open()
        add_person(page, 404)
        tab(page, "combine")
        press(page, "mix-apply")
        until(page, "window.studio.store.state.people.length === 8")
        tab(page, "rig")
        move(page, "yaw", 17)
        picture, names = rests(page), people(page)
        server.stop()
        banner = page.get_by_test_id("connection-banner")
        banner.wait_for()
        assert "does not answer" in banner.text_content()
        assert page.get_by_test_id("status-connection").get_attribute("data-state") != "connected"
        move(page, "yaw", 21)  # what is done meanwhile is not lost
        server.start()
        banner.wait_for(state="hidden")
        until(page, "document.body.dataset.connection === 'connected'")
        assert people(page) == names
        until(page, "window.studio.store.state.people.every((person) => person.remote)")
        assert state(page, "request.pose.yaw") == 21
        move(page, "yaw", 17)
        assert (rests(page) == picture).all()
        # That the server went away is what the browser itself complains of, and nothing else.
        tab_.problems[:] = [problem for problem in tab_.problems if "WebSocket connection to" not in problem]
    finally:
        server.stop()


def test_a_lost_connection_alone_loses_nothing(tabs, server):
    """The server is there all the time: the page goes on with its session and its people."""
    page = tabs(server).open()
    add_person(page, 405)
    session = page.evaluate("window.studio.api.session")
    remote = state(page, "people.at(-1).remote")
    page.evaluate("window.watched.socket.close()")
    until(page, "document.body.dataset.connection === 'disconnected'")
    until(page, "document.body.dataset.connection === 'connected'")
    assert page.evaluate("window.studio.api.session") == session
    assert state(page, "people.at(-1).remote") == remote
    tab(page, "rig")
    move(page, "yaw", 5)
    rests(page)


@pytest.mark.slow
def test_a_slow_client_drops_frames_and_a_fast_one_keeps_its_rate(tabs, server):
    """The page confirms frames half a second late; the other client gets a hundred pictures meanwhile."""
    page = tabs(server, init=SLOW).open()
    tab(page, "rig")
    rests(page)
    frames: dict[str, float] = {}

    def fast():
        async def run():
            async with connect(server.origin, seed=3) as client:
                start = time.perf_counter()
                frames["count"] = await stream_edits(client, sway(), 512, start + 3)
                frames["seconds"] = time.perf_counter() - start

        asyncio.run(run())

    before = page.evaluate("window.watched.edits"), page.evaluate("window.watched.frames")
    other = threading.Thread(target=fast)
    other.start()
    page.evaluate(SWAY, 3)
    other.join()
    asked = page.evaluate("window.watched.edits") - before[0]
    shown = page.evaluate("window.watched.frames") - before[1]
    # Two unconfirmed at a time, half a second each: however fast the machine, the slow page gets no more, while it asks
    # at the rate of the screen and the other client is served at its own.
    assert shown <= 2 * (frames["seconds"] / 0.5) + 3
    assert asked > shown
    assert frames["count"] > 2 * shown
    rests(page)
    assert int(page.get_by_test_id("status-dropped").text_content()) >= asked - shown - 3
    assert server.app.state.studio.connections <= 2


def test_a_thousand_malformed_messages(tabs, server):
    """Each is answered in words, none ends the connection or the server, and the page next door notices nothing."""
    page = tabs(server).open()
    got = page.evaluate(MALFORMED, 1000)
    assert got["closed"] is None
    assert got["pong"]
    assert got["errors"] == 1000
    assert len(got["messages"]) > 8
    assert all(0 < len(message) < 400 and "Traceback" not in message for message in got["messages"])
    move(page, "yaw", 9)
    rests(page)


def test_too_many_malformed_messages_end_the_connection_alone(tabs, server):
    page = tabs(server).open()
    got = page.evaluate(MALFORMED, 3000)
    assert got["closed"][0] == 1008
    move(page, "yaw", 8)
    rests(page)


def test_malformed_calls(page, server):
    """REST answers what is wrong with a sentence and a status that says whose fault it is."""
    session = page.evaluate("window.studio.api.session")
    request = page.context.request
    bodies = [
        "",
        "[]",
        "{",
        '{"seed": -1}',
        '{"seed": 1, "psi": 99}',
        '{"mix": {}}',
        '{"latent": "AAAA"}',
        '{"seed": 1, "latent": ""}',
    ]
    paths = ["people", "exports", "people/p1/picture", "people/p999/picture"]
    for body, path in itertools.product(bodies, paths):
        answer = request.post(
            f"{server.origin}/api/sessions/{session}/{path}",
            data=body, headers={"Content-Type": "application/json"},
        )  # fmt: skip
        assert 400 <= answer.status < 500, (body, path)
        assert answer.json()["message"]
    for path in ("people/../../../etc/passwd", "people/%2e%2e%2fpasswd/latent", "exports/..%2f..%2fpasswd/file"):
        assert request.get(f"{server.origin}/api/sessions/{session}/{path}").status in (400, 404)
    rests(page)


def test_nothing_is_loaded_from_elsewhere(tabs, server):
    """The page works offline: every address that it asks for is the server's own."""
    tab_ = tabs(server)
    asked = []
    tab_.page.on("request", lambda request: asked.append(request.url))
    page = tab_.open()
    rests(page)
    own = (server.origin, server.origin.replace("http", "ws", 1), "blob:", "data:")
    assert len(asked) > 20
    assert not [address for address in asked if not address.startswith(own)]


def test_other_sites_are_refused(page, server):
    """A page of another origin can neither open the live connection nor make a person."""
    request = page.context.request
    session = page.evaluate("window.studio.api.session")
    elsewhere = {"Origin": "http://evil.example", "Content-Type": "application/json"}
    answer = request.post(f"{server.origin}/api/sessions/{session}/people", data='{"seed": 1}', headers=elsewhere)
    assert answer.status == 403
    answer = request.get(f"{server.origin}/api/studio", headers={"Host": "evil.example"})
    assert answer.status == 403


def test_a_token_opens_the_page(stand_in, tabs):
    """Without it nothing is served; the address with it opens the page, and the live connection, by a cookie."""
    from stylerig_fast.studio.security import Access

    token = "a-token-of-this-very-test"
    server = Server(stand_in, access=Access(token=token))
    try:
        tab_ = tabs(server)
        for path in ("/", "/js/main.js", "/api/studio", "/?token=another-token-altogether"):
            assert tab_.page.context.request.get(server.origin + path).status == 401
        page = tab_.open(f"/?token={token}")
        assert page.url == f"{server.origin}/"  # not left in the address
        (cookie,) = page.context.cookies()
        assert cookie["httpOnly"] and cookie["sameSite"] == "Strict"
        move(page, "yaw", 12)
        rests(page)
    finally:
        server.stop()
