"""Where the time of an edit goes: request, rig, modulation, each resolution, picture, conversion, copy.

Measured in plain eager torch, with marks that hooks set whenever a module begins or ends; what lies between two marks
belongs to the innermost module that is running. On a GPU each mark is also a CUDA event, so that the time the CPU
needs to enqueue a stage and the time the device works on it come apart.
"""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from typing import Any, Protocol

import torch
from torch import Tensor, nn

from stylerig_fast.engine import Engine
from stylerig_fast.generators import Generator
from stylerig_fast.images import channels_last, to_uint8

from .requests import Request
from .work import Counter, without_data

REQUEST, RIG, MODULATION, PICTURE, REST = "request", "rig (F, RigNet)", "modulation", "to RGB", "between layers"
UINT8, COPY = "uint8", "copy to NumPy"
_PICTURE_NAMES = ("to_image", "to_rgb")


class Event(Protocol):
    """A moment in the device's queue, as `torch.cuda.Event`."""

    def record(self) -> None: ...
    def elapsed_time(self, end: Any) -> float: ...


@dataclass
class Marks:
    """What is running, and since when.

    Attributes:
        clock: seconds on the CPU.
        event: makes an event for each mark; None where the CPU's clock is all there is.
    """

    clock: Callable[[], float] = time.perf_counter
    event: Callable[[], Event] | None = None
    _stack: list[str] = field(default_factory=list)
    _passed: list[tuple[str, float, Event | None]] = field(default_factory=list)

    @property
    def current(self) -> str:
        return self._stack[-1] if self._stack else REST

    def enter(self, stage: str) -> None:
        self._mark()
        self._stack.append(stage)

    def leave(self) -> None:
        self._mark()
        self._stack.pop()

    @contextmanager
    def during(self, stage: str) -> Iterator[None]:
        self.enter(stage)
        try:
            yield
        finally:
            self.leave()

    def _mark(self) -> None:
        event = None
        if self.event is not None:
            event = self.event()
            event.record()
        self._passed.append((self.current, self.clock(), event))

    def spent(self) -> tuple[dict[str, float], dict[str, float]]:
        """Milliseconds by stage, on the CPU and on the device; forgets them. The device must have been waited for."""
        cpu: dict[str, float] = defaultdict(float)
        device: dict[str, float] = defaultdict(float)
        for (_, before, first), (stage, after, second) in zip(self._passed, self._passed[1:], strict=False):
            cpu[stage] += 1e3 * (after - before)
            if first is not None and second is not None:
                device[stage] += first.elapsed_time(second)
        self._passed.clear()
        return dict(cpu), dict(device)


def stage_names(generator: Generator) -> dict[str, str]:
    """Stage of every module of the synthesis that begins one, by the module's name.

    The layers of a resolution are the generator's direct children (those in a list, one by one); which resolution they
    are shows when a copy without data runs. What takes a code is modulation, what makes a picture says so in its name.
    """
    twin = without_data(generator)
    sides: dict[str, int] = {}

    def note(name: str) -> Callable[[nn.Module, Any, Any], None]:
        def hook(module: nn.Module, inputs: Any, output: Any) -> None:
            tensor = output if isinstance(output, Tensor) else next(x for x in output if isinstance(x, Tensor))
            if tensor.ndim == 4:
                # (B, C, H, W) or (B, H, W, C)
                sides[name] = tensor.shape[-1] if tensor.shape[-1] == tensor.shape[-2] else tensor.shape[1]

        return hook

    for name, child in twin.named_children():
        lists = isinstance(child, nn.ModuleList)
        for inner, module in child.named_children() if lists else ((None, child),):
            path = name if inner is None else f"{name}.{inner}"
            module.register_forward_hook(note(path))
    # In batches of three no side is mistaken for the batch, and strips of rows are not made without data.
    with torch.no_grad():
        twin.synthesis(torch.empty(3, twin.num_ws, twin.w_dim, device="meta"))
    stages = {name: f"{side} px" for name, side in sides.items()}
    for name, module in twin.named_modules():
        if name.rpartition(".")[2] in _PICTURE_NAMES:
            stages[name] = PICTURE
        elif isinstance(module, nn.Linear) and module.in_features == twin.w_dim and "mapping" not in name:
            stages[name] = MODULATION
    return stages


@contextmanager
def hooked(generator: nn.Module, stages: dict[str, str], marks: Marks) -> Iterator[None]:
    """Sets marks while the generator runs."""
    with ExitStack() as stack:
        for name, module in generator.named_modules():
            if name in stages:
                before = module.register_forward_pre_hook(lambda *_, stage=stages[name]: marks.enter(stage))
                # always_call: a stage that fails is left too.
                after = module.register_forward_hook(lambda *_: marks.leave(), always_call=True)
                stack.callback(before.remove)
                stack.callback(after.remove)
            if callable(getattr(module, "modulate", None)):
                _wrap_modulate(module, marks)
                stack.callback(vars(module).pop, "modulate", None)
        yield


def _wrap_modulate(module: nn.Module, marks: Marks) -> None:
    """Weights that are made from the code in a method of its own, which no hook sees."""
    method: Callable[..., Any] = module.modulate  # type: ignore[assignment]

    def modulate(*args: Any) -> Any:
        with marks.during(MODULATION):
            return method(*args)

    object.__setattr__(module, "modulate", modulate)


@dataclass(frozen=True)
class Stage:
    """One line of the table; milliseconds are medians over edits.

    Attributes:
        name: which stage.
        ms: on the CPU; with a GPU the time to enqueue it.
        device_ms: on the GPU, else None.
        multiply_adds: of this stage.
    """

    name: str
    ms: float
    device_ms: float | None
    multiply_adds: int


@torch.no_grad()
def measure(engine: Engine, requests: list[Request], resolution: int, warm_up: int = 2) -> list[Stage]:
    """The stages of single edits in plain eager torch, in the order in which they first run.

    Args:
        engine: its generator, reconstructor and rig are run, not its backend.
        requests: one edit each, of one person.
        resolution: of the pictures.
        warm_up: edits before those that count, of the last requests: never the same person twice in a row.
    """
    generator, device = engine.generator, engine.device
    cuda = device.type == "cuda"
    marks = Marks(event=(lambda: torch.cuda.Event(enable_timing=True)) if cuda else None)
    stages = stage_names(generator)
    times: list[tuple[dict[str, float], dict[str, float]]] = []
    # What `Engine.rig` does around its two networks is putting the request together.
    networks = [hooked(network, {"": RIG}, marks) for network in (engine.reconstructor, engine.rig_net)]
    with hooked(generator, stages, marks), networks[0], networks[1]:
        for request in [*requests[-warm_up:], *requests]:
            _edit(engine, request, resolution, marks)
            if cuda:
                torch.cuda.synchronize(device)
            times.append(marks.spent())
    times = times[-len(requests) :]
    counts = multiply_adds(engine, stages, resolution)
    return [
        Stage(
            name,
            _median([cpu.get(name, 0.0) for cpu, _ in times]),
            _median([gpu.get(name, 0.0) for _, gpu in times]) if cuda else None,
            counts.get(name, 0),
        )
        for name in _in_order(times[0][0])
    ]


def _edit(engine: Engine, request: Request, resolution: int, marks: Marks) -> None:
    with marks.during(REQUEST):
        codes = engine.rig(request.w, request.params)
    with marks.during(REST):
        image = engine.generator.synthesis(codes, resolution)
    with marks.during(UINT8):
        pictures = channels_last(to_uint8(image, overwrite=True))
    with marks.during(COPY):
        pictures.cpu().numpy()


def multiply_adds(engine: Engine, stages: dict[str, str], resolution: int) -> dict[str, int]:
    """Multiply-adds by stage, of one picture."""
    from .work import work_of_rig

    twin, marks = without_data(engine.generator), Marks()
    ws = torch.empty(1, twin.num_ws, twin.w_dim, device="meta")
    with torch.no_grad(), hooked(twin, stages, marks), Counter(stage=lambda: marks.current) as counter:
        twin.synthesis(ws, resolution)
    counts: dict[str, int] = defaultdict(int)
    for (stage, _), count in counter.counts.items():
        counts[stage] += count
    counts[RIG] = work_of_rig(engine.reconstructor, engine.rig_net).total
    return dict(counts)


def _in_order(stages: dict[str, float]) -> list[str]:
    """Request and rig, modulation, resolutions upward, and what follows."""
    sizes = sorted((name for name in stages if name.endswith(" px")), key=lambda name: int(name.split()[0]))
    return [name for name in (REQUEST, RIG, MODULATION, *sizes, PICTURE, REST, UINT8, COPY) if name in stages]


def _median(values: list[float]) -> float:
    return float(torch.tensor(values, dtype=torch.float64).quantile(0.5))
