"""One thread owns the Engine; clients take turns.

Work waits in two lines, live edits before the rest. In each line the clients stand in a ring: whoever had a turn goes
to its end, so that one with much to do delays another by one picture. The second line gets at least every fifth turn.
"""

from __future__ import annotations

import logging
import threading
from collections import OrderedDict, deque
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any, Literal, TypeVar

from stylerig_fast.studio.engine_protocol import EngineLike

Line = Literal["live", "job"]
# After so many live turns in a row, one of the others: a hand that never rests does not stop an export.
LIVE_TURNS = 4

T = TypeVar("T")
Work = Callable[[EngineLike], Any]
log = logging.getLogger(__name__)


class Closed(RuntimeError):
    """The studio is shutting down."""


class Scheduler:
    """Runs work on the Engine, one piece at a time, on a thread of its own."""

    def __init__(self, engine: EngineLike) -> None:
        self._engine = engine
        self._lines: dict[Line, OrderedDict[str, deque[tuple[Work, Future[Any]]]]] = {
            "live": OrderedDict(),
            "job": OrderedDict(),
        }
        self._changed = threading.Condition()
        self._closed = False
        self._live_turns = 0
        self._thread: threading.Thread | None = None

    def submit(self, client: str, work: Callable[[EngineLike], T], line: Line = "job") -> Future[T]:
        """Puts work at the end of a client's own queue.

        Args:
            client: whose turn it takes.
            work: called with the Engine, on the Engine's thread.
            line: "live" for what a hand waits for, "job" for the rest.

        Returns:
            The result to come. Work that is cancelled before its turn is skipped.

        Raises:
            Closed: after `close`.
        """
        future: Future[T] = Future()
        with self._changed:
            if self._closed:
                raise Closed("the studio is shutting down")
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="stylerig-engine", daemon=True)
                self._thread.start()
            self._lines[line].setdefault(client, deque()).append((work, future))
            self._changed.notify()
        return future

    def waiting(self, client: str, line: Line = "job") -> int:
        """How much of a client's work waits in a line."""
        with self._changed:
            return sum(not future.cancelled() for _, future in self._lines[line].get(client, ()))

    def forget(self, client: str) -> None:
        """Cancels everything of a client that waits."""
        with self._changed:
            gone = [work for line in self._lines.values() for work in line.pop(client, ())]
        for _, future in gone:
            future.cancel()

    def close(self, timeout: float | None = 10.0) -> None:
        """Cancels what waits, lets the running work end, and ends the thread."""
        with self._changed:
            self._closed = True
            clients = {client for line in self._lines.values() for client in line}
            self._changed.notify_all()
        for client in clients:
            self.forget(client)
        if self._thread is not None:
            self._thread.join(timeout)

    # ---- the Engine's thread ----------------------------------------------------------------------

    def _run(self) -> None:
        while (turn := self._next()) is not None:
            work, future = turn
            if not future.set_running_or_notify_cancel():
                continue
            try:
                future.set_result(work(self._engine))
            except Exception as error:  # whoever waits is told; the thread lives on
                future.set_exception(error)
            # A picture must not live until the next turn.
            del turn, work, future

    def _next(self) -> tuple[Work, Future[Any]] | None:
        """Waits for work; None when the scheduler is closed."""
        with self._changed:
            while not self._closed:
                live, jobs = self._lines["live"], self._lines["job"]
                if live and not (jobs and self._live_turns >= LIVE_TURNS):
                    self._live_turns += 1
                    return _turn(live)
                if jobs:
                    self._live_turns = 0
                    return _turn(jobs)
                self._live_turns = 0
                self._changed.wait()
        return None


def _turn(line: OrderedDict[str, deque[tuple[Work, Future[Any]]]]) -> tuple[Work, Future[Any]]:
    """The first work of the client whose turn it is; the client goes to the end of the ring."""
    client, queue = line.popitem(last=False)
    work = queue.popleft()
    if queue:
        line[client] = queue
    return work
