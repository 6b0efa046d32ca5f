"""The studio over HTTP: the Engine's facts, people, pictures, exports."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import TypeVar

from fastapi import APIRouter, Request, Response
from fastapi.responses import FileResponse, JSONResponse

from stylerig_fast.studio import protocol
from stylerig_fast.studio.engine_protocol import EngineLike
from stylerig_fast.studio.export_job import ExportJob
from stylerig_fast.studio.people import DrawnPicture, Person, code_from_text, draw, draw_unedited, text_of_code
from stylerig_fast.studio.pictures import MEDIA_TYPES
from stylerig_fast.studio.protocol import FromMix, FromSeed
from stylerig_fast.studio.scheduler import Line
from stylerig_fast.studio.sessions import Refused, StudioSession
from stylerig_fast.studio.state import StudioState

# What belongs to a secret address may be kept by the browser, and by nobody between.
PRIVATE = {"Cache-Control": "private, max-age=3600, immutable"}
NEVER = {"Cache-Control": "no-store"}
THUMBNAIL = 128

T = TypeVar("T")


def routes(studio: StudioState) -> APIRouter:
    """The routes below ``/api`` that are no WebSocket."""
    router = APIRouter(prefix="/api")

    @router.get("/studio")
    async def describe() -> Response:
        return JSONResponse(studio.description, headers=NEVER)

    @router.get("/face-model")
    async def face_model(request: Request) -> Response:
        headers = {"ETag": studio.face.etag, "Cache-Control": "private, no-cache"}
        if studio.face.etag in request.headers.get("if-none-match", ""):
            return Response(status_code=304, headers=headers)
        return Response(studio.face.content, media_type="application/octet-stream", headers=headers)

    @router.get("/sessions/{secret}/people")
    async def people(secret: str) -> Response:
        found = [person.describe() for person in studio.sessions.find(secret).people]
        return JSONResponse({"people": found}, headers=NEVER)

    @router.post("/sessions/{secret}/people")
    async def make_person(secret: str, request: Request) -> Response:
        session = studio.sessions.find(secret)
        recipe = protocol.parse_recipe(await body(request, studio.limits.body_bytes))
        session.check_room()
        person = await _make(studio, session, recipe)
        return JSONResponse(person.describe(), headers=NEVER)

    @router.get("/sessions/{secret}/people/{person}/latent")
    async def latent(secret: str, person: str) -> Response:
        found = studio.sessions.find(secret).person(person)
        return JSONResponse({"latent": text_of_code(found.w)}, headers=PRIVATE)

    @router.delete("/sessions/{secret}/people/{person}")
    async def remove(secret: str, person: str) -> Response:
        studio.sessions.find(secret).remove(person)
        return Response(status_code=204)

    @router.get("/sessions/{secret}/people/{person}/picture")
    async def thumbnail(secret: str, person: str, request: Request) -> Response:
        session = studio.sessions.find(secret)
        found, size = session.person(person), _size(request)
        studio.check_size(size)
        rendered = await _turn(studio, session, request, lambda engine: draw_unedited(engine, found, size))
        return await _picture(studio, rendered, "jpeg", 85, PRIVATE)

    @router.post("/sessions/{secret}/people/{person}/picture")
    async def picture(secret: str, person: str, request: Request) -> Response:
        session = studio.sessions.find(secret)
        found = session.person(person)
        query = protocol.parse(protocol.PICTURE, await body(request, studio.limits.message_bytes))
        studio.check_size(query.size)
        studio.check_request(query.request)
        rendered = await _turn(studio, session, request, lambda engine: draw(engine, found, query.request, query.size))
        return await _picture(studio, rendered, query.format, query.quality, NEVER)

    @router.post("/sessions/{secret}/exports")
    async def export(secret: str, request: Request) -> Response:
        session = studio.sessions.find(secret)
        new = protocol.parse(protocol.EXPORT, await body(request, studio.limits.body_bytes))
        return JSONResponse({"id": studio.start_export(session, new).id}, status_code=202)

    @router.get("/sessions/{secret}/exports/{export}")
    async def progress(secret: str, export: str) -> Response:
        return JSONResponse(_export(studio, secret, export).describe(), headers=NEVER)

    @router.get("/sessions/{secret}/exports/{export}/file")
    async def file(secret: str, export: str) -> Response:
        found = _export(studio, secret, export)
        if found.state != "ready":
            raise Refused(409, f"the export is {found.state}")
        media = {"gif": "image/gif", "mp4": "video/mp4"}[found.format]
        return FileResponse(found.path, media_type=media, filename=f"stylerig.{found.format}", headers=NEVER)

    @router.delete("/sessions/{secret}/exports/{export}")
    async def cancel(secret: str, export: str) -> Response:
        _export(studio, secret, export).cancel()
        studio.sessions.find(secret).export = None
        return Response(status_code=204)

    return router


async def body(request: Request, limit: int) -> bytes:
    """The request's body; Refused as soon as it is longer than ``limit`` bytes."""
    content = bytearray()
    async for chunk in request.stream():
        content += chunk
        if len(content) > limit:
            raise Refused(413, f"the body is longer than {limit} bytes")
    return bytes(content)


async def _make(studio: StudioState, session: StudioSession, recipe: protocol.Recipe) -> Person:
    """The person of a recipe, made on the Engine's thread."""
    if isinstance(recipe, FromSeed):
        seed, psi = recipe.seed, recipe.psi
        label, code = f"Seed {seed}", lambda engine: engine.sample(seed=seed, psi=psi)
    elif isinstance(recipe, FromMix):
        mix = recipe.mix
        one, other = session.person(mix.person), session.person(mix.source)
        if any(slot >= studio.num_ws for slot in mix.slots):
            raise protocol.Malformed(f"mix.slots: not all within 0 … {studio.num_ws - 1}")
        label = f"{one.label} + {other.label}"[:80]
        code = lambda engine: engine.mix_codes(one.w, other.w, mix.slots)  # noqa: E731 one of three
    else:
        w = code_from_text(recipe.latent, studio.num_ws, studio.w_dim)
        label, code = "From a file", lambda engine: w.to(engine.device)

    def make(engine: EngineLike) -> tuple:
        made = code(engine)
        return made, engine.params(made).to("cpu")

    made, params = await studio.turn(session, make, "live")
    return session.add(recipe.label or label, recipe.model_dump(exclude_none=True), made, params)


async def _turn(
    studio: StudioState, session: StudioSession, request: Request, work: Callable[[EngineLike], T], line: Line = "job"
) -> T:
    """`Studio.turn`, given up when the client is gone: nobody waits for that picture any more."""
    turn = asyncio.ensure_future(studio.turn(session, work, line))
    gone = asyncio.ensure_future(_gone(request))
    try:
        await asyncio.wait({turn, gone}, return_when=asyncio.FIRST_COMPLETED)
        if not turn.done():
            raise Refused(499, "the client has gone")
        return turn.result()
    finally:
        gone.cancel()
        turn.cancel()


async def _gone(request: Request) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass


async def _picture(
    studio: StudioState, rendered: DrawnPicture, format: protocol.PictureFormat, quality: int, headers: dict[str, str]
) -> Response:
    content = await studio.encode(rendered.picture, format, quality)
    timing = {"Server-Timing": f"render;dur={rendered.render_ms:.2f}"}
    return Response(content, media_type=MEDIA_TYPES[format], headers={**headers, **timing})


def _size(request: Request) -> int:
    text = request.query_params.get("size", str(THUMBNAIL))
    if not (text.isascii() and text.isdigit() and len(text) < 6):
        raise protocol.Malformed("size: expected pixels")
    return int(text)


def _export(studio: StudioState, secret: str, id: str) -> ExportJob:
    found = studio.sessions.find(secret).export
    if found is None or found.id != id:
        raise Refused(404, "no such export in this session")
    return found
