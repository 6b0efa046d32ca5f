"""Sessions: a secret, the people made under it, its export. Used from the event loop alone."""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable
from typing import Any

from torch import Tensor

from stylerig_fast.params import FaceParams
from stylerig_fast.studio.export_job import ExportJob
from stylerig_fast.studio.limits import StudioLimits
from stylerig_fast.studio.people import Person


class Refused(Exception):
    """A request that the studio does not serve.

    Attributes:
        status: of HTTP.
        message: for people to read.
    """

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status, self.message = status, message


class StudioSession:
    """One page's people. Whoever knows the secret is that page."""

    def __init__(self, limits: StudioLimits, now: float) -> None:
        self.secret = secrets.token_urlsafe(16)  # 128 bits
        self.connections = 0
        self.export: ExportJob | None = None
        self.used = now
        self._limits = limits
        self._people: dict[str, Person] = {}
        self._made = 0

    def add(self, label: str, recipe: dict[str, Any], w: Tensor, params: FaceParams) -> Person:
        """A new person; Refused if there are too many."""
        self.check_room()
        self._made += 1
        person = Person(f"p{self._made}", label, recipe, w, params)
        self._people[person.id] = person
        return person

    def check_room(self) -> None:
        if len(self._people) >= self._limits.people:
            raise Refused(409, f"this session has {len(self._people)} people, the most it may have; remove some")

    @property
    def people(self) -> list[Person]:
        """Oldest first."""
        return list(self._people.values())

    def person(self, id: str) -> Person:
        person = self._people.get(id)
        if person is None:
            raise Refused(404, "no such person in this session")
        return person

    def remove(self, id: str) -> None:
        self.person(id)
        del self._people[id]

    @property
    def busy(self) -> bool:
        return self.connections > 0 or (self.export is not None and self.export.state == "running")


class Sessions:
    """All sessions of a studio."""

    def __init__(
        self, limits: StudioLimits, ended: Callable[[StudioSession], None], clock: Callable[[], float] = time.monotonic
    ) -> None:
        """An empty set.

        Args:
            limits: how many, how long.
            ended: called with each session that ends, for what belongs to it elsewhere.
            clock: seconds.
        """
        self._limits, self._ended, self._clock = limits, ended, clock
        self._all: dict[str, StudioSession] = {}

    def __len__(self) -> int:
        return len(self._all)

    def open(self, secret: str | None) -> tuple[StudioSession, bool]:
        """The session of a secret, or a new one; and whether it was there.

        Raises:
            Refused: there are as many as may be, and all are in use.
        """
        self.sweep()
        if secret is not None and secret in self._all:
            return self.find(secret), True
        if len(self._all) >= self._limits.sessions:
            idle = [session for session in self._all.values() if not session.busy]
            if not idle:
                raise Refused(
                    503, f"{len(self._all)} sessions are in use, the most this studio serves; try again later"
                )
            self._end(min(idle, key=lambda session: session.used))
        session = StudioSession(self._limits, self._clock())
        self._all[session.secret] = session
        return session, False

    def find(self, secret: str) -> StudioSession:
        """The session of a secret, which is thereby used; Refused if there is none."""
        session = self._all.get(secret)
        if session is None:
            raise Refused(404, "no such session; it has expired, or the server was restarted. Reload the page")
        session.used = self._clock()
        return session

    def left(self, session: StudioSession) -> None:
        """A connection of the session has ended."""
        session.connections -= 1
        session.used = self._clock()

    def sweep(self) -> None:
        """Ends the sessions that nobody has used for long."""
        latest = self._clock() - self._limits.idle_seconds
        for session in [s for s in self._all.values() if not s.busy and s.used < latest]:
            self._end(session)

    def close(self) -> None:
        for session in list(self._all.values()):
            self._end(session)

    def _end(self, session: StudioSession) -> None:
        del self._all[session.secret]
        self._ended(session)
