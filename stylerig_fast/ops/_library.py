"""Finding, loading and choosing the compiled kernels.

The kernels are one shared library that registers its operations with torch when it is loaded; it is no Python
extension module. It is built at install time (setup.py); where that was not possible but a compiler is there
now, it is built on first use.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor

from stylerig_fast.errors import BackendUnavailable
from stylerig_fast.ops import _architectures
from stylerig_fast.warn import warn_caller

Impl = Literal["auto", "reference", "cpu", "cuda"]
ChosenImpl = Literal["reference", "cpu", "cuda"]

# These have one kernel, not a forward and a backward one.
WITHOUT_GRADIENT = (
    "rasterize",
    "mobile_synthesis",
    "styled_epilogue",
    "upsample_filter",
    "depthwise_layer",
    "picture_layer",
)
OPS = ("morphable", "vertex_normals", "masked_photometric", *WITHOUT_GRADIENT)
# These have a kernel for one device only, by design: MobileStyleGAN is one op on the CPU, and two per layer on CUDA.
ONLY_FOR = {"mobile_synthesis": "cpu", "depthwise_layer": "cuda", "picture_layer": "cuda"}
STEM = "_kernels"
logger = logging.getLogger(__name__)


@dataclass
class KernelLibrary:
    """What is known about the compiled library.

    Attributes:
        path: the file, None if there is none.
        problem: why there is none, or why it could not be loaded.
        tried: whether the on-first-use build was tried, or is not wanted.
        kernels: (op, "cpu" or "cuda") of every kernel in it.
        architectures: what its CUDA kernels were compiled for.
        refusals: per index of a CUDA device, why they do not run there; empty where they do.
    """

    path: Path | None = None
    problem: str = ""
    tried: bool = False
    kernels: frozenset[tuple[str, str]] = frozenset()
    architectures: tuple[str, ...] = ()
    refusals: dict[int, str] = field(default_factory=dict)


_library = KernelLibrary()
_noticed: set[str] = set()
_registrations: list[Callable[[], None]] = []


def load() -> None:
    """Loads the library that the installation built, if there is one. Called once, when the package is imported.

    ``STYLERIG_KERNELS`` names another library: one built with sanitizers, say.

    Raises:
        OSError: a library that was named does not load.
    """
    chosen = os.environ.get("STYLERIG_KERNELS")
    found = [Path(chosen)] if chosen else sorted(Path(__file__).parent.glob(STEM + "*.so"))
    if not found:
        _library.problem = "the installation built none"
        return
    try:
        _adopt(found[0])
    except (OSError, RuntimeError) as error:
        if chosen:
            raise
        # A library built for another torch or another machine.
        _library.problem = f"{found[0].name} does not load: {error}"


def has_kernel(op: str, device: str) -> bool:
    """Whether the loaded library has a kernel of this op for ``"cpu"`` or ``"cuda"``, be it for this GPU or another."""
    return (op, device) in _library.kernels


def _adopt(path: Path) -> None:
    """Loads a library and notes which kernels it has: a table, which tracing compilers can read."""
    torch.ops.load_library(str(path))
    names = {op: f"stylerig::{op}" if op in WITHOUT_GRADIENT else f"stylerig::{op}_fwd" for op in OPS}
    _library.path = path
    _library.architectures = _architectures.built_for(path)
    _library.kernels = frozenset(
        (op, device)
        for op, name in names.items()
        for device in ("cpu", "cuda")
        if torch._C._dispatch_has_kernel(name) and torch._C._dispatch_has_kernel_for_dispatch_key(name, device.upper())
    )
    while _registrations:
        _registrations.pop(0)()


def when_loaded(register: Callable[[], None]) -> Callable[[], None]:
    """Decorates what tells torch about an op's shapes and gradient: it runs once the library has brought the schema."""
    _registrations.append(register)
    return register


def register_without_gradient(op: str) -> None:
    """Registers, once the library is loaded, an op that writes to its arguments and returns nothing."""
    when_loaded(lambda: torch.library.register_fake(f"stylerig::{op}", lambda *_arguments: None))


def refuse_second_derivative(op: str) -> None:
    """Makes differentiating an op's backward kernel raise.

    A gradient of a gradient would need formulas that are not there; leaving terms out silently would be worse.
    """

    def backward(_ctx: Any, *_grads: Tensor | None) -> None:
        raise NotImplementedError(f"{op}: the kernels have no second derivative; use impl='reference'")

    torch.library.register_autograd(f"stylerig::{op}_bwd", backward)


def choose(op: str, impl: str, device: torch.device) -> ChosenImpl:
    """The path that a call takes.

    Args:
        op: the op's name.
        impl: what the caller asked for.
        device: where the tensors are.

    Raises:
        ValueError: an unknown ``impl``, or a kernel for another device than the tensors'.
        BackendUnavailable: a kernel was asked for by name and is not there.
    """
    if impl == "reference":
        return "reference"
    if impl not in ("auto", "cpu", "cuda"):
        raise ValueError(f"{op}: impl must be 'auto', 'reference', 'cpu' or 'cuda', got {impl!r}")
    kind: ChosenImpl = "cuda" if device.type == "cuda" else "cpu"
    if impl != "auto" and impl != device.type:
        raise ValueError(f"{op}: impl={impl!r} needs tensors on that device, these are on {device}")
    if _library.path is None and not _library.tried:
        _build_on_first_use()
    why = why_slow(op, device)
    if not why:
        return kind
    if impl == "auto":
        # A GPU without kernels is one matter for all ops, and gets one notice.
        what = "every op" if why in _library.refusals.values() else op
        notice(f"{what} runs as plain torch on {device.type}, which is slow: {why}")
        return "reference"
    raise BackendUnavailable(f"{op}: impl={impl!r} was asked for, but {why}")


def why_slow(op: str, device: torch.device) -> str:
    """Why no kernel of this op runs on this device, and what helps; empty if one does."""
    if has_kernel(op, device.type):
        return _refusal(device) if device.type == "cuda" else ""
    if _library.path is None:
        return (
            f"there is no compiled library ({_library.problem}). With a C++17 compiler and ninja on the machine, "
            "`pip install --no-build-isolation --force-reinstall --no-deps stylerig-fast` builds it"
        )
    if ONLY_FOR.get(op, device.type) != device.type:
        name = {"cpu": "CPU", "cuda": "CUDA"}.get(device.type, device.type)
        return f"{op} has no {name} kernel by design: on {device} MobileStyleGAN runs through other ops"
    if device.type == "cuda":
        return (
            "the library was built without CUDA. With nvcc on the machine, reinstall with STYLERIG_BUILD_CUDA=1 and "
            "--no-build-isolation"
        )
    return f"the library {_library.path.name} has no {op} kernel for {device.type}"


def _refusal(device: torch.device) -> str:
    """Why the CUDA kernels do not run on this GPU; empty if they do.

    The GPU is asked once, by the first eager call on it: neither while a call is traced nor while it is captured.
    """
    if torch.compiler.is_compiling():
        return _library.refusals.get(device.index or 0, "")
    index = torch.cuda.current_device() if device.index is None else device.index
    if index not in _library.refusals:
        if torch.cuda.is_current_stream_capturing():
            return ""
        _library.refusals[index] = _architectures.refusal(_library.architectures, index)
    return _library.refusals[index]


def notice(message: str) -> None:
    """One visible notice per message."""
    if message not in _noticed:
        _noticed.add(message)
        warn_caller(message)


def library() -> KernelLibrary:
    """What is known about the compiled library."""
    return _library


def paths(device: torch.device) -> dict[str, str]:
    """Per op, ``"cpu"``, ``"cuda"``, or why it runs as plain torch on ``device``."""
    found = {}
    for op in OPS:
        why = why_slow(op, device)
        found[op] = f"reference: {why}" if why else device.type
    return found


def library_summary() -> str:
    """One line: which compiled library is loaded and for what, or why none is."""
    known = library()
    if known.path is None:
        return f"none: {known.problem}"
    devices = sorted({device for _, device in known.kernels})
    built = f" ({', '.join(known.architectures)})" if known.architectures else ""
    return f"{known.path}, kernels for {' and '.join(devices)}{built}"


def _build_on_first_use() -> None:
    _library.tried = True
    if os.environ.get("STYLERIG_BUILD_ON_FIRST_USE", "1") == "0":
        return
    from stylerig_fast.ops._build import build_in_cache

    try:
        path = build_in_cache()
    except RuntimeError as error:
        _library.problem += f"; building it now failed: {error}"
        logger.info("building the kernels failed", exc_info=True)
        return
    _adopt(path)
