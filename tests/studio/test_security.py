"""Who is let in: names, origins, the token; and what pages may load."""

from __future__ import annotations

import socket

import pytest

pytest.importorskip("fastapi", reason="needs the extra `studio`")

from websockets.exceptions import InvalidStatus

from stylerig_fast.studio.security import COOKIE, Access, _same, is_loopback
from stylerig_fast.studio.serve import checked_token, listen, url_of
from tests.studio.client import Client, call

TOKEN = "correct-horse-battery-staple"


def status(address, path="/api/studio", method="GET", **headers):
    return call(address, method, path, headers=headers).status


def connects(address, **headers):
    try:
        with Client(address, additional_headers=headers) as client:
            return client.hello["type"] == "hello"
    except InvalidStatus as refused:
        return {403: False}[refused.response.status_code]


# ---- names ----------------------------------------------------------------------------------------


def test_other_names_are_not_answered(serve):
    address = serve()
    port = address.url.rstrip("/").rpartition(":")[2]
    for host in ("localhost", f"localhost:{port}", "127.0.0.1", "LOCALHOST", "[::1]:80"):
        assert status(address, Host=host) == 200
    for host in ("evil.example", f"evil.example:{port}", "localhost.evil.example", "192.168.0.7", "", "[", "a:b:c"):
        assert status(address, Host=host) == 403
    upgrade = {"Connection": "Upgrade", "Upgrade": "websocket", "Sec-WebSocket-Version": "13"}
    upgrade["Sec-WebSocket-Key"] = "dGhlIHNhbXBsZSBub25jZQ=="
    assert call(address, "GET", "/api/live", headers={**upgrade, "Host": "evil.example"}).status == 403


def test_names_that_are_given_are_answered(serve):
    address = serve(access=Access.to("127.0.0.1", None, ["Studio.example"]))
    assert status(address, Host="studio.example:8443") == 200
    assert status(address, Host="other.example") == 403


def test_beyond_loopback_addresses_are_answered():
    access = Access.to("0.0.0.0", TOKEN)
    assert access.any_address
    assert socket.gethostname().lower() in access.names
    assert not Access.to("127.0.0.1", None).any_address


# ---- origins --------------------------------------------------------------------------------------


def test_other_sites_change_nothing(serve):
    address = serve()
    own, host = address.url.rstrip("/"), address.url.split("/")[2]
    for origin, let_in in ((own, True), ("https://evil.example", False), ("null", False), (f"{own}.evil", False)):
        assert connects(address, Origin=origin) is let_in
        expected = 404 if let_in else 403
        assert status(address, "/api/sessions/none/people", "POST", Origin=origin) == expected
        assert status(address, "/api/sessions/none/people/p1", "DELETE", Origin=origin) == expected
        assert status(address, Origin=origin) == 200  # may be asked, cannot be read from there
    assert connects(address)
    assert status(address, "/api/sessions/none/people", "POST") == 404
    port = host.rpartition(":")[2]
    assert not connects(address, Origin=f"http://localhost:{port}")


@pytest.mark.parametrize(
    ("origin", "host", "same"),
    [
        ("http://localhost:8770", "localhost:8770", True),
        ("http://LOCALHOST:8770", "localhost:8770", True),
        ("http://localhost", "localhost:80", True),
        ("https://studio.example", "studio.example", True),
        ("https://studio.example", "studio.example:443", True),
        ("https://studio.example", "studio.example:80", False),
        ("http://[::1]:8770", "[::1]:8770", True),
        ("http://localhost:8771", "localhost:8770", False),
        ("file://", "localhost", False),
        ("file://localhost", "localhost", False),
        ("chrome-extension://localhost", "localhost", False),
        ("http://localhost:port", "localhost", False),
        ("http://[", "localhost", False),
        ("", "localhost", False),
        ("null", "null", False),
    ],
)
def test_which_origins_are_the_same(origin, host, same):
    assert _same(origin, host) is same


# ---- the token ------------------------------------------------------------------------------------


@pytest.fixture
def closed(serve, tmp_path):
    (tmp_path / "index.html").write_text("page")
    return serve(access=Access(token=TOKEN), static=tmp_path)


def test_without_the_token_nothing_is_served(closed):
    for path in ("/", "/index.html", "/api/studio", "/api/face-model", "/api/sessions/x/people/p1/picture"):
        assert status(closed, path) == 401
    assert status(closed, "/api/sessions/x/people", "POST") == 401
    for wrong in ("", "Bearer", "Bearer wrong", f"Basic {TOKEN}", f"Bearer {TOKEN}x", "Bearer ä"):
        assert status(closed, Authorization=wrong.encode("latin-1")) == 401
    assert status(closed, Cookie=f"{COOKIE}=wrong") == 401
    assert status(closed, Cookie=";=;,") == 401
    assert not connects(closed)
    assert not connects(closed, Authorization="Bearer wrong")


def test_the_token_opens_everything(closed):
    assert status(closed, Authorization=f"Bearer {TOKEN}") == 200
    assert connects(closed, Authorization=f"Bearer {TOKEN}")
    assert connects(closed, Cookie=f"other=1; {COOKIE}={TOKEN}")
    assert not connects(closed, Cookie=f"{COOKIE}={TOKEN}", Origin="https://evil.example")


def test_the_address_with_the_token_sets_a_cookie(closed):
    entered = call(closed, "GET", f"/?token={TOKEN}")
    assert (entered.status, entered.headers["Location"]) == (303, "/")
    cookie = entered.headers["Set-Cookie"]
    assert cookie.startswith(f"{COOKIE}={TOKEN};")
    assert {"httponly", "samesite=strict", "path=/"} <= {part.strip().lower() for part in cookie.split(";")}
    assert entered.headers["Cache-Control"] == "no-store"
    page = call(closed, "GET", "/", headers={"Cookie": cookie.split(";")[0]})
    assert page.body == b"page"
    assert "Set-Cookie" not in call(closed, "GET", "/?token=wrong").headers
    assert call(closed, "GET", "/?token=wrong").status == 401
    assert call(closed, "GET", f"/api/studio?token={TOKEN}").status == 401


def test_from_another_sites_link_the_page_goes_on_by_itself(closed):
    entered = call(closed, "GET", f"/?token={TOKEN}", headers={"Sec-Fetch-Site": "cross-site"})
    assert entered.status == 200
    assert b'http-equiv="refresh"' in entered.body
    assert COOKIE in entered.headers["Set-Cookie"]


def test_beyond_loopback_a_token_is_demanded():
    assert checked_token("127.0.0.1", None) is None
    assert checked_token("localhost", None) is None
    for host in ("0.0.0.0", "::", "192.168.0.7", "studio.example"):
        with pytest.raises(ValueError, match="--token auto"):
            checked_token(host, None)
        assert len(checked_token(host, "auto")) >= 22
    assert checked_token("0.0.0.0", TOKEN) == TOKEN
    for short in ("", "short", "spaces are not in it", "ümlautümlautümlaut", "a;b" * 10):
        with pytest.raises(ValueError, match="at least 16"):
            checked_token("127.0.0.1", short)


@pytest.mark.parametrize(
    ("host", "loopback"),
    [("127.0.0.1", True), ("127.8.0.1", True), ("::1", True), ("localhost", True), ("0.0.0.0", False), ("::", False)],
)
def test_what_is_loopback(host, loopback):
    assert is_loopback(host) is loopback


# ---- headers --------------------------------------------------------------------------------------


def test_every_answer_says_what_a_page_may_load(closed, serve):
    for address in (closed, serve()):
        for path in ("/", "/api/studio", "/api/none", "/none"):
            headers = call(address, "GET", path).headers
            policy = headers["Content-Security-Policy"]
            assert "default-src 'self'" in policy
            assert "http" not in policy
            assert "unsafe-eval" not in policy
            assert headers["X-Content-Type-Options"] == "nosniff"
            assert "Server" not in headers
            assert "Access-Control-Allow-Origin" not in headers


# ---- the command ----------------------------------------------------------------------------------


def test_a_port_in_use_is_said():
    with listen("127.0.0.1", 0) as taken:
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(OSError, match=rf"127.0.0.1 port {port} .* --port"):
            listen("127.0.0.1", port)


def test_addresses():
    assert url_of("0.0.0.0", 8770) == "http://127.0.0.1:8770/"
    assert url_of("::", 8770) == "http://[::1]:8770/"
    assert url_of("studio.example", 8770) == "http://studio.example:8770/"
