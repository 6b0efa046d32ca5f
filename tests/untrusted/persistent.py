"""A child process that reads one file after the other, so that thousands can be tried; restarted when it dies."""

from __future__ import annotations

import importlib
import json
import os
import selectors
import subprocess
import sys
from pathlib import Path
from typing import Any

from stylerig_fast.untrusted import ipc, worker

ROOT = Path(__file__).resolve().parents[2]
MEMORY = 2 << 30


class PersistentChild:
    """Readers under the sandbox's memory limit and its handling of errors.

    Args:
        folder: for the answers.
        seconds: how long one file may take.
    """

    def __init__(self, folder: Path, seconds: float = 20.0) -> None:
        self._folder, self._seconds = folder, seconds
        self._process: subprocess.Popen[bytes] | None = None
        self.deaths: list[int] = []

    def read(self, reader: str, path: Path, arguments: dict[str, Any]) -> tuple[str, Any]:
        """What became of a file: ``("tree", tree)``, or the kind of error and its message."""
        process = self._process if self._process is not None else self._start()
        assert process.stdin is not None
        assert process.stdout is not None
        task = {"reader": reader, "path": str(path), "arguments": arguments, "folder": str(self._folder)}
        process.stdin.write(json.dumps(task).encode() + b"\n")
        process.stdin.flush()
        with selectors.DefaultSelector() as selector:
            selector.register(process.stdout, selectors.EVENT_READ)
            if not selector.select(self._seconds):
                self.close()
                return "time", f"more than {self._seconds} s"
        line = process.stdout.readline()
        if not line:
            self.close()
            self.deaths.append(process.returncode)
            return "died", process.returncode
        answer = json.loads(line)
        if answer:
            return answer["kind"], answer.get("message", "")
        return "tree", ipc.read(self._folder, MEMORY)

    def close(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.communicate()
        self._process = None

    def _start(self) -> subprocess.Popen[bytes]:
        command = [sys.executable, "-c", "from tests.untrusted.persistent import serve; serve()"]
        self._process = subprocess.Popen(
            command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
        )
        return self._process


def serve() -> None:
    """The child's side."""
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # a library that prints must not answer
    limited = False
    for line in sys.stdin.buffer:
        task = json.loads(line)
        module, _, name = task["reader"].partition(":")
        read = getattr(importlib.import_module(module), name)
        if not limited:
            worker.limit(3600, MEMORY)
            limited = True
        answer = worker.attempt(read, task["path"], task["arguments"], task["folder"])
        answers.write(json.dumps(answer).encode() + b"\n")
        answers.flush()
