"""The WebSocket: parameters up, pictures down, never more on the way than the client can show."""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from dataclasses import dataclass

from fastapi import WebSocket, WebSocketDisconnect

from stylerig_fast.studio import protocol
from stylerig_fast.studio.engine_protocol import EngineLike
from stylerig_fast.studio.people import DrawnPicture, Person, draw
from stylerig_fast.studio.protocol import EditMessage, Malformed, Ping, Shown
from stylerig_fast.studio.scheduler import Closed
from stylerig_fast.studio.sessions import Refused, StudioSession
from stylerig_fast.studio.state import StudioState

POLICY, TOO_LARGE, TRY_LATER = 1008, 1009, 1013  # RFC 6455, 7.4
FORGIVEN_PER_SECOND = 10.0
log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Waiting:
    """An edit that waits for its turn."""

    edit: EditMessage
    person: Person
    arrived: float


class Mailbox:
    """Holds the newest edit alone. The event loop puts, the Engine's thread takes."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._newest: Waiting | None = None
        self._dropped = 0

    def put(self, waiting: Waiting) -> None:
        with self._lock:
            self._dropped += self._newest is not None
            self._newest = waiting

    def take(self) -> tuple[Waiting | None, int]:
        """The newest edit, and how many it replaced since the last one."""
        with self._lock:
            taken, self._newest = self._newest, None
            dropped, self._dropped = (self._dropped, 0) if taken else (0, self._dropped)
            return taken, dropped

    @property
    def full(self) -> bool:
        return self._newest is not None


@dataclass
class Drawn:
    """A picture on its way to the client, or why there is none."""

    waiting: Waiting
    dropped: int
    wait_ms: float
    rendered: DrawnPicture | None = None
    failure: str = ""


class Connection:
    """One WebSocket. A task reads, one asks for pictures, one encodes and sends them."""

    def __init__(self, studio: StudioState, session: StudioSession, socket: WebSocket) -> None:
        self._studio, self._session, self._socket = studio, session, socket
        self._mailbox = Mailbox()
        self._unshown: list[int] = []
        self._changed = asyncio.Event()
        self._outbox: asyncio.Queue[Drawn] = asyncio.Queue(1)
        self._malformed, self._counted = 0.0, time.monotonic()

    async def run(self) -> None:
        """Serves until the client goes."""
        tasks = [asyncio.create_task(task) for task in (self._read(), self._draw(), self._send())]
        try:
            done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
        for task in done:
            error = None if task.cancelled() else task.exception()
            if error is not None and not isinstance(error, (WebSocketDisconnect, Closed)):
                raise error

    # ---- up ---------------------------------------------------------------------------------------

    async def _read(self) -> None:
        while True:
            received = await self._socket.receive()
            await asyncio.sleep(0)  # whoever sends without pause has others between its messages
            if received["type"] == "websocket.disconnect":
                return None
            text = received.get("text") or received.get("bytes") or ""
            if len(text) > self._studio.limits.message_bytes:
                return await self._socket.close(TOO_LARGE, "message too large")
            try:
                message = protocol.parse(protocol.LIVE, text)
                if isinstance(message, Ping):
                    await self._socket.send_json({"type": "pong", "time": message.time})
                else:
                    self._take(message)
            except (Malformed, Refused) as error:
                if isinstance(error, Malformed) and self._too_many():
                    return await self._socket.close(POLICY, "too many malformed messages")
                await self._error(protocol.id_of(text), str(error))

    def _take(self, message: EditMessage | Shown) -> None:
        if isinstance(message, Shown):
            self._unshown = [id for id in self._unshown if id > message.id]
        else:
            self._studio.check_size(message.size)
            self._studio.check_request(message.request)
            person = self._session.person(message.person)
            self._mailbox.put(Waiting(message, person, time.perf_counter()))
        self._changed.set()

    def _too_many(self) -> bool:
        """Counts a malformed message; whether there were too many of late."""
        now = time.monotonic()
        self._malformed = max(0.0, self._malformed - FORGIVEN_PER_SECOND * (now - self._counted)) + 1
        self._counted = now
        return self._malformed > self._studio.limits.malformed

    async def _error(self, id: int | None, message: str) -> None:
        await self._socket.send_json({"type": "error", "id": id, "message": message})

    # ---- down -------------------------------------------------------------------------------------

    async def _draw(self) -> None:
        while True:
            await self._changed.wait()
            self._changed.clear()
            while self._mailbox.full and len(self._unshown) < self._studio.limits.unshown:
                turn = self._studio.scheduler.submit(self._session.secret, self._draw_newest, "live")
                drawn = await asyncio.wrap_future(turn)
                if drawn is None:
                    continue
                if drawn.rendered is not None:
                    self._unshown.append(drawn.waiting.edit.id)
                await self._outbox.put(drawn)

    def _draw_newest(self, engine: EngineLike) -> Drawn | None:
        """On the Engine's thread: what is newest when the turn comes, not when it was asked for."""
        waiting, dropped = self._mailbox.take()
        if waiting is None:
            return None
        edit = waiting.edit
        drawn = Drawn(waiting, dropped, 1e3 * (time.perf_counter() - waiting.arrived))
        try:
            drawn.rendered = draw(engine, waiting.person, edit.request, edit.size)
        except ValueError as error:
            drawn.failure = str(error)
        except Exception as error:
            log.exception("a picture could not be made")
            drawn.failure = f"the picture could not be made ({type(error).__name__}); the server's log says more"
        return drawn

    async def _send(self) -> None:
        while True:
            drawn = await self._outbox.get()
            edit, rendered = drawn.waiting.edit, drawn.rendered
            if rendered is None:
                await self._error(edit.id, drawn.failure)
                continue
            start = time.perf_counter()
            picture = await self._studio.encode(rendered.picture, edit.format, edit.quality)
            height, width, _ = rendered.picture.shape
            header: dict[str, object] = {
                "id": edit.id,
                "person": edit.person,
                "width": width,
                "height": height,
                "format": edit.format,
                "preview": edit.size < self._studio.full_size,
                "render_ms": round(rendered.render_ms, 3),
                "encode_ms": round(1e3 * (time.perf_counter() - start), 3),
                "wait_ms": round(drawn.wait_ms, 3),
                "dropped": drawn.dropped,
                "warnings": rendered.warnings,
            }
            await self._socket.send_bytes(protocol.pack_frame(header, picture))


async def live(studio: StudioState, socket: WebSocket) -> None:
    """Serves one WebSocket of ``/api/live`` from its beginning to its end."""
    await socket.accept()
    try:
        if studio.connections >= studio.limits.clients:
            raise Refused(503, f"{studio.connections} clients are connected, the most this studio serves")
        session, resumed = studio.sessions.open(socket.query_params.get("session"))
    except Refused as refused:
        await socket.send_json({"type": "error", "id": None, "message": refused.message})
        return await socket.close(TRY_LATER)
    studio.connections += 1
    session.connections += 1
    try:
        hello = {"type": "hello", "session": session.secret, "resumed": resumed, "protocol": protocol.PROTOCOL}
        await socket.send_json(hello)
        await Connection(studio, session, socket).run()
    except WebSocketDisconnect:
        pass
    finally:
        studio.connections -= 1
        studio.sessions.left(session)
