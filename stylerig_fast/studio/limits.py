"""What one client, and all of them together, may ask of a studio."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class StudioLimits:
    """Numbers beyond which the studio refuses, with a message that says so.

    Attributes:
        clients: WebSocket connections at a time.
        sessions: sessions at a time; the one unused for longest gives way if it has no connection.
        idle_seconds: how long a session without connection is kept.
        people: of one session.
        jobs: pictures that one session may have waiting beside the live one.
        frames: of one export.
        grid: people that a page may ask for at once.
        message_bytes: of one WebSocket message.
        body_bytes: of one request's body.
        unshown: frames on their way to a client that it has not confirmed.
        malformed: messages that a client may get wrong in a row; beyond, ten a second.
    """

    clients: int = 16
    sessions: int = 32
    idle_seconds: float = 1800.0
    people: int = 128
    jobs: int = 64
    frames: int = 600
    grid: int = 36
    message_bytes: int = 64 << 10
    body_bytes: int = 4 << 20
    unshown: int = 2
    malformed: int = 2000
