"""Which TensorRT is here: TensorRT 10 or 11, or TensorRT for RTX, and what it says of its own errors.

Environment:
    STYLERIG_TENSORRT: "tensorrt" or "rtx" takes that library or none; by default the first of them that is there.
"""

from __future__ import annotations

import importlib
import logging
import os
from collections import deque
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from stylerig_fast.errors import BackendUnavailable

VARIABLE = "STYLERIG_TENSORRT"
TENSORRT, RTX = "TensorRT", "TensorRT for RTX"
INSTALL = {TENSORRT: "pip install tensorrt", RTX: "pip install 'stylerig-fast[rtx]'"}
# By the value of the variable, in the order of preference: the library and the modules that may hold it. A system
# package has the first of RTX, the wheels have the second.
CHOICES = {"tensorrt": (TENSORRT, ("tensorrt",)), "rtx": (RTX, ("tensorrt_rtx", "tensorrt_rtx_bindings"))}
# 10.1 brought memory for contexts that comes with its size.
OLDEST = {TENSORRT: (10, 1), RTX: (1, 2)}
# Compute capabilities of the GPUs that RTX's portable plans are for. It has 7.5 too, without float32 matrix products.
RTX_GPUS = "8.6, 8.9, 12.0 and 12.1 (RTX 30, 40, 50)"

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class TensorRTLibrary:
    """A TensorRT that can be imported.

    Attributes:
        name: `TENSORRT` or `RTX`.
        version: of the library, as it says.
        module: what was imported.
    """

    name: str
    version: str
    module: Any

    @property
    def portable(self) -> bool:
        """Whether plans are built without a GPU, for many of them; else on one GPU for just that one."""
        return self.name == RTX

    @property
    def log(self) -> Any:
        """The logger for builders, parsers and runtimes: one for the process, as TensorRT wants it."""
        return _logger(self.module)

    def said(self) -> str:
        """The library's errors since the last call, as the end of a message of ours."""
        errors = list(dict.fromkeys(self.log.errors))
        self.log.errors.clear()
        return "; ".join(errors) or "it does not say why"

    def __str__(self) -> str:
        return f"{self.name} {self.version}"


def find_library() -> TensorRTLibrary:
    """The library that the ``tensorrt`` backend and ``stylerig export tensorrt`` work with.

    Raises:
        BackendUnavailable: there is none, or only too old ones, or the environment asks for an unknown one.
    """
    wanted = os.environ.get(VARIABLE)
    if wanted and wanted not in CHOICES:
        raise BackendUnavailable(f"{VARIABLE}={wanted}: expected {' or '.join(CHOICES)}")
    missing = []
    for name, modules in [CHOICES[wanted]] if wanted else CHOICES.values():
        found = _find(name, modules)
        if isinstance(found, TensorRTLibrary):
            return found
        missing.append(found)
    raise BackendUnavailable(f"the tensorrt backend: {'; '.join(missing)}")


def _find(name: str, modules: tuple[str, ...]) -> TensorRTLibrary | str:
    """The library, or why it cannot be used and how to get it."""
    reasons = []
    for each in modules:
        try:
            module = importlib.import_module(each)
        except (ImportError, OSError, RuntimeError) as error:  # or a library that it loads is missing
            reasons.append(str(error))
            continue
        version = getattr(module, "__version__", None)
        # The package of its types alone makes the import of an empty module succeed.
        if version is None:
            reasons.append(f"only the types of {each} are installed")
        elif _numbers(version) < OLDEST[name]:
            reasons.append(f"version {version}, expected {'.'.join(map(str, OLDEST[name]))} or newer")
        else:
            return TensorRTLibrary(name, str(version), module)
    return f"{name}: {', '.join(reasons)} ({INSTALL[name]})"


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in version.split(".")[:2])


@lru_cache
def _logger(module: Any) -> Any:
    """A logger of the library's own kind that hands its warnings to Python's, and keeps its last errors."""

    class Log(module.ILogger):
        def __init__(self) -> None:
            module.ILogger.__init__(self)
            self.errors: deque[str] = deque(maxlen=4)

        def log(self, severity: Any, message: str) -> None:
            if severity <= module.ILogger.ERROR:
                self.errors.append(" ".join(message.split()))
            if severity <= module.ILogger.WARNING:
                _log.warning("%s: %s", module.__name__, message)

    return Log()
