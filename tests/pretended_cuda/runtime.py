"""The part of ``torch.cuda`` that the project uses, for the pretended device."""

from __future__ import annotations

import contextlib
import threading
import time
from typing import Any

import torch
from torch.utils import _foreach_utils

from . import flights, graphs
from .device import CUDA, Mode, Pretended
from .waits import STATE, waits

MEMORY = 80 << 30


class Stream:
    cuda_stream = 0
    device = CUDA

    def __init__(self, *_: object, **__: object) -> None: ...

    def synchronize(self) -> None:
        waits("stream.synchronize")

    def wait_stream(self, other: object) -> None: ...

    def wait_event(self, event: object) -> None: ...

    def record_event(self, event: Event | None = None) -> Event:
        event = event or Event()
        event.record()
        return event


class Event:
    def __init__(self, *_: object, **__: object) -> None:
        self.at = 0.0

    def record(self, *_: object) -> None:
        self.at = time.perf_counter()

    def elapsed_time(self, end: Event) -> float:
        return 1e3 * (end.at - self.at)

    def synchronize(self) -> None:
        waits("event.synchronize")

    def wait(self, *_: object) -> None: ...


class Properties:
    name, major, minor, total_memory, multi_processor_count = "Pretended GPU", 9, 0, MEMORY, 132


def _debug_mode(level: str | int) -> None:
    STATE.strict = level in ("error", 2)


def install() -> None:
    """Puts the device in the place of torch's, in this process for good."""
    cuda = torch.cuda
    nothing = ("set_device", "empty_cache", "reset_peak_memory_stats", "manual_seed", "manual_seed_all")
    surface: dict[str, Any] = {
        "_initialized": True,
        "is_available": lambda: True,
        "device_count": lambda: 1,
        "current_device": lambda: 0,
        "synchronize": lambda *_: waits("synchronize"),
        "current_stream": lambda *_: Stream(),
        "default_stream": lambda *_: Stream(),
        "stream": lambda *_: contextlib.nullcontext(),
        "device": lambda *_: contextlib.nullcontext(),
        "Stream": Stream,
        "Event": Event,
        "CUDAGraph": graphs.CUDAGraph,
        "graph": graphs.graph,
        "graph_pool_handle": lambda: (0, 1),
        "is_current_stream_capturing": lambda: STATE.capturing,
        "set_sync_debug_mode": _debug_mode,
        "get_device_name": lambda *_: Properties.name,
        "get_device_capability": lambda *_: (Properties.major, Properties.minor),
        "get_device_properties": lambda *_: Properties,
        "mem_get_info": lambda *_: (MEMORY, MEMORY),
        "memory_stats": lambda *_: {"num_device_alloc": 0},
        **{name: lambda *_: 0 for name in ("memory_allocated", "max_memory_allocated", "max_memory_reserved")},
        **{name: lambda *_: None for name in nothing},
    }
    for name, value in surface.items():
        setattr(cuda, name, value)
    torch.backends.cuda.is_built = lambda: True
    torch.backends.cudnn.is_available = lambda: True
    torch.Tensor.cuda = lambda self, *_, **__: self.to(CUDA)  # type: ignore[method-assign, assignment]
    torch.nn.Module.cuda = lambda self, *_, **__: self.to(CUDA)  # type: ignore[method-assign, assignment]
    numpy = torch.Tensor.numpy

    def to_numpy(self: torch.Tensor, *, force: bool = False) -> Any:
        flights.check_memory(self, writes=True)  # nobody knows what the array is for
        return numpy(self, force=force)

    torch.Tensor.numpy = to_numpy  # type: ignore[method-assign, assignment]
    # Tensors are made of Python's numbers on the CPU, and copied then; parameters are replaced when a module moves.
    torch._C._set_only_lift_cpu_tensors(True)
    torch.__future__.set_overwrite_module_params_on_conversion(True)
    # Optimisers run through the same code as on a GPU.
    _foreach_utils._foreach_supported_types.append(Pretended)
    _enter_in_every_thread()


def _enter_in_every_thread() -> None:
    Mode().__enter__()
    run = threading.Thread.run

    def on_device(self: threading.Thread) -> None:
        with Mode():
            run(self)

    threading.Thread.run = on_device  # type: ignore[method-assign]
