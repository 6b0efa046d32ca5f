"""The operators that TensorRT reads, as far as exports use them.

Source: docs/operators.md of the project onnx-tensorrt, in its version for TensorRT 10.15 ("TensorRT 10.15 supports
operators in the inclusive range of opset 9 to opset 24"), read on 2026-11-22. For TensorRT 11, NVIDIA's "ONNX Opset
Guide" points to the same list, up to operator set 25.
"""

from __future__ import annotations

OPSETS = range(9, 25)

_FLOATS = {"FLOAT", "FLOAT16", "BFLOAT16"}
_INTEGERS = {"INT32", "INT64"}

# Types of the operands, by operator. Restrictions that the list names and that matter here: axes of reductions must be
# initializers; pooling in two or three dimensions; UINT8 only as input or output of the network.
SUPPORTED = {
    "Abs": _FLOATS | _INTEGERS,
    "Add": _FLOATS | _INTEGERS,
    "AveragePool": _FLOATS,
    "Cast": _FLOATS | _INTEGERS | {"UINT8", "BOOL"},
    "Clip": _FLOATS,
    "Concat": _FLOATS | _INTEGERS | {"BOOL"},
    "Conv": _FLOATS,
    "ConvTranspose": _FLOATS,
    "DepthToSpace": _FLOATS | _INTEGERS,
    "Div": _FLOATS | _INTEGERS,
    "Elu": _FLOATS,
    "Flatten": _FLOATS | _INTEGERS | {"BOOL"},
    "Gather": _FLOATS | _INTEGERS | {"BOOL"},
    "Gemm": _FLOATS,
    "LeakyRelu": _FLOATS,
    "MatMul": _FLOATS,
    "Max": _FLOATS | _INTEGERS,
    "Mul": _FLOATS | _INTEGERS,
    "Neg": _FLOATS | _INTEGERS,
    "Pad": _FLOATS | _INTEGERS,
    "ReduceMax": _FLOATS | _INTEGERS,
    "ReduceMean": _FLOATS | _INTEGERS,
    "ReduceSum": _FLOATS | _INTEGERS,
    "Reshape": _FLOATS | _INTEGERS | {"BOOL"},
    "Round": _FLOATS,
    "Sin": _FLOATS,
    "Slice": _FLOATS | _INTEGERS | {"BOOL"},
    "Sqrt": _FLOATS,
    "Squeeze": _FLOATS | _INTEGERS | {"BOOL"},
    "Sub": _FLOATS | _INTEGERS,
    "Transpose": _FLOATS | _INTEGERS | {"BOOL"},
    "Unsqueeze": _FLOATS | _INTEGERS | {"BOOL"},
}
