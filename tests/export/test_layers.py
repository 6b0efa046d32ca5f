"""Layers of graphs that are not written as the eager ones are."""

from __future__ import annotations

import pytest
import torch
from torch.nn import functional as F

from export.graph import GraphBuilder, check
from export.layers import _subpixel_conv, conv_transpose
from tests.export.torch_runner import run


@pytest.mark.parametrize("stride", [2, 3, 4])
@pytest.mark.parametrize("kernel", [(1, 1), (2, 2), (3, 3), (4, 4), (3, 5), (7, 2)], ids=str)
@pytest.mark.parametrize("crop", [0, 1, (1, 0, 0, 1)], ids=str)
def test_a_transposed_convolution_without_one(stride, kernel, crop):
    torch.manual_seed(0)
    x, weight = torch.randn(2, 3, 5, 4), torch.randn(3, 6, *kernel)
    left, right, top, bottom = (crop,) * 4 if isinstance(crop, int) else crop
    expected = F.conv_transpose2d(x, weight, stride=stride)
    expected = expected[:, :, top : expected.shape[2] - bottom, left : expected.shape[3] - right]
    graph = GraphBuilder("layer")
    graph.output(_subpixel_conv(graph, graph.input("x", 3, 5, 4), weight, stride, crop), "y", *expected.shape[1:])
    model = graph.model()
    check(model)
    torch.testing.assert_close(run(model, x=x), expected)


@pytest.mark.parametrize("precision", [torch.float32, torch.float16, torch.bfloat16], ids=str)
@pytest.mark.parametrize(("groups", "stride"), [(1, (2, 2)), (4, (2, 2)), (4, (1, 2))])
def test_transposed_convolutions_in_every_precision(precision, groups, stride):
    """Products of small integers are exact in all of them."""
    torch.manual_seed(0)
    x = torch.randint(-4, 5, (2, 4, 5, 6)).float()
    weight = torch.randint(-3, 4, (4, 8 // groups, 3, 3)).float()
    expected = F.conv_transpose2d(x, weight, stride=stride, groups=groups)
    graph = GraphBuilder("layer", precision)
    y = conv_transpose(graph, graph.low(graph.input("x", 4, 5, 6)), weight, stride, groups=groups)
    graph.output(graph.full(y), "y", *expected.shape[1:])
    model = graph.model()
    check(model)
    assert float(expected.abs().max()) <= 256
    torch.testing.assert_close(run(model, x=x), expected, rtol=0, atol=0)
