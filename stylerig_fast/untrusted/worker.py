"""The child process: takes its limits on, reads one file, leaves a tree or an error in a folder.

Started by :mod:`stylerig_fast.untrusted.sandbox` as a script with Python's isolated mode. What it is to do comes as
JSON in its only argument: ``paths`` (sys.path), ``reader``, ``path``, ``arguments``, ``seconds``, ``memory``,
``folder``. Beside the standard library nothing is imported before ``sys.path`` is set.
"""

from __future__ import annotations

import errno
import importlib
import json
import os
import sys
from collections.abc import Callable
from typing import Any

ERROR = "error.json"
MAX_FILES = 64


def limit(seconds: float, memory: int) -> list[str]:
    """Lowers what this process may use, for good.

    The memory limit is on top of what the interpreter and the imported modules have taken by now: it is about the
    file, whatever a reader has to import.

    Returns:
        What could not be limited on this system.
    """
    try:
        import resource
    except ImportError:  # Windows
        return ["memory", "processor time"]
    unlimited = []

    def lower(name: str, label: str, value: int, grace: int = 0) -> None:
        try:
            kind = getattr(resource, name)
            hard = resource.getrlimit(kind)[1]
            most = value + grace if hard == resource.RLIM_INFINITY else min(value + grace, hard)
            resource.setrlimit(kind, (min(value, most), most))
        except (AttributeError, ValueError, OSError):
            unlimited.append(label)

    lower("RLIMIT_CORE", "core dumps", 0)
    lower("RLIMIT_CPU", "processor time", int(seconds) + 1, 5)  # a signal first, which says what it was
    lower("RLIMIT_FSIZE", "file size", memory)
    lower("RLIMIT_NOFILE", "open files", MAX_FILES)
    lower("RLIMIT_NPROC", "processes", 0)
    taken = address_space()
    if sys.platform == "darwin" or taken is None:  # macOS takes the limit and does not keep it
        unlimited.append("memory")
    else:
        lower("RLIMIT_AS", "memory", taken + memory)
    return unlimited


def address_space() -> int | None:
    """Bytes that this process has mapped, where the system tells."""
    try:
        with open("/proc/self/statm", "rb") as file:
            return int(file.read().split()[0]) * os.sysconf("SC_PAGE_SIZE")
    except (OSError, ValueError):
        return None


def main(task: dict[str, Any]) -> None:
    """Does the task."""
    module, _, name = task["reader"].partition(":")
    read = getattr(importlib.import_module(module), name)
    unlimited = limit(task["seconds"], task["memory"])
    result: dict[str, Any] = dict(attempt(read, task["path"], task["arguments"], task["folder"]))
    if not result:
        result["unlimited"] = unlimited
    with open(os.path.join(task["folder"], ERROR), "w", encoding="ascii") as file:
        json.dump(result, file)


def attempt(read: Callable[..., Any], path: str, arguments: dict[str, Any], folder: str) -> dict[str, str]:
    """Reads one file and leaves the tree in a folder.

    Returns:
        Nothing, or what went wrong: ``kind`` (the name of an error of this package, ``memory``, ``disk`` or ``other``)
        and ``message``.
    """
    from pathlib import Path

    from stylerig_fast.errors import StyleRigError
    from stylerig_fast.untrusted import ipc

    try:
        tree = read(path, **arguments)
        try:
            ipc.write(tree, Path(folder))
        except StyleRigError as error:
            raise type(error)(f"{path}: {error}") from error
    except StyleRigError as error:
        return {"kind": type(error).__name__, "message": str(error)}
    except MemoryError:
        return {"kind": "memory"}
    except OSError as error:
        if error.errno in (errno.ENOMEM, errno.EFBIG):
            return {"kind": "memory"}
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            return {"kind": "disk"}
        return {"kind": "other", "message": _what(error)}
    except Exception as error:  # a reader's library, on damaged data
        return {"kind": "other", "message": _what(error)}
    return {}


def _what(error: BaseException) -> str:
    """The error, and where it came from, for whoever mends a reader."""
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    place = f" at {os.path.basename(trace.tb_frame.f_code.co_filename)}:{trace.tb_lineno}" if trace else ""
    return f"{type(error).__name__}: {error}{place}"


if __name__ == "__main__":
    _task = json.loads(sys.argv[1])
    sys.path[:] = _task["paths"]
    main(_task)
