"""StyleGAN2 as a graph: the eager module as it is, the strength of the noise multiplied into its maps."""

from __future__ import annotations

import copy
from typing import Any

import torch

from stylerig_fast.generators.base import Generator
from stylerig_fast.generators.stylegan2 import StyleGAN2

from ..graph import GraphBuilder, Value
from ..layers import clip, leaky_relu, modulated_conv, slot, upfirdn2d
from ..picture import resized


def synthesis(graph: GraphBuilder, generator: Generator, ws: Value, resolution: int) -> Value:
    """The picture ``(B, 3, resolution, resolution)`` in float32 of the codes ``ws``."""
    assert isinstance(generator, StyleGAN2)
    net: Any = copy.deepcopy(generator).set_precision(graph.precision)
    codes = [slot(graph, ws, index) for index in range(generator.num_ws)]
    x = graph.constant("const", net.const[None], graph.precision)
    image: Value | None = None
    for i, block in enumerate(net.blocks):
        with graph.scope(f"blocks.{i}"):
            here = codes[max(2 * i - 1, 0) : 2 * i + 2]
            for j, (layer, w) in enumerate(zip(block.convs, here, strict=False)):
                with graph.scope(f"convs.{j}"):
                    x = _styled_conv(graph, x, w, layer)
            with graph.scope("to_rgb"):
                shown = _to_rgb(graph, x, here[-1], block.to_rgb)
            image = shown if image is None else graph.op("Add", _doubled(graph, image, block.taps), shown)
    assert image is not None
    return resized(graph, image, generator.resolution, resolution)


def _styled_conv(graph: GraphBuilder, x: Value, w: Value, layer: Any) -> Value:
    with graph.scope("conv"):
        x = modulated_conv(graph, x, w, layer.conv)
    noise = (layer.noise.float() * layer.noise_strength.float())[None, None]
    x = graph.op("Add", x, graph.constant("noise", noise, graph.precision))
    x = graph.op("Add", x, graph.constant("bias", layer.bias[:, None, None], graph.precision))
    return leaky_relu(graph, x, layer.clamp)


def _to_rgb(graph: GraphBuilder, x: Value, w: Value, layer: Any) -> Value:
    image = modulated_conv(graph, x, w, layer.conv)
    image = graph.op("Add", image, graph.constant("bias", layer.bias[:, None, None]))
    return image if layer.clamp is None else clip(graph, image, layer.clamp, torch.float32)


def _doubled(graph: GraphBuilder, image: Value, taps: torch.Tensor) -> Value:
    """A picture at twice its resolution."""
    n = taps.shape[0]
    before, after = (n + 1) // 2, (n - 2) // 2
    with graph.scope("up"), graph.in_precision(torch.float32):
        return upfirdn2d(graph, image, 3, taps, up=2, padding=(before, after, before, after))
