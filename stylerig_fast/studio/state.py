"""What the parts of a running studio share."""

from __future__ import annotations

import asyncio
import difflib
import secrets
import tempfile
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from stylerig_fast.studio import video
from stylerig_fast.studio.capabilities import FaceFile, describe, face_file, sizes_of
from stylerig_fast.studio.engine_protocol import EngineLike
from stylerig_fast.studio.export_job import ExportJob
from stylerig_fast.studio.limits import StudioLimits
from stylerig_fast.studio.people import DrawnPicture
from stylerig_fast.studio.pictures import encode
from stylerig_fast.studio.protocol import EditFields, Malformed, NewExport, PictureFormat
from stylerig_fast.studio.scheduler import Line, Scheduler
from stylerig_fast.studio.sessions import Refused, Sessions, StudioSession

T = TypeVar("T")


class StudioState:
    """One Engine, its turns, and everybody's sessions.

    Attributes:
        description: the answer to ``GET /api/studio``.
        face: the face model's file.
        connections: WebSockets that are open.
        sizes: sides of the pictures on offer, ascending.
        full_size: the largest of them.
    """

    def __init__(self, engine: EngineLike, limits: StudioLimits | None = None, preview: int | None = None) -> None:
        self.limits = limits or StudioLimits()
        self.description = describe(engine, self.limits, preview)
        self.face: FaceFile = face_file(engine.face_model)
        self.num_ws, self.w_dim = engine.generator.num_ws, engine.generator.w_dim
        self.scheduler = Scheduler(engine)
        self.sessions = Sessions(self.limits, self._ended)
        self.connections = 0
        self.sizes = sizes_of(engine)
        self.full_size = self.sizes[-1]
        self._names = frozenset(engine.face_model.expression_names)
        # Encoding lets go of the interpreter's lock: the Engine draws the next picture meanwhile.
        self._encoders = ThreadPoolExecutor(2, "stylerig-encode")
        self._exporters = ThreadPoolExecutor(2, "stylerig-export")
        self._files = tempfile.TemporaryDirectory(prefix="stylerig-studio-")

    # ---- checks -----------------------------------------------------------------------------------

    def check_size(self, size: int) -> None:
        """Raises Malformed for a size that is not on offer."""
        if size not in self.sizes:
            raise Malformed(f"size: {size} is not one of {', '.join(map(str, self.sizes))}")

    def check_request(self, request: EditFields) -> None:
        """Raises Malformed for an expression that the face model does not have."""
        unknown = next((name for name in request.expression or () if name not in self._names), None)
        if unknown is not None:
            near = difflib.get_close_matches(unknown, self._names, 3, 0.4)
            hint = f"did you mean {', '.join(near)}?" if near else "GET /api/studio lists them"
            raise Malformed(f"request.expression: no coefficient of that name; {hint}")

    # ---- work -------------------------------------------------------------------------------------

    async def turn(self, session: StudioSession, work: Callable[[EngineLike], T], line: Line = "job") -> T:
        """The result of ``work`` on the Engine's thread; cancelled before its turn if the caller is.

        Raises:
            Refused: too much of this session waits already. A live edit is never too much: one waits at most.
        """
        return await asyncio.wrap_future(self.submit(session, work, line))

    def submit(self, session: StudioSession, work: Callable[[EngineLike], T], line: Line = "job") -> Future[T]:
        """As `turn`, for callers that wait on a thread."""
        if self.scheduler.waiting(session.secret, line) >= self.limits.jobs:
            raise Refused(429, f"{self.limits.jobs} pictures of this session are waiting; wait for some")
        return self.scheduler.submit(session.secret, work, line)

    async def encode(self, picture: NDArray[np.uint8], format: PictureFormat, quality: int) -> bytes:
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._encoders, encode, picture, format, quality)

    def start_export(self, session: StudioSession, new: NewExport) -> ExportJob:
        """Begins to draw an animation; the session's last one is forgotten.

        Raises:
            Refused: one is running, a person is not there, or it is too long.
            Malformed: a size or an expression that is not there.
        """
        if session.export is not None and session.export.state == "running":
            raise Refused(409, "an export of this session is running; wait for it or cancel it")
        if len(new.frames) > self.limits.frames:
            raise Refused(413, f"{len(new.frames)} frames, at most {self.limits.frames} in one export")
        self.check_size(new.size)
        for frame in new.frames:
            self.check_request(frame.request)
        if new.format not in video.formats():
            raise Refused(400, f"{new.format} cannot be written here; install stylerig-fast[studio]")
        frames = [(session.person(frame.person), frame.request) for frame in new.frames]
        if session.export is not None:
            session.export.cancel()
        id = secrets.token_urlsafe(8)
        path = Path(self._files.name) / f"{secrets.token_hex(8)}.{new.format}"

        def submit(work: Callable[[EngineLike], DrawnPicture]) -> Future[DrawnPicture]:
            return self.scheduler.submit(session.secret, work)

        session.export = ExportJob(id, frames, new.size, new.fps, new.format, path, submit)
        self._exporters.submit(session.export.run)
        return session.export

    def close(self) -> None:
        """Ends everything: waiting work is cancelled, files are removed."""
        self.sessions.close()
        self.scheduler.close()
        self._exporters.shutdown(cancel_futures=True)
        self._encoders.shutdown()
        self._files.cleanup()

    def _ended(self, session: StudioSession) -> None:
        if session.export is not None:
            session.export.cancel()
        self.scheduler.forget(session.secret)
