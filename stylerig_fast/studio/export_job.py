"""An animation that becomes a file: its frames take turns on the Engine with everything else."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import CancelledError, Future
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from stylerig_fast.errors import StyleRigError
from stylerig_fast.studio import video
from stylerig_fast.studio.engine_protocol import EngineLike
from stylerig_fast.studio.people import DrawnPicture, Person, draw
from stylerig_fast.studio.protocol import EditFields, VideoFormat
from stylerig_fast.studio.scheduler import Closed

State = Literal["running", "ready", "failed"]
log = logging.getLogger(__name__)


class ExportJob:
    """One animation on its way to a file.

    Attributes:
        id: for the page.
        total: frames.
        done: frames that are drawn.
        state: "running", "ready" or "failed".
        message: why it failed.
        path: the file; there when it is ready.
        format: of the file.
    """

    def __init__(
        self,
        id: str,
        frames: Sequence[tuple[Person, EditFields]],
        size: int,
        fps: float,
        format: VideoFormat,
        path: Path,
        submit: Callable[[Callable[[EngineLike], DrawnPicture]], Future[DrawnPicture]],
    ) -> None:
        self.id, self.format, self.path = id, format, path
        self.total, self.done = len(frames), 0
        self.state: State = "running"
        self.message = ""
        self._frames, self._size, self._fps, self._submit = frames, size, fps, submit
        self._cancelled = threading.Event()
        self._drawing: Future[Any] | None = None

    def run(self) -> None:
        """Draws and writes; on a thread of its own, for it waits for turns. Nothing is raised."""
        try:
            video.write(self._pictures(), self.path, self.format, self._fps)
            self.state = "ready"
        except (CancelledError, Closed, _Cancelled):
            self._fail("cancelled")
        except OSError as error:  # its own text holds the path
            self._fail(f"the file cannot be written: {error.strerror or type(error).__name__}")
        except (StyleRigError, ValueError) as error:
            self._fail(str(error))
        except Exception as error:
            log.exception("an export failed")
            self._fail(f"the export failed ({type(error).__name__}); the server's log says more")
        finally:
            self._frames = ()
            if self._cancelled.is_set():
                self.path.unlink(missing_ok=True)

    def cancel(self) -> None:
        """Stops it; a file that is there is removed."""
        self._cancelled.set()
        drawing = self._drawing
        if drawing is not None:
            drawing.cancel()
        if self.state != "running":
            self.path.unlink(missing_ok=True)

    def describe(self) -> dict[str, object]:
        return {"done": self.done, "total": self.total, "state": self.state, "message": self.message}

    def _pictures(self) -> Iterator[NDArray[np.uint8]]:
        for person, request in self._frames:
            if self._cancelled.is_set():
                raise _Cancelled
            self._drawing = self._submit(lambda engine, p=person, r=request: draw(engine, p, r, self._size))  # type: ignore[misc]
            picture = self._drawing.result().picture
            self._drawing = None
            self.done += 1
            yield picture

    def _fail(self, message: str) -> None:
        self.message, self.state = message, "failed"
        self.path.unlink(missing_ok=True)


class _Cancelled(Exception):
    """The client no longer wants it."""
