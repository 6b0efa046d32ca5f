"""Runs the operators of exported graphs with torch: a second opinion, and the only one on the CPU in bfloat16."""

from __future__ import annotations

import math

import onnx
import torch
from onnx import numpy_helper
from torch import Tensor
from torch.nn import functional as F

DTYPES = {1: torch.float32, 2: torch.uint8, 7: torch.int64, 10: torch.float16, 16: torch.bfloat16}


@torch.no_grad()
def run(model: onnx.ModelProto, **inputs: Tensor) -> Tensor:
    """The one output of a model."""
    values = {tensor.name: _tensor(tensor) for tensor in model.graph.initializer} | inputs
    left = dict.fromkeys(values, 0)
    for node in model.graph.node:
        for name in node.input:
            left[name] = left.get(name, 0) + 1
    for node in model.graph.node:
        attributes = {each.name: onnx.helper.get_attribute_value(each) for each in node.attribute}
        x = [values[name] for name in node.input]
        values[node.output[0]] = OPERATORS[node.op_type](*x, **attributes)
        for name in node.input:  # memory
            left[name] -= 1
            if not left[name]:
                del values[name]
    return values[model.graph.output[0].name]


def _tensor(tensor: onnx.TensorProto) -> Tensor:
    if tensor.data_type == onnx.TensorProto.BFLOAT16:
        raw = torch.frombuffer(bytearray(tensor.raw_data), dtype=torch.bfloat16)
        return raw.reshape(list(tensor.dims))
    return torch.from_numpy(numpy_helper.to_array(tensor).copy())


def _conv(x, weight, bias=None, *, group, kernel_shape, pads, strides):
    assert list(weight.shape[2:]) == kernel_shape
    top, left, bottom, right = pads
    return F.conv2d(F.pad(x, (left, right, top, bottom)), weight, bias, strides, groups=group)


def _conv_transpose(x, weight, *, group, kernel_shape, pads, strides):
    top, left, bottom, right = pads
    x = F.conv_transpose2d(x, weight, stride=strides, groups=group)
    return x[:, :, top : x.shape[2] - bottom, left : x.shape[3] - right]


def _slice(x, starts, ends, axes, steps=None):
    steps = torch.ones_like(starts) if steps is None else steps
    for start, end, axis, step in zip(*(n.tolist() for n in (starts, ends, axes, steps)), strict=True):
        x = x[(slice(None),) * axis + (slice(start, min(end, x.shape[axis]), step),)]
    return x


def _pad(x, pads, *, mode):
    top, left, bottom, right = (pads.tolist()[i] for i in (2, 3, 6, 7))
    return F.pad(x, (left, right, top, bottom))


def _depth_to_space(x, *, blocksize, mode):
    assert mode == b"DCR"
    b, c, h, w = x.shape
    x = x.view(b, blocksize, blocksize, c // blocksize**2, h, w).permute(0, 3, 4, 1, 5, 2)
    return x.reshape(b, c // blocksize**2, h * blocksize, w * blocksize)


def _reduce(function):
    return lambda x, axes, *, keepdims: function(x, axes.tolist(), keepdim=bool(keepdims))


def _unsqueeze(x, axes):
    for axis in axes.tolist():
        x = x.unsqueeze(axis)
    return x


OPERATORS = {
    "Abs": torch.abs,
    "Add": torch.add,
    "AveragePool": lambda x, *, kernel_shape, strides: F.avg_pool2d(x, kernel_shape, strides),
    "Cast": lambda x, *, to: x.to(DTYPES[to]),
    "Clip": torch.clamp,
    "Concat": lambda *x, axis: torch.cat(x, axis),
    "Conv": _conv,
    "ConvTranspose": _conv_transpose,
    "DepthToSpace": _depth_to_space,
    "Div": torch.div,
    "Elu": F.elu,
    "Flatten": lambda x, *, axis: x.flatten(axis),
    "Gather": lambda x, index, *, axis: x.index_select(axis, index),
    "Gemm": lambda x, weight, bias=0.0, *, transB: x @ weight.mT + bias,
    "LeakyRelu": lambda x, *, alpha: F.leaky_relu(x, alpha),
    "MatMul": torch.matmul,
    "Max": torch.maximum,
    "Mul": torch.mul,
    "Neg": torch.neg,
    "Pad": _pad,
    "ReduceMax": _reduce(torch.amax),
    "ReduceMean": _reduce(torch.mean),
    "ReduceSum": _reduce(torch.sum),
    "Reshape": lambda x, shape: x.reshape(shape.tolist()),
    "Round": torch.round,
    "Sin": torch.sin,
    "Slice": _slice,
    "Sqrt": torch.sqrt,
    "Squeeze": lambda x, axes: x.squeeze(axes.tolist()),
    "Sub": torch.sub,
    "Transpose": lambda x, *, perm: x.permute(perm),
    "Unsqueeze": _unsqueeze,
}


def psnr(images: Tensor, expected: Tensor, peak: float) -> float:
    """In dB."""
    error = float((images.double() - expected.double()).square().mean())
    return math.inf if error == 0 else 10 * math.log10(peak**2 / error)
