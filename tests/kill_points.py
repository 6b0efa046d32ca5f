"""Kills a writer at every one of its file-system events: what is there afterwards has to be whole."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable
from typing import Any

# What the interpreter reports before it happens; reading is among it, and harms nothing.
EVENTS = ("open", "os.rename", "os.remove", "os.mkdir", "os.rmdir", "os.truncate", "shutil.", "tempfile.", "os.chmod")


def run(write: Callable[[], object], kill_at: int | None = None) -> int:
    """Runs ``write`` in a child that kills itself (SIGKILL) right before its event number ``kill_at``.

    Returns:
        The number of events; where it was killed, ``kill_at``.

    Raises:
        RuntimeError: the child failed by itself.
    """
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            events = 0

            def hook(event: str, arguments: Any) -> None:
                nonlocal events
                if event.startswith(EVENTS):
                    if events == kill_at:
                        os.kill(os.getpid(), signal.SIGKILL)
                    events += 1

            sys.addaudithook(hook)
            write()
            os.write(writer, str(events).encode())
            os._exit(0)
        except BaseException as error:
            os.write(writer, f"failed: {error!r}".encode())
            os._exit(1)
    os.close(writer)
    told = b"".join(iter(lambda: os.read(reader, 1 << 16), b""))
    os.close(reader)
    status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    if status == -signal.SIGKILL and kill_at is not None:
        return kill_at
    if status != 0:
        raise RuntimeError(told.decode())
    return int(told)
