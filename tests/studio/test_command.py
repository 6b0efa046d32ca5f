"""``stylerig studio``: its mistakes are one line, it says where it is, Ctrl-C ends it."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from types import SimpleNamespace

import pytest

pytest.importorskip("fastapi", reason="needs the extra `studio`")

from stylerig_fast.cli import main
from stylerig_fast.commands.options import EngineOptions
from stylerig_fast.studio.serve import Address, open_browser
from tests.studio.client import Client, call

PROGRAM = """
import sys
from stylerig_fast.cli import main
from stylerig_fast.commands.options import EngineOptions
from tests.studio.stand_in import StandIn
EngineOptions.open_engine = lambda options, dtype=None: StandIn()
sys.exit(main(sys.argv[1:]))
"""


@pytest.mark.parametrize(
    ("args", "message"),
    [
        ("--host 0.0.0.0", "--token auto"),
        ("--token short", "at least 16"),
        ("--port 70000", "0 to 65535"),
        ("--host no.such.name.invalid --token auto", "no.such.name.invalid"),
        ("--port 0 --preview 100", "expected one of 64, 128, 256, 512"),
    ],
)
def test_a_mistake_is_one_line(args, message, capsys, monkeypatch, engine):
    monkeypatch.setattr(EngineOptions, "open_engine", lambda options, dtype=None: engine)
    assert main(["studio", "--no-open", *args.split()]) == 2
    error = capsys.readouterr().err
    assert message in error
    assert len(error.splitlines()) == 1


def test_a_missing_package_is_named(capsys, monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None if name == "uvicorn" else SimpleNamespace())
    assert main(["studio"]) == 2
    assert "pip install 'stylerig-fast[studio]'" in capsys.readouterr().err


@pytest.mark.parametrize(("display", "opened"), [(None, 0), (":0", 1)])
def test_the_page_opens_where_there_is_a_screen(display, opened, monkeypatch):
    asked = []
    monkeypatch.setattr("webbrowser.open", asked.append)
    monkeypatch.setattr("sys.platform", "linux")
    monkeypatch.delenv("WAYLAND_DISPLAY", raising=False)
    monkeypatch.setenv("DISPLAY", display or "")
    thread = open_browser(Address("http://127.0.0.1:8770/", "secret"))
    if thread is not None:
        thread.join()
    assert asked == ["http://127.0.0.1:8770/?token=secret"] * opened


def test_it_says_where_it_is_and_ends_with_ctrl_c():
    args = "studio --port 0 --host 0.0.0.0 --token auto --no-open --json".split()
    process = subprocess.Popen(
        [sys.executable, "-c", PROGRAM, *args], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    try:
        said = json.loads(process.stdout.readline())
        address = Address(said["url"], said["token"])
        assert address.entrance == f"{said['url']}?token={said['token']}"
        assert call(address, "GET", "/api/studio").status == 401
        with Client(address, additional_headers={"Authorization": f"Bearer {said['token']}"}) as client:
            assert client.hello["type"] == "hello"
            process.send_signal(signal.SIGINT)
            output, errors = process.communicate(timeout=20)
        assert process.returncode == 130
        assert output == ""
        assert errors == ""
    finally:
        process.kill()
        process.communicate()
