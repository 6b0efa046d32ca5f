"""The studio on a port: addresses, token, a clean end."""

from __future__ import annotations

import contextlib
import logging
import secrets
import signal
import socket
import sys
import threading
import webbrowser
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from os import environ
from types import FrameType

import uvicorn
from fastapi import FastAPI

from stylerig_fast.studio.app import create_app
from stylerig_fast.studio.engine_protocol import EngineLike
from stylerig_fast.studio.security import Access, is_loopback
from stylerig_fast.studio.state import StudioState

SHORTEST_TOKEN = 16
# Seconds that open connections have to end after Ctrl-C.
GRACE = 3
# Of all kinds at a time; a browser keeps up to seven.
CONNECTIONS = 256
log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Address:
    """Where a studio is, and what opens it.

    Attributes:
        url: of the page, without the token.
        token: what a client must know; None on loopback.
    """

    url: str
    token: str | None = None

    @property
    def entrance(self) -> str:
        """What to open in a browser."""
        return self.url if self.token is None else f"{self.url}?token={self.token}"


def serve(
    engine: EngineLike,
    *,
    host: str = "127.0.0.1",
    port: int = 8770,
    token: str | None = None,
    names: Sequence[str] = (),
    preview: int | None = None,
    ready: Callable[[Address], None] = lambda address: None,
) -> None:
    """Serves a studio until Ctrl-C.

    Args:
        engine: draws the pictures.
        host: name or address to bind; beyond loopback a token is needed.
        port: 0 takes a free one.
        token: what clients must know; "auto" makes one.
        names: further host names that the studio may be called by.
        preview: size of pictures while dragging, see `create_app`.
        ready: called with the address once it answers.

    Raises:
        ValueError: a token is missing or too short, or the preview's size is not on offer.
        OSError: the port cannot be bound.
    """
    token = checked_token(host, token)
    app = create_app(engine, access=Access.to(host, token, names), preview=preview)
    warm_up(app.state.studio)
    with listen(host, port) as listener:
        address = Address(url_of(host, listener.getsockname()[1]), token)
        server = Server(_config(app), started=lambda: ready(address))
        server.run(sockets=[listener])
        if server.interrupted:
            # uvicorn hands the signal on while its loop ends, which may lose it.
            raise KeyboardInterrupt


@contextlib.contextmanager
def running(app: FastAPI, host: str = "127.0.0.1", port: int = 0) -> Iterator[Address]:
    """Serves ``app`` from another thread for as long as the block lasts; for tests and benchmarks."""
    started = threading.Event()
    with listen(host, port) as listener:
        server = Server(_config(app), started=started.set)
        thread = threading.Thread(target=server.run, args=([listener],), name="stylerig-server", daemon=True)
        thread.start()
        try:
            if not started.wait(30):
                raise RuntimeError("the studio did not start within 30 s; its log says why")
            yield Address(url_of(host, listener.getsockname()[1]))
        finally:
            server.should_exit = True
            thread.join(30)


class Server(uvicorn.Server):
    """uvicorn, which says when it answers."""

    def __init__(self, config: uvicorn.Config, started: Callable[[], None]) -> None:
        super().__init__(config)
        self._say = started
        self.interrupted = False

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        self.interrupted |= sig == signal.SIGINT
        super().handle_exit(sig, frame)

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        if self.started:
            self._say()


def _config(app: FastAPI) -> uvicorn.Config:
    return uvicorn.Config(
        app,
        log_level="warning",
        access_log=False,  # addresses hold secrets
        server_header=False,
        ws_max_size=app.state.studio.limits.message_bytes,
        ws_per_message_deflate=False,  # pictures are compressed already; deflating them again costs 2 ms
        limit_concurrency=CONNECTIONS,
        timeout_graceful_shutdown=GRACE,
    )


def checked_token(host: str, token: str | None) -> str | None:
    """The token to ask for; a new one for "auto". ValueError where one is needed or the given one is too short."""
    if token is None:
        if not is_loopback(host):
            raise ValueError(
                f"--host {host} lets other machines in; give --token auto, or a token of your own with at least "
                f"{SHORTEST_TOKEN} characters"
            )
        return None
    if token == "auto":
        return secrets.token_urlsafe(16)
    if len(token) < SHORTEST_TOKEN or not all(c.isascii() and (c.isalnum() or c in "-._~") for c in token):
        raise ValueError(f"--token: expected auto, or at least {SHORTEST_TOKEN} letters, digits and -._~")
    return token


def listen(host: str, port: int) -> socket.socket:
    """A socket bound to ``host`` and ``port``; OSError says what to do."""
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        listener = socket.socket(family, kind, protocol)
    except OSError as error:
        raise OSError(f"--host {host}: {error.strerror or error}") from error
    try:
        if sys.platform != "win32":  # there the option would let two servers share a port
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(address)
    except OSError as error:
        listener.close()
        reason = error.strerror or error
        raise OSError(f"{host} port {port} cannot be used ({reason}); choose another with --port") from error
    return listener


def url_of(host: str, port: int) -> str:
    """What a browser on this machine opens."""
    everywhere = {"0.0.0.0": "127.0.0.1", "::": "::1"}
    name = everywhere.get(host, host)
    return f"http://[{name}]:{port}/" if ":" in name else f"http://{name}:{port}/"


def warm_up(studio: StudioState) -> None:
    """Draws one picture of each size that the page asks for first: what is compiled on first use then is."""
    code_sizes = (studio.description["preview_size"], studio.full_size)

    def draw(engine: EngineLike) -> None:
        w = engine.sample(seed=0)
        params = engine.params(w)
        for size in code_sizes:
            assert isinstance(size, int)
            engine.edit(w, params, resolution=size)

    def report(future: object) -> None:
        error = drawn.exception() if not drawn.cancelled() else None
        if error is not None:
            log.warning("the first picture failed: %s", error)

    drawn = studio.scheduler.submit("warm-up", draw)
    drawn.add_done_callback(report)


def open_browser(address: Address) -> threading.Thread | None:
    """Opens the page, where there is a screen: a text browser would take over the terminal.

    Returns:
        The thread that does so, for browsers that return only when they end; None without a screen.
    """
    if sys.platform.startswith("linux") and not (environ.get("DISPLAY") or environ.get("WAYLAND_DISPLAY")):
        return None
    thread = threading.Thread(target=webbrowser.open, args=(address.entrance,), daemon=True)
    thread.start()
    return thread
