"""Readers of untrusted files run in a child process with limits; a tree comes back, or an error.

What the child cannot do: take more memory or time than allowed, write large files, start processes, read standard
input, see the environment. What it can do is read other files that this user can read; the readers do not.
"""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from stylerig_fast import errors
from stylerig_fast.errors import CheckpointError, StyleRigError
from stylerig_fast.untrusted import ipc
from stylerig_fast.untrusted.limits import Limits
from stylerig_fast.untrusted.regular_file import open_regular
from stylerig_fast.untrusted.tree import Tree
from stylerig_fast.untrusted.worker import ERROR
from stylerig_fast.warn import warn_caller

_READER = re.compile(r"stylerig_fast(\.\w+)+:\w+", re.ASCII)
_ROOT = Path(__file__).resolve().parents[2]
# Of the environment, what an interpreter may need to find its own libraries.
_KEPT = ("SYSTEMROOT", "LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH")
_MAX_MESSAGE = 4000


def run_in_child(
    reader: str,
    path: str | Path,
    limits: Limits | None = None,
    arguments: Mapping[str, Any] | None = None,
    error: type[StyleRigError] = CheckpointError,
) -> Tree:
    """Runs a reader on a file in a child process.

    Args:
        reader: a function of this package, ``"stylerig_fast.untrusted.pickles:read"``. It gets the absolute path as str
            and gives a :data:`Tree`: None, bool, int, float, str, lists, dictionaries with str keys, arrays of
            numbers, records. The module is imported before the memory limit is set.
        path: the file, or a folder for readers of folders.
        limits: what reading may cost.
        arguments: further ones for the reader, by name: what JSON can hold.
        error: what to raise when the child dies or the file makes a library fail.

    Raises:
        StyleRigError: of the given type, or what the reader raised.
    """
    if not _READER.fullmatch(reader):
        raise ValueError(f"reader {reader!r} is not of the form 'stylerig_fast.module:function'")
    limits = limits or Limits()
    if limits.seconds <= 0 or limits.memory <= 0:
        raise ValueError(f"limits have to be positive, not {limits}")
    path = Path(path)
    if not path.is_dir():
        try:
            open_regular(path).close()
        except CheckpointError as refusal:
            raise error(f"{path}: {refusal}") from refusal
    with tempfile.TemporaryDirectory(prefix="stylerig-", ignore_cleanup_errors=True) as folder:
        task = {
            "paths": [str(_ROOT), *(entry for entry in sys.path if os.path.isabs(entry))],
            "reader": reader,
            "path": str(path.absolute()),
            "arguments": dict(arguments or {}),
            "seconds": limits.seconds,
            "memory": limits.memory,
            "folder": folder,
        }
        code = _run(task, limits)
        return _result(Path(folder), code, path, limits, error)


def _run(task: dict[str, Any], limits: Limits) -> int | None:
    """The child's exit code; None if its time ran out."""
    folder = task["folder"]
    environment = {
        **{name: os.environ[name] for name in _KEPT if name in os.environ},
        "HOME": folder,
        "TMPDIR": folder,
        "TEMP": folder,
        "TMP": folder,
        "LC_ALL": "C.UTF-8",
        # Threads take address space, and there is nothing to compute.
        "OMP_NUM_THREADS": "1",
        "OPENBLAS_NUM_THREADS": "1",
        "MKL_NUM_THREADS": "1",
        "HDF5_PLUGIN_PRELOAD": "::",  # HDF5 loads no filter plug-ins
    }
    command = [sys.executable, "-I", "-B", str(Path(__file__).with_name("worker.py")), json.dumps(task)]
    with open(Path(folder) / "stderr", "wb") as log:
        child = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            env=environment,
            cwd=folder,
            start_new_session=True,
        )
        try:
            return child.wait(timeout=limits.seconds)
        except subprocess.TimeoutExpired:
            return None
        finally:
            # Whatever ends the wait, the child does not outlive it.
            child.kill()
            child.wait()


def _result(folder: Path, code: int | None, path: Path, limits: Limits, kind: type[StyleRigError]) -> Tree:
    if code is None or code == -getattr(signal, "SIGXCPU", 24):
        raise kind(
            f"{path}: reading took more than the {limits.seconds:g} s that it may; a sound file takes seconds. "
            "If the file is very large or the machine slow, raise the time limit: Limits(seconds=...)"
        )
    memory = (
        f"{path}: reading takes more than the {limits.memory >> 20} MiB of memory that it may; the file is damaged or "
        "hostile, or very large. If you trust its size, raise the memory limit: Limits(memory=...)"
    )
    if code in (-getattr(signal, "SIGKILL", 9), -getattr(signal, "SIGXFSZ", 25)):
        raise kind(memory)
    try:
        with ipc.open_plain(folder / ERROR) as file:
            told = json.loads(file.read(1 << 20))
        if not isinstance(told, dict):
            raise ValueError("the child process gave no answer")
        if "kind" not in told:
            tree = ipc.read(folder, limits.memory)
            _notice(told.get("unlimited"))
            return tree
    except (ValueError, OSError, KeyError, TypeError, RecursionError) as problem:
        reason = _died(folder, code)
        raise kind(memory if "MemoryError" in reason else f"{path}: {reason}") from problem
    if told["kind"] == "memory":
        raise kind(memory)
    if told["kind"] == "disk":
        raise kind(
            f"{path}: there is no room in {tempfile.gettempdir()} for what is read from it; set TMPDIR to a folder "
            "with more"
        )
    message = _printable(str(told.get("message", "")))
    known = getattr(errors, str(told["kind"]), None) if told["kind"] != "other" else None
    if isinstance(known, type) and issubclass(known, StyleRigError):
        raise (kind if known is CheckpointError else known)(message)
    raise kind(f"{path}: damaged, or not a file of this kind ({message})")


def _died(folder: Path, code: int) -> str:
    """Why there is no answer, as far as it can be told."""
    if code < 0:
        try:
            name = signal.Signals(-code).name
        except ValueError:
            name = f"signal {-code}"
        return f"the process that read it was ended by {name}; the file is damaged, or hostile"
    try:
        with open(folder / "stderr", "rb") as file:
            file.seek(max(0, file.seek(0, os.SEEK_END) - 500))
            last = file.read().decode("utf-8", "replace").strip().splitlines()[-1:]
    except OSError:
        last = []
    return f"the process that read it gave no answer (exit status {code}; {_printable(' '.join(last)) or 'silent'})"


def _printable(text: str) -> str:
    """Text from a file, fit for a terminal."""
    text = "".join(character if character.isprintable() or character == "\n" else "?" for character in text)
    return text if len(text) <= _MAX_MESSAGE else text[:_MAX_MESSAGE] + "…"


def _notice(unlimited: Any) -> None:
    if isinstance(unlimited, list) and "memory" in unlimited:
        warn_caller(
            "this system does not limit a process's memory: a hostile checkpoint could fill it. Time is limited"
        )
