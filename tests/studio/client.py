"""A page of the studio without a page: HTTP and the WebSocket as plain calls."""

from __future__ import annotations

import http.client
import json
import struct
from types import SimpleNamespace
from urllib.parse import urlsplit

from websockets.sync.client import connect


def call(address, method, path, body=None, headers=None):
    """One HTTP request: status, headers, body (from JSON where it is that)."""
    parts = urlsplit(address.url)
    connection = http.client.HTTPConnection(parts.hostname, parts.port, timeout=20)
    try:
        content = body if body is None or isinstance(body, bytes) else json.dumps(body)
        connection.request(method, path, content, headers or {})
        response = connection.getresponse()
        read = response.read()
        if response.headers.get_content_type() == "application/json":
            read = json.loads(read)
        return SimpleNamespace(status=response.status, headers=response.headers, body=read)
    finally:
        connection.close()


class Client:
    """One connection and its session."""

    def __init__(self, address, session=None, **options):
        self.address = address
        query = f"?session={session}" if session else ""
        url = address.url.replace("http", "ws") + f"api/live{query}"
        self._opened = connect(url, max_size=None, compression=None, **options)
        self.socket = self._opened.__enter__()
        self.hello = json.loads(self.socket.recv(10))
        self.session = self.hello.get("session")
        self._id = 0

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self._opened.__exit__(None, None, None)

    # ---- HTTP -------------------------------------------------------------------------------------

    def call(self, method, path, body=None):
        return call(self.address, method, f"/api/sessions/{self.session}/{path}", body)

    def make(self, **recipe):
        """A person, as the server describes them."""
        made = self.call("POST", "people", recipe or {"seed": 7})
        assert made.status == 200, made.body
        return made.body

    # ---- live -------------------------------------------------------------------------------------

    def send(self, **message):
        self.socket.send(json.dumps(message))

    def edit(self, person="p1", size=256, request=None, **options):
        """Asks for a picture; its id."""
        self._id += 1
        self.send(type="edit", id=self._id, person=person, size=size, request=request or {}, **options)
        return self._id

    def receive(self, timeout=10):
        """The next message: a dict, or a frame with ``header`` and ``picture``."""
        message = self.socket.recv(timeout)
        return json.loads(message) if isinstance(message, str) else unpack(message)

    def frame(self, timeout=10):
        """The next frame, confirmed at once."""
        frame = self.receive(timeout)
        assert isinstance(frame, SimpleNamespace), frame
        self.send(type="shown", id=frame.header["id"])
        return frame


def unpack(message):
    assert message[:4] == b"SRF1"
    (length,) = struct.unpack("<I", message[4:8])
    return SimpleNamespace(header=json.loads(message[8 : 8 + length]), picture=message[8 + length :])
