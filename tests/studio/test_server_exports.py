"""Animations that become files, over HTTP."""

from __future__ import annotations

import io
import time

import pytest
from PIL import Image, ImageSequence

pytest.importorskip("fastapi", reason="needs the extra `studio`")

from stylerig_fast.studio import video
from tests.studio.client import Client
from tests.studio.stand_in import StandIn


def animation(frames=6):
    moves = [{"person": "p1", "request": {"pose": {"yaw": i % 30}}} for i in range(frames)]
    return {"frames": moves, "fps": 12, "size": 64, "format": "gif"}


def wait_for(client, export, state="ready"):
    until = time.monotonic() + 20
    while time.monotonic() < until:
        progress = client.call("GET", f"exports/{export}").body
        if progress["state"] != "running":
            assert progress["state"] == state, progress
            return progress
        time.sleep(0.02)
    raise AssertionError("the export does not end")


def test_an_animation_becomes_a_file(client):
    client.make()
    started = client.call("POST", "exports", animation())
    assert started.status == 202
    id = started.body["id"]
    assert wait_for(client, id) == {"done": 6, "total": 6, "state": "ready", "message": ""}
    file = client.call("GET", f"exports/{id}/file")
    assert file.headers["Content-Type"] == "image/gif"
    assert file.headers["Content-Disposition"] == 'attachment; filename="stylerig.gif"'
    assert len(list(ImageSequence.Iterator(Image.open(io.BytesIO(file.body))))) == 6
    assert client.call("DELETE", f"exports/{id}").status == 204
    assert client.call("GET", f"exports/{id}/file").status == 404


def test_an_export_belongs_to_its_session(serve):
    address = serve()
    with Client(address) as one, Client(address) as other:
        one.make()
        id = one.call("POST", "exports", animation()).body["id"]
        wait_for(one, id)
        assert other.call("GET", f"exports/{id}").status == 404
        assert other.call("GET", f"exports/{id}/file").status == 404
        assert other.call("DELETE", f"exports/{id}").status == 404


def test_one_export_at_a_time_and_it_can_be_cancelled(serve):
    with Client(serve(StandIn(delay=0.05))) as client:
        client.make()
        id = client.call("POST", "exports", animation(frames=200)).body["id"]
        assert client.call("POST", "exports", animation()).status == 409
        assert client.call("GET", f"exports/{id}/file").status == 409
        # A hand that moves meanwhile is served first.
        client.edit(size=64)
        assert client.frame().header["wait_ms"] < 1000
        assert client.call("DELETE", f"exports/{id}").status == 204
        second = client.call("POST", "exports", animation(frames=2)).body["id"]
        wait_for(client, second)


def test_an_export_that_fails_says_why(client, monkeypatch):
    def full(frames, path, format, fps):
        raise OSError(28, "No space left on device", str(path))

    monkeypatch.setattr(video, "write", full)
    client.make()
    id = client.call("POST", "exports", animation()).body["id"]
    failed = wait_for(client, id, "failed")
    assert "No space left" in failed["message"]
    assert "/" not in failed["message"]


@pytest.mark.parametrize(
    ("changes", "status", "message"),
    [
        ({"frames": []}, 400, "frames"),
        ({"frames": [{"person": "p1"}] * 601}, 413, "at most 600"),
        ({"frames": [{"person": "p2"}]}, 404, "no such person"),
        ({"frames": [{"person": "p1", "request": {"expression": {"nope": 1}}}]}, 400, "no coefficient"),
        ({"size": 77}, 400, "not one of"),
        ({"fps": 0}, 400, "fps"),
        ({"format": "avi"}, 400, "format"),
        ({"path": "/tmp/x.gif"}, 400, "path"),
    ],
)
def test_a_wrong_export_is_refused(client, changes, status, message):
    client.make()
    refused = client.call("POST", "exports", {**animation(), **changes})
    assert refused.status == status
    assert message in refused.body["message"]


def test_files_go_with_the_server(engine):
    from stylerig_fast.studio.app import create_app
    from stylerig_fast.studio.serve import running

    app = create_app(engine)
    with running(app) as address, Client(address) as client:
        client.make()
        id = client.call("POST", "exports", animation()).body["id"]
        wait_for(client, id)
        session = app.state.studio.sessions.find(client.session)
        file = session.export.path
        assert file.is_file()
    assert not file.parent.exists()
