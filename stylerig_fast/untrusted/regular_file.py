"""Opens regular files and nothing else: anybody may have put a pipe or a device there."""

from __future__ import annotations

import os
import stat
from pathlib import Path
from typing import BinaryIO

from stylerig_fast.errors import CheckpointError


def open_regular(path: Path) -> BinaryIO:
    """Opens a regular file for reading. A pipe or a device is refused and never waited for.

    Raises:
        CheckpointError: it is not there, cannot be read, or is no regular file. The path is not in the message.
    """
    # O_NONBLOCK: opening a named pipe would wait for somebody to write to it.
    flags = os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0) | getattr(os, "O_CLOEXEC", 0)
    try:
        handle = os.open(path, flags)
    except OSError as error:
        raise CheckpointError(f"cannot be opened ({error.strerror}); expected a file") from error
    try:
        mode = os.fstat(handle).st_mode
        if not stat.S_ISREG(mode):
            kind = "a folder" if stat.S_ISDIR(mode) else "a pipe or a device"
            raise CheckpointError(f"is {kind}; expected a file")
        return os.fdopen(handle, "rb")
    except BaseException:
        os.close(handle)
        raise
