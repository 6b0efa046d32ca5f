"""The cost of a network: its multiply-adds, and the bytes that have to be moved at least.

Multiply-adds are counted operation by operation while a copy without data runs (on the ``meta`` device), so that one
rule counts every generator family: a transposed convolution at its input size, a depthwise one with its one input
channel, a matrix product by its shapes. Additions, activations and filters that are not convolutions are not counted.
Bytes are compulsory traffic: each weight and constant that is read, once; the inputs; the outputs.
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
class NetworkCost:
    """Multiply-adds and compulsory bytes.

    Attributes:
        multiply_adds: as executed, by kind: "convolution", "depthwise" (one input channel per output channel: filters
            and depthwise convolutions), "matrix" (1x1 convolutions in channels-last form, linear layers).
        weights: bytes of the weights and constants that are read.
        inputs: bytes of the inputs.
        outputs: bytes of the outputs.
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

    def times(self, batch: int) -> NetworkCost:
        """The cost of ``batch`` pictures at once: the weights are still read once."""
        counts = {kind: batch * count for kind, count in self.multiply_adds.items()}
        return NetworkCost(counts, self.weights, batch * self.inputs, batch * self.outputs)

    def with_weights_of(self, itemsize: int) -> NetworkCost:
        """The cost with weights of ``itemsize`` bytes each in place of four."""
        return replace(self, weights=self.weights * itemsize // 4)


@dataclass
class MultiplyAddCounter(TorchDispatchMode):
    """Counts the multiply-adds of every operation inside ``with``.

    Attributes:
        counts: by (stage, kind).
        stage: returns the stage that the current operation belongs to.
        read: the tensors of ``watched`` that operations have read, by identity.
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

    def cost(self, inputs: int, outputs: int) -> NetworkCost:
        """The cost of everything that was counted, with bytes of inputs and outputs."""
        by_kind: dict[str, int] = defaultdict(int)
        for (_, kind), count in self.counts.items():
            by_kind[kind] += count
        return NetworkCost(dict(by_kind), sum(value.nbytes for value in self.read.values()), inputs, outputs)


def multiply_adds(func: Any, args: Sequence[Any]) -> tuple[str, int] | None:
    """Kind and number of the multiply-adds of one ATen operation; None for operations that are not counted."""
    operation = func.overloadpacket
    if operation in (aten.convolution, aten._convolution):
        x, weight, transposed, groups = args[0], args[1], args[6], args[8]
        # A transposed convolution applies the whole kernel once per input, a plain one once per output.
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
    """Height and width of a convolution's output. ATen's order: x, weight, bias, stride, padding, dilation."""
    x, weight, _, stride, padding, dilation = args[:6]
    sides = zip(
        x.shape[2:], weight.shape[2:], *(_each(v, x.ndim - 2) for v in (stride, padding, dilation)), strict=True
    )
    return [(side + 2 * pad - dilate * (kernel - 1) - 1) // step + 1 for side, kernel, step, pad, dilate in sides]


def _each(values: Sequence[int], n: int) -> Sequence[int]:
    return list(values) * n if len(values) == 1 else values


def without_data(module: M) -> M:
    """A copy of a network on the ``meta`` device: its tensors have shapes and no values."""
    return copy.deepcopy(module).to("meta")


@torch.no_grad()
def synthesis_cost(generator: Generator, resolution: int, batch: int = 1) -> NetworkCost:
    """The cost of synthesis; pictures count as the uint8 that the Engine returns."""
    twin = without_data(generator)
    ws = torch.empty(batch, twin.num_ws, twin.w_dim, device="meta")
    with MultiplyAddCounter(watched=[*twin.parameters(), *twin.buffers()]) as counter:
        twin.synthesis(ws, resolution)
    return counter.cost(ws.nbytes, batch * resolution**2 * 3)


@torch.no_grad()
def rig_cost(reconstructor: FaceReconstructor, rig: RigNet, batch: int = 1) -> NetworkCost:
    """The cost of an edit of codes: F and RigNet."""
    f, rig_net = without_data(reconstructor), without_data(rig)
    w = torch.empty(batch, rig.config.num_ws, rig.config.w_dim, device="meta")
    watched = [*f.parameters(), *f.buffers(), *rig_net.parameters(), *rig_net.buffers()]
    with MultiplyAddCounter(watched=watched) as counter:
        source = f.vector(w)
        rig_net(w, source, source)
    return counter.cost(w.nbytes + source.nbytes, w.nbytes)
