"""The studio as one ASGI application."""

from __future__ import annotations

import asyncio
import contextlib
import mimetypes
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

from fastapi import FastAPI, Request, Response, WebSocket
from fastapi.responses import JSONResponse
from fastapi.staticfiles import StaticFiles
from starlette.exceptions import HTTPException
from starlette.types import Scope

from stylerig_fast.studio.engine_protocol import EngineLike
from stylerig_fast.studio.limits import StudioLimits
from stylerig_fast.studio.protocol import Malformed
from stylerig_fast.studio.rest import routes
from stylerig_fast.studio.scheduler import Closed
from stylerig_fast.studio.security import Access, Guard
from stylerig_fast.studio.sessions import Refused
from stylerig_fast.studio.state import StudioState
from stylerig_fast.studio.websocket import live

STATIC = Path(__file__).parent / "static"
SWEEP_SECONDS = 30.0
# Fixed here: what the machine's own table says of .js differs, and with nosniff a module of another type does not run.
TYPES = {
    ".css": "text/css",
    ".html": "text/html",
    ".js": "text/javascript",
    ".json": "application/json",
    ".mjs": "text/javascript",
    ".svg": "image/svg+xml",
    ".wasm": "application/wasm",
    ".woff2": "font/woff2",
}


def create_app(
    engine: EngineLike,
    *,
    access: Access | None = None,
    limits: StudioLimits | None = None,
    preview: int | None = None,
    static: Path = STATIC,
) -> FastAPI:
    """The studio of one Engine.

    Args:
        engine: draws the pictures; from now on only the studio's own thread calls it.
        access: who is let in; by default callers that name this machine as localhost, without token.
        limits: of clients, people, frames.
        preview: size of pictures while dragging; by default 256, and the full size on a GPU.
        static: folder of the page.

    Returns:
        The application; its `StudioState` is ``app.state.studio``.

    Raises:
        ValueError: the Engine cannot make pictures of the preview's size.
    """
    studio = StudioState(engine, limits, preview)

    @contextlib.asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        sweeper = asyncio.create_task(_sweep(studio))
        yield
        sweeper.cancel()
        await asyncio.get_running_loop().run_in_executor(None, studio.close)

    # The interface's own pages would load their scripts from elsewhere.
    app = FastAPI(title="stylerig_fast studio", lifespan=lifespan, openapi_url=None, docs_url=None, redoc_url=None)
    app.state.studio = studio
    app.include_router(routes(studio))

    @app.websocket("/api/live")
    async def serve_live(socket: WebSocket) -> None:
        await live(studio, socket)

    app.mount("/", PageFiles(directory=static, html=True, check_dir=False))
    app.add_middleware(Guard, access=access or Access())
    for error, status in ((Malformed, 400), (ValueError, 400), (Closed, 503)):
        app.add_exception_handler(error, _says(status))
    app.add_exception_handler(Refused, _refused)
    app.add_exception_handler(HTTPException, _http)
    app.add_exception_handler(Exception, _unexpected)
    return app


class PageFiles(StaticFiles):
    """The page's files: asked about each time, sent only if they have changed."""

    async def get_response(self, path: str, scope: Scope) -> Response:
        response = await super().get_response(path, scope)
        response.headers["Cache-Control"] = "no-cache"
        return response


for ending, media_type in TYPES.items():
    mimetypes.add_type(media_type, ending)


async def _sweep(studio: StudioState) -> None:
    while True:
        await asyncio.sleep(SWEEP_SECONDS)
        studio.sessions.sweep()


def _says(status: int) -> Callable[[Request, Exception], Awaitable[Response]]:
    async def handler(_: Request, error: Exception) -> Response:
        return JSONResponse({"message": str(error)}, status)

    return handler


async def _refused(_: Request, error: Exception) -> Response:
    assert isinstance(error, Refused)
    return JSONResponse({"message": error.message}, error.status)


async def _http(_: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    return JSONResponse({"message": error.detail}, error.status_code, error.headers)


async def _unexpected(_: Request, error: Exception) -> Response:
    return JSONResponse({"message": f"the server failed ({type(error).__name__}); its log says more"}, 500)
