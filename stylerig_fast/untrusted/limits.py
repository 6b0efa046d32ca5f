"""What reading a file may cost."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Limits:
    """Of the child process that reads a file.

    Attributes:
        seconds: wall time, and processor time.
        memory: address space in bytes.
    """

    seconds: float = 120.0
    memory: int = 4 << 30
