"""A client of the studio's WebSocket, as a browser's page is: it sends edits, receives frames and confirms them."""

from __future__ import annotations

import asyncio
import json
import struct
import time
import urllib.request
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

from stylerig_fast.errors import StyleRigError

MAGIC = b"SRF1"
LIMIT = 30.0


@dataclass(frozen=True)
class ReceivedFrame:
    """A picture that was received, with its header."""

    header: dict[str, Any]
    picture: bytes


@dataclass
class StudioClient:
    """One connection, its session and its person.

    Attributes:
        socket: the WebSocket.
        origin: of the server, for REST.
        session: the session's secret.
        person: id of the person who is edited.
    """

    socket: Any
    origin: str
    session: str
    person: str = ""
    _last: int = 0

    async def make_person(self, seed: int) -> None:
        """Makes one of the generator's random people, who is edited from then on."""
        body = await asyncio.to_thread(post, self.origin, f"/api/sessions/{self.session}/people", {"seed": seed})
        self.person = body["id"]

    async def edit(self, yaw: float, size: int, format: str = "jpeg") -> int:
        """Sends an edit and returns its number.

        Args:
            yaw: degrees.
            size: height of the picture in pixels.
            format: of the picture.
        """
        self._last += 1
        edit = {"type": "edit", "id": self._last, "person": self.person, "request": {"pose": {"yaw": yaw}}}
        await self.socket.send(json.dumps(edit | {"size": size, "format": format, "quality": 85}))
        return self._last

    async def frame(self) -> ReceivedFrame:
        """Receives the next frame and confirms that it is shown.

        Raises:
            StyleRigError: the server answers with an error, or not in time.
        """
        while True:
            try:
                message = await asyncio.wait_for(self.socket.recv(), LIMIT)
            except asyncio.TimeoutError as error:
                raise StyleRigError(f"the studio sent no picture for {LIMIT:.0f} s; see its log") from error
            if isinstance(message, str):
                content = json.loads(message)
                if content["type"] == "error":
                    raise StyleRigError(f"the studio refused an edit: {content['message']}")
                continue
            frame = parse(message)
            await self.socket.send(json.dumps({"type": "shown", "id": frame.header["id"]}))
            return frame


@asynccontextmanager
async def connect(origin: str, seed: int = 0) -> AsyncIterator[StudioClient]:
    """A new connection with its own session and person.

    Args:
        origin: for example ``http://127.0.0.1:8765``.
        seed: of the person.
    """
    from websockets.asyncio.client import connect as open_socket

    address = f"{origin.replace('http', 'ws', 1)}/api/live"
    async with open_socket(address, origin=origin, max_size=None, compression=None) as socket:  # type: ignore[arg-type]
        hello = json.loads(await socket.recv())
        client = StudioClient(socket, origin, hello["session"])
        await client.make_person(seed)
        yield client


def parse(message: bytes) -> ReceivedFrame:
    """A binary message: magic, length of the header, header, picture."""
    if message[:4] != MAGIC:
        raise StyleRigError(f"the studio sent {message[:4]!r}, expected a frame that begins with {MAGIC!r}")
    (length,) = struct.unpack_from("<I", message, 4)
    return ReceivedFrame(json.loads(message[8 : 8 + length]), message[8 + length :])


def post(origin: str, path: str, body: dict[str, Any]) -> Any:
    """A REST call with a JSON body, as the page makes it; returns the JSON answer."""
    headers = {"Content-Type": "application/json", "Origin": origin}
    request = urllib.request.Request(origin + path, json.dumps(body).encode(), headers)
    with urllib.request.urlopen(request, timeout=LIMIT) as answer:
        return json.loads(answer.read())


# ---- what is measured -------------------------------------------------------------------------------


async def consecutive_edits(client: StudioClient, yaws: Iterable[float], size: int) -> list[dict[str, float]]:
    """Milliseconds of edits, each sent when the one before it is shown: round trip, and the server's own times.

    Args:
        client: that sends them.
        yaws: degrees, one for each edit.
        size: height of the pictures in pixels.
    """
    times = []
    for yaw in yaws:
        start = time.perf_counter()
        number = await client.edit(yaw, size)
        frame = await client.frame()
        trip = 1e3 * (time.perf_counter() - start)
        if frame.header["id"] != number:
            raise StyleRigError(f"the studio answered edit {frame.header['id']}, expected {number}")
        times.append({"trip": trip} | {name: frame.header[f"{name}_ms"] for name in ("render", "encode", "wait")})
    return times


async def stream_edits(client: StudioClient, yaws: Iterable[float], size: int, until: float) -> int:
    """Number of frames received until ``until``, with one edit always waiting at the server.

    Args:
        client: that sends the edits.
        yaws: degrees, at least one for each edit.
        size: height of the pictures in pixels.
        until: moment of ``time.perf_counter``.
    """
    angles, frames = iter(yaws), 0
    await client.edit(next(angles), size)
    await client.edit(next(angles), size)
    while time.perf_counter() < until:
        await client.frame()
        frames += 1
        await client.edit(next(angles), size)
    return frames
