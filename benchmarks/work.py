"""What a network has to do at least: its multiply-adds as executed, and the bytes that must move.

Counted while a copy without data (torch's ``meta`` device) runs, operation by operation, so that every generator family
is counted by the same rule and nothing has to be listed by hand: a transposed convolution at its input size, a
depthwise one by its one input channel, a matrix product by its shapes. Additions, activations and filters that are no
convolution are not counted. Bytes are the compulsory ones: each weight and constant that is read, once; what goes in;
what comes out.
"""

from __future__ import annotations

import copy
import math
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, TypeVar

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode

from stylerig_fast.generators import Generator
from stylerig_fast.reconstructor import FaceReconstructor
from stylerig_fast.rignet import RigNet

M = TypeVar("M", bound=nn.Module)
aten = torch.ops.aten


@dataclass(frozen=True)
class Work:
    """Multiply-adds and compulsory bytes.

    Attributes:
        multiply_adds: as executed, by kind: "convolution", "depthwise" (one input channel per output channel: filters
            and depthwise convolutions), "matrix" (1x1 convolutions in channels-last form, linear layers).
        weights: bytes of what is read of the network.
        inputs: bytes that go in.
        outputs: bytes that come out.
    """

    multiply_adds: dict[str, int]
    weights: int = 0
    inputs: int = 0
    outputs: int = 0

    @property
    def total(self) -> int:
        return sum(self.multiply_adds.values())

    @property
    def bytes(self) -> int:
        return self.weights + self.inputs + self.outputs

    def times(self, batch: int) -> Work:
        """The same for ``batch`` pictures at once: weights are read once all the same."""
        counts = {kind: batch * count for kind, count in self.multiply_adds.items()}
        return Work(counts, self.weights, batch * self.inputs, batch * self.outputs)

    def with_weights_of(self, itemsize: int) -> Work:
        """The same with weights of so many bytes each in place of four."""
        return replace(self, weights=self.weights * itemsize // 4)


@dataclass
class Counter(TorchDispatchMode):
    """Counts the multiply-adds of every operation inside ``with``.

    Attributes:
        counts: by (stage, kind).
        stage: who is told which stage an operation belongs to; "" by default.
        read: the tensors of ``watched`` that operations took, by identity.
        watched: the network's parameters and buffers.
    """

    stage: Callable[[], str] = lambda: ""
    watched: Sequence[Tensor] = ()
    counts: dict[tuple[str, str], int] = field(default_factory=lambda: defaultdict(int))
    read: dict[int, Tensor] = field(default_factory=dict)

    def __post_init__(self) -> None:
        super().__init__()
        self._known = {id(value): value for value in self.watched}

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = func(*args, **(kwargs or {}))
        counted = multiply_adds(func, args)
        if counted is not None:
            kind, count = counted
            self.counts[self.stage(), kind] += count
        for value in args:
            if id(value) in self._known:
                self.read[id(value)] = value
        return result

    def work(self, inputs: int, outputs: int) -> Work:
        by_kind: dict[str, int] = defaultdict(int)
        for (_, kind), count in self.counts.items():
            by_kind[kind] += count
        return Work(dict(by_kind), sum(value.nbytes for value in self.read.values()), inputs, outputs)


def multiply_adds(func: Any, args: Sequence[Any]) -> tuple[str, int] | None:
    """Kind and number of the multiply-adds of one ATen operation; None for one that is not counted."""
    operation = func.overloadpacket
    if operation in (aten.convolution, aten._convolution):
        x, weight, transposed, groups = args[0], args[1], args[6], args[8]
        # A transposed convolution multiplies each input with the whole kernel; one that is not, does so per output.
        sides = x.shape[2:] if transposed else _convolved(args)
        count = x.shape[0] * math.prod(sides) * weight.numel()
        return "depthwise" if groups > 1 and weight.shape[1] == 1 else "convolution", count
    if operation in (aten.mm, aten.bmm):
        return "matrix", args[0].numel() * args[1].shape[-1]
    if operation in (aten.addmm, aten.baddbmm):
        return "matrix", args[1].numel() * args[2].shape[-1]
    if operation is aten.linear:
        return "matrix", args[0].numel() * args[1].shape[0]
    return None


def _convolved(args: Sequence[Any]) -> list[int]:
    """Sides of a convolution's output; arguments in ATen's order: x, weight, bias, stride, padding, dilation."""
    x, weight, _, stride, padding, dilation = args[:6]
    sides = zip(
        x.shape[2:], weight.shape[2:], *(_each(v, x.ndim - 2) for v in (stride, padding, dilation)), strict=True
    )
    return [(side + 2 * pad - dilate * (kernel - 1) - 1) // step + 1 for side, kernel, step, pad, dilate in sides]


def _each(values: Sequence[int], n: int) -> Sequence[int]:
    return list(values) * n if len(values) == 1 else values


def without_data(module: M) -> M:
    """A copy of a network that has shapes and no values: it runs in no time, and computes nothing."""
    return copy.deepcopy(module).to("meta")


@torch.no_grad()
def work_of_synthesis(generator: Generator, resolution: int, batch: int = 1) -> Work:
    """The work of making pictures of codes; the pictures are counted as the uint8 that the Engine returns."""
    twin = without_data(generator)
    ws = torch.empty(batch, twin.num_ws, twin.w_dim, device="meta")
    with Counter(watched=[*twin.parameters(), *twin.buffers()]) as counter:
        twin.synthesis(ws, resolution)
    return counter.work(ws.nbytes, batch * resolution**2 * 3)


@torch.no_grad()
def work_of_rig(reconstructor: FaceReconstructor, rig: RigNet, batch: int = 1) -> Work:
    """The work of F and RigNet: codes and parameters to edited codes."""
    seeing, rigging = without_data(reconstructor), without_data(rig)
    w = torch.empty(batch, rig.config.num_ws, rig.config.w_dim, device="meta")
    watched = [*seeing.parameters(), *seeing.buffers(), *rigging.parameters(), *rigging.buffers()]
    with Counter(watched=watched) as counter:
        own = seeing.vector(w)
        rigging(w, own, own)
    return counter.work(w.nbytes + own.nbytes, w.nbytes)
