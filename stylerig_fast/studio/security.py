"""Who may talk to the studio: names it answers to, pages it listens to, the token; and what its pages may load."""

from __future__ import annotations

import hmac
import ipaddress
import socket
from collections.abc import Iterable
from dataclasses import dataclass
from http.cookies import CookieError, SimpleCookie
from urllib.parse import parse_qs, urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import HTMLResponse, JSONResponse, PlainTextResponse, RedirectResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

COOKIE = "stylerig_studio"
LOOPBACK = ("localhost", "127.0.0.1", "::1")
POLICY = "; ".join(
    (
        "default-src 'self'",
        "img-src 'self' blob: data:",
        "media-src 'self' blob:",
        "style-src 'self' 'unsafe-inline'",
        "object-src 'none'",
        "base-uri 'none'",
        "form-action 'self'",
        "frame-ancestors 'none'",
    )
)
HEADERS = {
    "Content-Security-Policy": POLICY,
    "X-Content-Type-Options": "nosniff",
    # Not no-referrer: with it browsers send `Origin: null` from forms of the page itself.
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
}
_ONWARD = '<!doctype html><meta http-equiv="refresh" content="0; url=/"><title>Studio</title><a href="/">Studio</a>'
SAFE_METHODS = ("GET", "HEAD", "OPTIONS")


@dataclass(frozen=True)
class Access:
    """Who is let in.

    Attributes:
        names: hosts, without port, that the studio answers to. A name that an attacker points at this machine (DNS
            rebinding) is none of them.
        any_address: whether it also answers to IP addresses in place of a name: no name, no rebinding.
        token: what a client must know; None on loopback.
    """

    names: frozenset[str] = frozenset(LOOPBACK)
    any_address: bool = False
    token: str | None = None

    @staticmethod
    def to(host: str, token: str | None, names: Iterable[str] = ()) -> Access:
        """For a studio that is bound to ``host``, and may also be called by ``names``."""
        everywhere = not is_loopback(host)
        known = {*LOOPBACK, *(name.lower() for name in names)}
        if everywhere:
            known |= {host.lower(), socket.gethostname().lower()}
        return Access(frozenset(known), everywhere, token)


def is_loopback(host: str) -> bool:
    """Whether only this machine reaches a server bound to ``host``."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host.lower() == "localhost"


class Guard:
    """ASGI middleware in front of everything."""

    def __init__(self, app: ASGIApp, access: Access) -> None:
        self._app, self._access = app, access

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        served = scope["type"] in ("http", "websocket")
        answer = self._answer(scope, Headers(scope=scope)) if served else None

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                present = MutableHeaders(scope=message)
                for name, value in HEADERS.items():
                    present.setdefault(name, value)
            await send(message)

        if answer is not None and scope["type"] == "websocket":
            await receive()  # the handshake; refused before it is accepted, it ends as HTTP 403
            await send({"type": "websocket.close", "code": 1008})
        else:
            await (answer or self._app)(scope, receive, send_with_headers)

    def _answer(self, scope: Scope, headers: Headers) -> Response | None:
        """What to say in place of the studio; None lets the request through."""
        host = headers.get("host", "")
        if not self._is_known(host):
            return _refuse(scope, 403, "this studio does not answer to that host name; start it with --allow-host NAME")
        if self._access.token is not None:
            given = _token_in_query(scope)
            if given is not None:
                return self._enter(given, headers)
            if not self._is_shown(headers):
                return _refuse(scope, 401, "this studio asks for its token; open the address that it printed")
        if scope["type"] == "websocket" or scope["method"] not in SAFE_METHODS:
            origin = headers.get("origin")
            # Programs that are no browser send none; a browser always does where it matters.
            if origin is not None and not _same(origin, host):
                return _refuse(scope, 403, "requests from other sites are not served")
        return None

    def _is_known(self, host: str) -> bool:
        name = _host_name(host)
        if name in self._access.names:
            return True
        if not self._access.any_address or name is None:
            return False
        try:
            ipaddress.ip_address(name)
        except ValueError:
            return False
        return True

    def _is_shown(self, headers: Headers) -> bool:
        scheme, _, bearer = headers.get("authorization", "").partition(" ")
        if scheme.lower() == "bearer" and self._is_token(bearer.strip()):
            return True
        try:
            cookies = SimpleCookie(headers.get("cookie", ""))
        except CookieError:
            return False
        return COOKIE in cookies and self._is_token(cookies[COOKIE].value)

    def _is_token(self, shown: str) -> bool:
        assert self._access.token is not None
        return hmac.compare_digest(shown.encode("utf-8", "replace"), self._access.token.encode())

    def _enter(self, token: str, headers: Headers) -> Response:
        if not self._is_token(token):
            return PlainTextResponse("wrong token; open the address that the studio printed", 401)
        response: Response = RedirectResponse("/", 303, {"Cache-Control": "no-store"})
        if headers.get("sec-fetch-site") == "cross-site":
            # A strict cookie does not follow a redirect that another site's link began; from a page of ours it does.
            response = HTMLResponse(_ONWARD, headers={"Cache-Control": "no-store"})
        response.set_cookie(COOKIE, token, httponly=True, samesite="strict", path="/")
        return response


def _token_in_query(scope: Scope) -> str | None:
    """The token of ``GET /?token=…``."""
    if scope["type"] != "http" or scope["method"] != "GET" or scope["path"] != "/":
        return None
    values = parse_qs(scope["query_string"].decode("latin-1")).get("token")
    return values[0] if values else None


def _host_name(host: str) -> str | None:
    """The name in a Host header, in lower case, without its port and brackets."""
    try:
        return urlsplit(f"//{host}").hostname
    except ValueError:
        return None


def _same(origin: str, host: str) -> bool:
    """Whether a page of ``origin`` came from the server that is asked as ``host``."""
    try:
        page, server = urlsplit(origin), urlsplit(f"{urlsplit(origin).scheme}://{host}")
        default = {"http": 80, "https": 443}.get(page.scheme)
        return (
            page.scheme in ("http", "https")
            and page.hostname is not None
            and (page.hostname, page.port or default) == (server.hostname, server.port or default)
        )
    except ValueError:
        return False


def _refuse(scope: Scope, status: int, message: str) -> Response:
    if scope["path"].startswith("/api/"):
        return JSONResponse({"message": message}, status)
    return PlainTextResponse(message + "\n", status)
