"""Readers that misbehave, for the tests of the sandbox; they run in the child process."""

from __future__ import annotations

import errno
import os
import signal
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np

from stylerig_fast.errors import DataError
from stylerig_fast.untrusted import Record
from stylerig_fast.untrusted.ipc import ARRAYS, TREE


def everything(path: str) -> Any:
    values = np.arange(24, dtype=np.float32).reshape(2, 3, 4)
    return {
        "path": path,
        "plain": [None, True, 1 << 200, -0.5, "日本\n\x00"],
        "floats": [float("inf"), float("-inf")],
        "record": Record("a.B", "name", {"x": values, "inner": Record("c", "", {})}),
        "again": values,
        "transposed": values.T,
        "half": values.astype(np.float16)[::2],
        "bool": values > 3,
        "big endian": values.astype(">f8"),
        "empty": values[:0],
        "scalar": np.array(7),
        "numpy scalar": np.float32(1.5),
        "tuple": (1, (2,)),
        "dict": {"array": 1, "dict": {}, "record": []},
    }


def surroundings(path: str) -> Any:
    import resource

    names = ("AS", "CPU", "FSIZE", "NOFILE", "NPROC", "CORE")
    return {
        "limits": {name: resource.getrlimit(getattr(resource, f"RLIMIT_{name}"))[0] for name in names},
        "environment": dict(os.environ),
        "stdin": sys.stdin.read(),
        "folder": os.getcwd(),
        "modules": sorted({name.split(".")[0] for name in sys.modules}),
        "flags": [sys.flags.isolated, sys.flags.dont_write_bytecode],
        "session": os.getsid(0) == os.getpid(),
    }


def argument(path: str, number: int) -> Any:
    return number + 1


def sleep(path: str) -> None:
    time.sleep(600)


def compute(path: str) -> None:
    while True:
        pass


def take_memory(path: str) -> Any:
    return [np.ones(1 << 24) for _ in range(80)]  # ten gibibytes


def take_memory_in_numpy(path: str) -> Any:
    return np.ones(10 << 30, np.uint8)


def fill_the_disk(path: str) -> None:
    with open("large", "wb") as file:
        while True:
            file.write(bytes(1 << 24))


def full_disk(path: str) -> None:
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def crash(path: str) -> None:
    os.kill(os.getpid(), signal.SIGSEGV)


def leave(path: str) -> None:
    os._exit(7)


def library_error(path: str) -> None:
    raise KeyError("field \x1b[31m of the file")


def own_error(path: str) -> None:
    raise DataError(f"{path}: not this one")


def bad_type(path: str) -> Any:
    return {"x": object()}


def bad_dtype(path: str) -> Any:
    return np.array([1 + 2j])


def nested(path: str) -> Any:
    value: list = []
    for _ in range(500):
        value = [value]
    return value


def talkative(path: str) -> Any:
    return ["x" * (1 << 20)] * 80


def _lie(tree: bytes | None, arrays: bytes | None) -> None:
    """Leaves an answer of its own making, as a library that was taken over could."""
    for name, content in ((TREE, tree), (ARRAYS, arrays), ("error.json", b"{}")):
        if content is not None:
            Path(name).write_bytes(content)
    os._exit(0)


def _arrays(header: bytes, content: bytes = b"") -> bytes:
    return len(header).to_bytes(8, "little") + header + content


LIES = {
    "nothing": (None, None),
    "no arrays": (b"1", None),
    "no header": (b"1", b"\0"),
    "header too long": (b"1", b"\xff" * 8),
    "header is no JSON": (b"1", _arrays(b"{")),
    "header is a list": (b"1", _arrays(b"[]")),
    "too large": (b"1", _arrays(b'{"0":{"dtype":"U8","shape":[1099511627776],"data_offsets":[0,1099511627776]}}')),
    "other place": (b"1", _arrays(b'{"0":{"dtype":"U8","shape":[1],"data_offsets":[5,6]}}', b"123456")),
    "negative": (b"1", _arrays(b'{"0":{"dtype":"U8","shape":[-1],"data_offsets":[0,-1]}}')),
    "other dtype": (b"1", _arrays(b'{"0":{"dtype":"O","shape":[1],"data_offsets":[0,8]}}', b"12345678")),
    "other name": (b"1", _arrays(b'{"x":{"dtype":"U8","shape":[1],"data_offsets":[0,1]}}', b"1")),
    "more than announced": (b"1", _arrays(b"{}", b"1")),
    "no tree": (b"{", _arrays(b"{}")),
    "unknown kind": (b'{"code": "1"}', _arrays(b"{}")),
    "two kinds": (b'{"dict": {}, "array": 0}', _arrays(b"{}")),
    "missing array": (b'{"array": 0}', _arrays(b"{}")),
    "array by name": (b'{"array": "0"}', _arrays(b"{}")),
    "record without fields": (b'{"record": ["a", "b", []]}', _arrays(b"{}")),
    "deep": (b"[" * 100_000, _arrays(b"{}")),
}


def lie(path: str, name: str) -> None:
    _lie(*LIES[name])


def link(path: str) -> None:
    os.symlink("/etc/passwd", TREE)
    _lie(None, _arrays(b"{}"))
