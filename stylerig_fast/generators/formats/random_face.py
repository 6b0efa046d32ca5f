"""MobileStyleGAN-FFHQ as the PyPI package ``random-face`` ships it: two networks in OpenVINO IR.

Names of constants carry the layers' names; what has none (1x1 weights with the demodulation folded in, noise maps) is
found by walking the graph from one that has.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from stylerig_fast.generators.formats.openvino_ir import Node, OpenVINOGraph
from stylerig_fast.generators.mobilestylegan import CHANNELS

FILES = ("MappingNetwork.xml", "MappingNetwork.bin", "SynthesisNetwork.xml", "SynthesisNetwork.bin")


def read_random_face(folder: Path) -> dict[str, Tensor]:
    """The state of a `MobileStyleGAN` (but for ``w_mean``) from the package's ``data`` folder.

    Raises:
        CheckpointError: a file is missing, damaged, or of another network.
    """
    mapping = OpenVINOGraph(folder / "MappingNetwork.xml", folder / "MappingNetwork.bin")
    synthesis = OpenVINOGraph(folder / "SynthesisNetwork.xml", folder / "SynthesisNetwork.bin")
    arrays = _mapping(mapping) | _synthesis(synthesis)
    return {name: torch.from_numpy(np.ascontiguousarray(value)) for name, value in arrays.items()}


def _mapping(graph: OpenVINOGraph) -> dict[str, np.ndarray]:
    state = {}
    products = [node for node in graph.nodes.values() if node.type == "MatMul"]
    for i, product in enumerate(products):
        bias = graph.input(graph.consumer(product, "Add"), "Reshape")
        state[f"mapping_layers.{i}.weight"] = graph.constant(graph.input(product, "Const"))
        state[f"mapping_layers.{i}.bias"] = graph.constant(graph.input(bias, "Const"))
    return state


def _synthesis(graph: OpenVINOGraph) -> dict[str, np.ndarray]:
    state = {"first.const": graph.constant("m.input.input")}
    state |= _conv(graph, "m.conv1", "first", CHANNELS[0])
    for i, below in enumerate(CHANNELS[:-1]):
        source, target = f"m.layers.{i}", f"blocks.{i}"
        weight, bias = _modulation(graph, f"{source}.up")
        # The orthonormal inverse Haar transform halves; ours does not, so that the halves go in here.
        order = _band_order(below)
        state[f"{target}.up.weight"], state[f"{target}.up.bias"] = weight[order] / 2, bias[order] / 2
        for conv in ("conv1", "conv2"):
            # The bands of the next upsampling, if there is one, come out of the second convolution.
            bands = CHANNELS[i + 1] if conv == "conv2" and i + 2 < len(CHANNELS) else 0
            state |= _conv(graph, f"{source}.{conv}", f"{target}.{conv}", bands)
            depthwise = graph.constant(f"{source}.{conv}.conv.weight_dw")
            state[f"{target}.{conv}.depthwise"] = depthwise.reshape(-1, 1, 3, 3)
    last = f"m.layers.{len(CHANNELS) - 2}.to_img"
    weight, bias = _modulation(graph, f"{last}.conv")
    order = _band_order(12)
    state["to_image.modulation.weight"], state["to_image.modulation.bias"] = weight, bias
    state["to_image.weight"] = graph.constant(f"{last}.conv.weight").reshape(12, -1)[order] / 2
    state["to_image.bias"] = graph.constant(f"{last}.bias").reshape(12)[order] / 2
    return state


def _conv(graph: OpenVINOGraph, source: str, target: str, bands: int) -> dict[str, np.ndarray]:
    """A styled convolution; the order of its outputs becomes that of `inverse_haar` if ``bands`` of them are bands."""
    bias = graph.node(f"{source}.bias")
    noisy = graph.input(graph.consumer(bias, "Add"), "Add")
    conv = graph.input(noisy, "Convolution")
    weight = graph.constant(graph.input(conv, "Const"))
    if weight.shape[-1] == 1:
        weight = weight[:, :, 0, 0]
    order = _band_order(bands) if bands else slice(None)
    modulation_weight, modulation_bias = _modulation(graph, f"{source}.conv")
    return {
        f"{target}.modulation.weight": modulation_weight,
        f"{target}.modulation.bias": modulation_bias,
        f"{target}.weight": weight[order],
        f"{target}.bias": graph.constant(bias).reshape(-1)[order],
        f"{target}.noise": graph.constant(graph.input(noisy, "Const"))[0, 0, :, :, None],
    }


def _modulation(graph: OpenVINOGraph, source: str) -> tuple[np.ndarray, np.ndarray]:
    """Weight and bias of a layer's modulation, with the factor that follows it folded in."""
    weight, bias = graph.constant(f"{source}.modulation.weight"), graph.node(f"{source}.modulation.bias")
    scaled: Node = graph.consumer(graph.consumer(graph.consumer(bias, "Add"), "Reshape"), "Multiply")
    factors = graph.inputs(scaled, "Const")
    scale = graph.constant(factors[0]).reshape(()) if factors else np.float32(1)
    return weight * scale, graph.constant(bias).reshape(-1) * scale


def _band_order(channels: int) -> np.ndarray:
    """Where the channels of ``[low (C/4), (C/4) x (rows, columns, both)]`` go to have one band after the other."""
    low = channels // 4
    return np.concatenate([np.arange(low), *(low + k + 3 * np.arange(low) for k in range(3))])
