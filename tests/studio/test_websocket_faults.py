"""Messages that are wrong, clients that come back, vanish or are too many, a server that ends."""

from __future__ import annotations

import json
import threading
import time

import numpy as np
import pytest

pytest.importorskip("fastapi", reason="needs the extra `studio`")

from websockets.exceptions import ConnectionClosed

from stylerig_fast.studio.limits import StudioLimits
from tests.studio.client import Client
from tests.studio.stand_in import StandIn, Still


def closing_code(client):
    """What the server says when it ends a connection; 1006 when it says nothing."""
    try:
        while True:
            client.receive()
    except ConnectionClosed as closed:
        return 1006 if closed.rcvd is None else closed.rcvd.code


# ---- what is wrong --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("message", "id", "text"),
    [
        ("not json", None, "JSON"),
        ({"type": "draw"}, None, "type"),
        ({"type": "edit", "id": 7, "person": "p1", "size": 256, "request": {"pose": {"yaw": 500}}}, 7, "yaw"),
        ({"type": "edit", "id": 7, "person": "p2", "size": 256}, 7, "no such person"),
        ({"type": "edit", "id": 7, "person": "p1", "size": 255}, 7, "not one of"),
        (
            {"type": "edit", "id": 7, "person": "p1", "size": 64, "request": {"expression": {"jawOpne": 1}}},
            7,
            "jawOpen",
        ),
        (b"\x00\xff", None, "JSON"),
    ],
)
def test_a_mistake_is_answered(client, message, id, text):
    client.make()
    client.socket.send(message if isinstance(message, (str, bytes)) else json.dumps(message))
    answer = client.receive()
    assert (answer["type"], answer["id"]) == ("error", id)
    assert text in answer["message"]
    client.edit(size=64)
    assert client.frame().header["id"] == 1


def test_a_thousand_malformed_messages(serve):
    address = serve()
    with Client(address) as client, Client(address) as other:
        client.make()
        other.make()
        random = np.random.default_rng(0)
        good = json.dumps({"type": "edit", "id": 1, "person": "p1", "size": 64, "request": {"pose": {"yaw": 1}}})
        answers = 0
        for number in range(1000):
            damaged = list(good)
            damaged[int(random.integers(1, len(good)))] = "\x00"
            client.socket.send([damaged_text := "".join(damaged), damaged_text.encode(), "[" * 500][number % 3])
            if number % 50 == 49:
                answers += sum(client.receive()["type"] == "error" for _ in range(50))
                other.edit(size=64)
                other.frame()
        assert answers == 1000
        client.edit(size=64)
        assert client.frame().header["id"] == 1


def test_too_many_mistakes_end_the_connection_alone(serve):
    address = serve(limits=StudioLimits(malformed=20))
    with Client(address) as client, Client(address) as other:
        for _ in range(21):
            client.socket.send("{}")
        assert closing_code(client) == 1008
        other.make()
        other.edit(size=64)
        other.frame()


def test_too_large_a_message_ends_the_connection_alone(serve):
    address = serve()
    with Client(address) as client, Client(address) as other:
        client.socket.send("x" * 100_000)
        assert closing_code(client) == 1009
        other.send(type="ping", time=1)
        assert other.receive()["type"] == "pong"


# ---- coming and going -----------------------------------------------------------------------------


def test_a_session_is_resumed(serve):
    address = serve()
    with Client(address) as client:
        client.make()
    with Client(address, client.session) as again:
        assert again.hello["resumed"] is True
        assert again.session == client.session
        again.edit(size=64)
        again.frame()
    with Client(address, "x" * 22) as unknown:
        assert unknown.hello["resumed"] is False
        assert unknown.session not in ("x" * 22, client.session)


def test_an_unused_session_expires(serve):
    address = serve(limits=StudioLimits(idle_seconds=0.0))
    with Client(address) as client:
        client.make()
        serve.studio.sessions.sweep()
        assert client.call("GET", "people/p1/latent").status == 200
    until = time.monotonic() + 5
    while serve.studio.connections and time.monotonic() < until:
        time.sleep(0.01)
    with Client(address, client.session) as again:
        assert again.hello["resumed"] is False
        assert len(serve.studio.sessions) == 1


def test_there_is_a_limit_of_clients(serve):
    address = serve(limits=StudioLimits(clients=2))
    with Client(address), Client(address):
        third = Client(address)
        assert third.hello["type"] == "error"
        assert "2 clients" in third.hello["message"]
        assert closing_code(third) == 1013
    until = time.monotonic() + 5
    while serve.studio.connections and time.monotonic() < until:
        time.sleep(0.01)
    with Client(address) as client:
        assert client.hello["type"] == "hello"


def test_a_client_that_vanishes_leaves_nothing(serve):
    engine = StandIn(delay=0.1)
    address = serve(engine)
    with Client(address) as client:
        client.make()
        for _ in range(5):
            client.edit(size=64)
    time.sleep(0.3)
    assert engine.drawn <= 2
    assert serve.studio.connections == 0


def test_the_server_ends_while_clients_drag(engine):
    from stylerig_fast.studio.app import create_app
    from stylerig_fast.studio.serve import running

    with running(create_app(StandIn(delay=0.02))) as address:
        client = Client(address)
        client.make()
        for _ in range(5):
            client.edit(size=64)
        start = time.monotonic()
    assert time.monotonic() - start < 6
    assert closing_code(client) in (1001, 1006, 1012)
    assert not [thread for thread in threading.enumerate() if thread.name == "stylerig-engine"]


def test_what_waits_over_http_does_not_end_the_live_connection(serve, monkeypatch):
    engine = StandIn()
    go, sample = threading.Event(), engine.sample
    with Client(serve(engine, limits=StudioLimits(jobs=1))) as client:
        client.make()
        monkeypatch.setattr(engine, "sample", lambda **asked: go.wait(10) and sample(**asked))
        statuses = []
        threads = [
            threading.Thread(target=lambda: statuses.append(client.call("POST", "people", {"seed": 1}).status))
            for _ in range(4)
        ]
        for thread in threads:
            thread.start()
        time.sleep(0.3)
        client.edit(size=64)
        time.sleep(0.1)
        go.set()
        assert client.frame().header["id"] == 1
        for thread in threads:
            thread.join()
        assert sorted(statuses) == [200, 200, 429, 429]


def test_a_client_that_confirms_without_reading_is_not_drawn_for(serve):
    """Confirmations do not replace reading: once the socket is full, no more is drawn."""
    noise = np.random.default_rng(0).integers(0, 256, (1, 512, 512, 3)).astype(np.uint8)
    engine = Still(noise)
    with Client(serve(engine), max_queue=1) as client:
        client.make()
        edit = {"type": "edit", "person": "p1", "size": 512, "request": {}, "format": "png"}
        counts = []
        for number in range(1, 300):
            client.send(**edit, id=number)
            client.send(type="shown", id=10**9)
            time.sleep(0.005)
            counts.append(engine.drawn)
        # Pictures of 0.8 MB: the kernel holds a few of them.
        assert counts[-1] == counts[-50] < 30
        client.send(type="ping", time=1)
        messages = iter(client.receive, {"type": "pong", "time": 1})
        assert len(list(messages)) <= counts[-1]
