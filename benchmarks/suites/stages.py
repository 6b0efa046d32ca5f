"""The stages of an edit: request, rig, modulation, each resolution, picture, conversion, copy.

Measured in eager torch: hooks set a mark whenever a module begins or ends, and the time between marks belongs to the
innermost module that is running. On a GPU each mark is also a CUDA event, which separates the time the CPU needs to
enqueue a stage from the time the device works on it.
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

from ..harness.flops import MultiplyAddCounter, rig_cost, without_data
from ..harness.queries import Query

REQUEST, RIG, MODULATION, PICTURE, REST = "request", "rig (F, RigNet)", "modulation", "to RGB", "between layers"
UINT8, COPY = "uint8", "copy to NumPy"
_PICTURE_NAMES = ("to_image", "to_rgb")


class DeviceEvent(Protocol):
    """A moment in the device's queue, as `torch.cuda.Event`."""

    def record(self) -> None: ...
    def elapsed_time(self, end: Any) -> float: ...


@dataclass
class StageMarks:
    """Marks at the beginning and the end of every stage.

    Attributes:
        clock: returns seconds on the CPU.
        event: makes an event of the device for each mark; None without a GPU.
    """

    clock: Callable[[], float] = time.perf_counter
    event: Callable[[], DeviceEvent] | None = None
    _stack: list[str] = field(default_factory=list)
    _passed: list[tuple[str, float, DeviceEvent | None]] = field(default_factory=list)

    @property
    def current(self) -> str:
        """The innermost stage that is running."""
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
        """Milliseconds by stage since the last call, on the CPU and on the device, which must be synchronised."""
        cpu: dict[str, float] = defaultdict(float)
        device: dict[str, float] = defaultdict(float)
        for (_, before, first), (stage, after, second) in zip(self._passed, self._passed[1:], strict=False):
            cpu[stage] += 1e3 * (after - before)
            if first is not None and second is not None:
                device[stage] += first.elapsed_time(second)
        self._passed.clear()
        return dict(cpu), dict(device)


def stage_names(generator: Generator) -> dict[str, str]:
    """The stages of the synthesis' modules, by the name of the module.

    The layers of a resolution are the generator's direct children (those in a list, one by one); running a copy without
    data tells their resolution. Linear layers that take a code are modulation; modules that make a picture are known by
    their name.
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
    # A batch of three is no height of a picture, and nothing is computed in strips of rows without data.
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
def hooked(generator: nn.Module, stages: dict[str, str], marks: StageMarks) -> Iterator[None]:
    """Sets marks whenever a module of a stage begins or ends inside the block."""
    with ExitStack() as stack:
        for name, module in generator.named_modules():
            if name in stages:
                before = module.register_forward_pre_hook(lambda *_, stage=stages[name]: marks.enter(stage))
                # always_call: also when the stage fails.
                after = module.register_forward_hook(lambda *_: marks.leave(), always_call=True)
                stack.callback(before.remove)
                stack.callback(after.remove)
            if callable(getattr(module, "modulate", None)):
                _wrap_modulate(module, marks)
                stack.callback(vars(module).pop, "modulate", None)
        yield


def _wrap_modulate(module: nn.Module, marks: StageMarks) -> None:
    """Marks a method ``modulate``, which computes weights from the code and which no hook sees."""
    method: Callable[..., Any] = module.modulate  # type: ignore[assignment]

    def modulate(*args: Any) -> Any:
        with marks.during(MODULATION):
            return method(*args)

    object.__setattr__(module, "modulate", modulate)


@dataclass(frozen=True)
class EditStage:
    """One row of the table; milliseconds are medians over edits.

    Attributes:
        name: of the stage.
        ms: on the CPU; with a GPU the time to enqueue the stage.
        device_ms: on the GPU; None without one.
        multiply_adds: of this stage.
    """

    name: str
    ms: float
    device_ms: float | None
    multiply_adds: int


@torch.no_grad()
def measure(engine: Engine, queries: list[Query], resolution: int, warm_up: int = 2) -> list[EditStage]:
    """Times the stages of single edits in eager torch.

    Args:
        engine: its generator, reconstructor and rig are run, its backend is not.
        queries: edits of one person each.
        resolution: of the pictures.
        warm_up: untimed edits beforehand, of the last queries, so that no person comes twice in a row.

    Returns:
        The stages in the order of an edit.
    """
    generator, device = engine.generator, engine.device
    cuda = device.type == "cuda"
    marks = StageMarks(event=(lambda: torch.cuda.Event(enable_timing=True)) if cuda else None)
    stages = stage_names(generator)
    times: list[tuple[dict[str, float], dict[str, float]]] = []
    # Around its two networks, `Engine.rig` only puts the request together.
    networks = [hooked(network, {"": RIG}, marks) for network in (engine.reconstructor, engine.rig_net)]
    with hooked(generator, stages, marks), networks[0], networks[1]:
        for query in [*queries[-warm_up:], *queries]:
            _edit(engine, query, resolution, marks)
            if cuda:
                torch.cuda.synchronize(device)
            times.append(marks.spent())
    times = times[-len(queries) :]
    counts = multiply_adds(engine, stages, resolution)
    return [
        EditStage(
            name,
            _median([cpu.get(name, 0.0) for cpu, _ in times]),
            _median([gpu.get(name, 0.0) for _, gpu in times]) if cuda else None,
            counts.get(name, 0),
        )
        for name in _in_order(times[0][0])
    ]


def _edit(engine: Engine, query: Query, resolution: int, marks: StageMarks) -> None:
    with marks.during(REQUEST):
        codes = engine.rig(query.w, query.params)
    with marks.during(REST):
        image = engine.generator.synthesis(codes, resolution)
    with marks.during(UINT8):
        pictures = channels_last(to_uint8(image, overwrite=True))
    with marks.during(COPY):
        pictures.cpu().numpy()


def multiply_adds(engine: Engine, stages: dict[str, str], resolution: int) -> dict[str, int]:
    """Multiply-adds of one picture, by stage."""
    twin, marks = without_data(engine.generator), StageMarks()
    ws = torch.empty(1, twin.num_ws, twin.w_dim, device="meta")
    with torch.no_grad(), hooked(twin, stages, marks), MultiplyAddCounter(stage=lambda: marks.current) as counter:
        twin.synthesis(ws, resolution)
    counts: dict[str, int] = defaultdict(int)
    for (stage, _), count in counter.counts.items():
        counts[stage] += count
    counts[RIG] = rig_cost(engine.reconstructor, engine.rig_net).total
    return dict(counts)


def _in_order(stages: dict[str, float]) -> list[str]:
    """The stages in the order of an edit: request, rig, modulation, resolutions upward, picture, conversion, copy."""
    sizes = sorted((name for name in stages if name.endswith(" px")), key=lambda name: int(name.split()[0]))
    return [name for name in (REQUEST, RIG, MODULATION, *sizes, PICTURE, REST, UINT8, COPY) if name in stages]


def _median(values: list[float]) -> float:
    return float(torch.tensor(values, dtype=torch.float64).quantile(0.5))
