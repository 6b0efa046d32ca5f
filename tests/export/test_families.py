"""The synthesis network of every family as a graph, against the eager module."""

from __future__ import annotations

import copy
from functools import cache

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from torch import Tensor

from export.families import FAMILIES, synthesis
from export.graph import GraphBuilder, check
from stylerig_fast.errors import ExportError
from stylerig_fast.generators import Generator
from stylerig_fast.generators.folder import FAMILIES as ALL
from stylerig_fast.generators.stylegan2 import StyleGAN2
from tests.export.small import MAKERS, small_generator
from tests.export.torch_runner import psnr, run

FAMILY = pytest.mark.parametrize("name", MAKERS)


@cache
def generator(name: str) -> Generator:
    return small_generator(name)


def exported(name: str, precision: torch.dtype = torch.float32, resolution: int = 0, batch: int | None = None):
    """The picture, float32, not yet in levels."""
    net = generator(name)
    size = resolution or net.resolution
    graph = GraphBuilder("picture", precision, batch)
    graph.output(synthesis(graph, net, graph.input("ws", net.num_ws, net.w_dim), size), "image", 3, size, size)
    model = graph.model()
    check(model)
    return model


def runtime(model: onnx.ModelProto, **inputs: Tensor) -> Tensor:
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    return torch.from_numpy(session.run(None, {name: value.numpy() for name, value in inputs.items()})[0])


def test_every_family_that_loads_can_be_exported():
    assert set(FAMILIES) == set(ALL)


@FAMILY
@pytest.mark.parametrize("part", [1, 2, 8])
def test_parity_in_float32(name, part):
    net = generator(name)
    size = net.resolution // part
    ws = net.sample(2, seed=0, psi=1)
    expected = net.synthesis(ws, size)
    for images in (runtime(exported(name, resolution=size), ws=ws), run(exported(name, resolution=size), ws=ws)):
        assert images.shape == expected.shape
        # A tenth of what is asked of a converted checkpoint; sums differ in their order.
        assert float((images - expected).abs().max()) <= 1e-4 * float(expected.std())


@FAMILY
@pytest.mark.parametrize("precision", [torch.float16, torch.bfloat16], ids=["fp16", "bf16"])
def test_parity_in_less(name, precision):
    net = generator(name)
    ws = net.sample(2, seed=1, psi=1)
    expected = net.synthesis(ws)
    images = run(exported(name, precision), ws=ws)
    assert images.dtype == torch.float32
    # With pictures from -1 to 1, as levels from 0 to 255 would have.
    figure = psnr(images, expected, 2 * float(expected.std()) / 0.25)
    print(f"{name} {precision}: PSNR {figure:.1f} dB, largest {float((images - expected).abs().max()):.4f}")
    assert figure >= (55 if precision == torch.float16 else 40)
    if precision == torch.float16:
        torch.testing.assert_close(runtime(exported(name, precision), ws=ws), images, rtol=0, atol=0.05)


@pytest.mark.parametrize("name", ["stylegan1", "stylegan2", "stylegan2-clamp"])
def test_as_good_as_eager_in_bfloat16(name):
    """Not so of StyleGAN3, whose eager module filters in float32 on the CPU."""
    net = generator(name)
    rounded = copy.deepcopy(net).set_precision(torch.bfloat16)
    ws = net.sample(2, seed=1, psi=1)
    expected, eager = net.synthesis(ws), rounded.synthesis(ws)
    images = run(exported(name, torch.bfloat16), ws=ws)
    ours, theirs = (float((x - expected).square().mean().sqrt()) for x in (images, eager))
    assert ours <= 2 * theirs


@FAMILY
def test_one_batch_or_any(name):
    net = generator(name)
    ws = net.sample(3, seed=2)
    expected = net.synthesis(ws).numpy()
    for model in (exported(name), exported(name, batch=3)):
        np.testing.assert_allclose(runtime(model, ws=ws), expected, atol=1e-4 * expected.std(), rtol=0)
    with pytest.raises(Exception, match="(?i)invalid dimensions|got invalid"):
        runtime(exported(name, batch=3), ws=ws[:2])


def test_styles_stay_float32_and_weights_are_in_the_precision():
    model = exported("stylegan2", torch.bfloat16)
    types = {tensor.name: tensor.data_type for tensor in model.graph.initializer}
    weights = {node.op_type: types[node.input[1]] for node in model.graph.node if node.op_type in ("Conv", "Gemm")}
    assert weights == {"Conv": onnx.TensorProto.BFLOAT16, "Gemm": onnx.TensorProto.FLOAT}


def test_noise_is_kept_once():
    """Noise times strength would be as many maps as there are channels, in the file or in the runtime's memory."""
    for name in MAKERS:
        maps = [tensor for tensor in exported(name).graph.initializer if ".noise" in tensor.name]
        assert all(list(tensor.dims)[:2] == [1, 1] for tensor in maps)
        assert bool(maps) == (not name.startswith("stylegan3"))


def test_weights_beyond_float16():
    net = small_generator("mobilestylegan")
    net.get_parameter("blocks.0.conv1.weight")[0, 0] = 1e5
    graph = GraphBuilder("picture", torch.float16)
    with pytest.raises(ExportError, match=r"blocks\.0\.conv1\.weight: its largest value, 1e\+05, is not finite"):
        synthesis(graph, net, graph.input("ws", net.num_ws, 512), net.resolution)


def test_an_unknown_family():
    class Other(StyleGAN2):
        family = "stylegan9"

    net = Other(channels=(4, 4, 4, 4))
    with pytest.raises(ExportError, match="'stylegan9' have no export form, only mobilestylegan, stylegan1"):
        synthesis(GraphBuilder("picture"), net, "ws", 32)
