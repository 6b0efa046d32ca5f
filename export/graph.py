"""Writes an ONNX graph: readable names, weights as initializers, the precision as explicit casts."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import onnx
import torch
from onnx import TensorProto, helper
from torch import Tensor

from stylerig_fast import __version__
from stylerig_fast.errors import ExportError

# Names of values: what flows along the edges of a graph.
Value = str

TYPES = {
    torch.float32: TensorProto.FLOAT,
    torch.float16: TensorProto.FLOAT16,
    torch.bfloat16: TensorProto.BFLOAT16,
    torch.int64: TensorProto.INT64,
    torch.uint8: TensorProto.UINT8,
}
# The lowest operator sets that do: 18 runs wherever ONNX Runtime or TensorRT 10 does; convolutions of bfloat16 came
# with 22. The version of the file format goes with it, so that older readers are not turned away for nothing.
OPSETS = {torch.float32: 18, torch.float16: 18, torch.bfloat16: 22}
IR_VERSIONS = {18: 8, 22: 10}


class GraphBuilder:
    """An ONNX graph in the making.

    Attributes:
        name: of the graph.
        precision: what convolutions compute in; everything else is float32 until `low` casts it.
        batch: size of the batch, None for any.
    """

    def __init__(self, name: str, precision: torch.dtype = torch.float32, batch: int | None = None) -> None:
        self.name = name
        self.precision = precision
        self.batch = batch
        self.opset = OPSETS[precision]
        self._nodes: list[onnx.NodeProto] = []
        self._initializers: list[TensorProto] = []
        self._inputs: list[onnx.ValueInfoProto] = []
        self._outputs: list[onnx.ValueInfoProto] = []
        self._scope: list[str] = []
        self._taken: Counter[str] = Counter()
        self._integers: dict[tuple[int, ...], Value] = {}

    @contextmanager
    def scope(self, name: str) -> Iterator[None]:
        """Within it, names begin with ``name.``: they tell the layer."""
        self._scope.append(name)
        try:
            yield
        finally:
            self._scope.pop()

    @contextmanager
    def in_precision(self, precision: torch.dtype) -> Iterator[None]:
        """Within it, activations are in another precision than the graph's."""
        before, self.precision = self.precision, precision
        try:
            yield
        finally:
            self.precision = before

    def input(self, name: str, *shape: int) -> Value:
        """A float32 input ``(batch, *shape)``."""
        self._inputs.append(helper.make_tensor_value_info(name, TensorProto.FLOAT, [self._batch_dim(), *shape]))
        return name

    def output(self, value: Value, name: str, *shape: int, dtype: torch.dtype = torch.float32) -> None:
        """Gives out ``value`` ``(batch, *shape)`` as ``name``; the value must be the result of the last node."""
        self._nodes[-1].output[0] = name
        assert value != name
        self._outputs.append(helper.make_tensor_value_info(name, TYPES[dtype], [self._batch_dim(), *shape]))

    def constant(self, name: str, value: Tensor, dtype: torch.dtype = torch.float32) -> Value:
        """An initializer.

        Raises:
            ExportError: it holds values that are not finite in ``dtype``.
        """
        rounded = value.detach().cpu().to(dtype).contiguous()
        if rounded.is_floating_point() and not bool(torch.isfinite(rounded).all()):
            largest = float(value.detach().abs().max())
            raise ExportError(
                f"{self._full(name)}: its largest value, {largest:.3g}, is not finite in {dtype}; "
                "export in another precision"
            )
        unique = self._unique(name)
        raw = rounded.flatten().view(torch.uint8).numpy().tobytes()
        self._initializers.append(helper.make_tensor(unique, TYPES[dtype], list(rounded.shape), raw, raw=True))
        return unique

    def integers(self, *values: int) -> Value:
        """An int64 initializer ``(N,)``, shared by all who want the same one: axes, shapes, indices."""
        if values not in self._integers:
            name = f"integers.{'_'.join(map(str, values))}"
            self._initializers.append(helper.make_tensor(name, TensorProto.INT64, [len(values)], list(values)))
            self._integers[values] = name
        return self._integers[values]

    def op(self, kind: str, *inputs: Value, **attributes: Any) -> Value:
        """Adds a node with one output, and returns that."""
        output = self._unique(kind.lower())
        self._nodes.append(helper.make_node(kind, list(inputs), [output], name=output, **attributes))
        return output

    def cast(self, value: Value, dtype: torch.dtype) -> Value:
        return self.op("Cast", value, to=TYPES[dtype])

    def low(self, value: Value) -> Value:
        """A float32 value in the graph's precision."""
        return value if self.precision == torch.float32 else self.cast(value, self.precision)

    def full(self, value: Value) -> Value:
        """A value in the graph's precision as float32."""
        return value if self.precision == torch.float32 else self.cast(value, torch.float32)

    def model(self, metadata: Mapping[str, str] | None = None) -> onnx.ModelProto:
        """The whole model.

        Raises:
            ExportError: it is not below the 2 GiB that one file holds.
        """
        graph = helper.make_graph(self._nodes, self.name, self._inputs, self._outputs, self._initializers)
        size = graph.ByteSize()
        if size >= 2**31 - 2**20:
            raise ExportError(
                f"the graph {self.name!r} is {size / 2**30:.2f} GiB, one file holds less than 2; use less precision"
            )
        model = helper.make_model(
            graph,
            producer_name="stylerig_fast",
            producer_version=__version__,
            opset_imports=[helper.make_opsetid("", self.opset)],
            ir_version=IR_VERSIONS[self.opset],
        )
        helper.set_model_props(model, dict(metadata or {}))
        return model

    def _batch_dim(self) -> int | str:
        return "batch" if self.batch is None else self.batch

    def _full(self, name: str) -> str:
        return ".".join([*self._scope, name])

    def _unique(self, name: str) -> str:
        full = self._full(name)
        self._taken[full] += 1
        return full if self._taken[full] == 1 else f"{full}_{self._taken[full]}"


def check(model: onnx.ModelProto) -> None:
    """The checker of ONNX and its strict shape inference.

    Raises:
        ExportError: something is wrong with the graph; that would be a mistake of ours.
    """
    try:
        onnx.checker.check_model(model, full_check=True)
    except (onnx.checker.ValidationError, onnx.shape_inference.InferenceError) as error:
        raise ExportError(f"the graph {model.graph.name!r} is not valid ONNX: {error}") from error


def operators(model: onnx.ModelProto) -> Sequence[str]:
    """The kinds of nodes in the graph, each once."""
    return sorted({node.op_type for node in model.graph.node})
