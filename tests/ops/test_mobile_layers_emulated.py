"""The CUDA kernels of depthwise_layer and picture_layer, executed on the CPU by the emulator; see conftest.py."""

from __future__ import annotations

import pytest
import torch

from stylerig_fast.generators.compiled.mobilestylegan_cuda import MobileCudaSynthesis
from stylerig_fast.images import to_uint8
from stylerig_fast.ops import _library
from stylerig_fast.ops.reference import depthwise_layer, picture_layer
from tests.ops.mobile_layers import (
    DTYPES,
    SIZES,
    in_double,
    layer_bound,
    layer_inputs,
    new_picture,
    picture_bound,
    picture_inputs,
)
from tests.ops.mobile_networks import codes, small


def run_layer(emulated, inputs, dtype=None):
    bands, x, weight = inputs["bands"], inputs["x"], inputs["weight"]
    scale = 1 if bands is None else 2
    out = torch.full((len(x), scale * x.shape[1], scale * x.shape[2], weight.shape[2]), 99.0, dtype=dtype or x.dtype)
    emulated.depthwise_layer(x, inputs["noise"], inputs["bias"], bands, weight, inputs["style"], out)
    return out


def run_picture(emulated, inputs, dtype=torch.float32):
    picture = new_picture(inputs, dtype)
    names = ("x", "noise", "bias", "style", "weight", "final_bias")
    emulated.picture_layer(*(inputs[name] for name in names), picture)
    return picture


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("bands", [False, True])
@pytest.mark.parametrize("size", SIZES)
def test_depthwise_layer(emulated, size, bands, dtype):
    for noise in (True, False):
        inputs = layer_inputs(size, dtype, bands)
        inputs["noise"] = inputs["noise"] if noise else None
        expected = depthwise_layer.depthwise_layer(**in_double(inputs), dtype=torch.float64)
        difference = (run_layer(emulated, inputs).double() - expected).abs()
        assert (difference <= layer_bound(inputs, expected)).all()


@pytest.mark.parametrize(("size", "bands"), [((18, 33, 70, 8), False), ((18, 17, 35, 8), True)])
def test_depthwise_layer_in_large_tiles(emulated, size, bands):
    """Work for more than a large GPU takes at a time."""
    inputs = layer_inputs(size, torch.float16, bands)
    expected = depthwise_layer.depthwise_layer(**in_double(inputs), dtype=torch.float64)
    difference = (run_layer(emulated, inputs).double() - expected).abs()
    assert (difference <= layer_bound(inputs, expected)).all()


@pytest.mark.parametrize("bands", [False, True])
@pytest.mark.parametrize("dtype", DTYPES)
def test_float32_to_any_precision(emulated, dtype, bands):
    inputs = layer_inputs((2, 4, 4, 8), torch.float32, bands)
    assert torch.equal(run_layer(emulated, inputs, dtype), run_layer(emulated, inputs).to(dtype))


@pytest.mark.parametrize("bands", [False, True])
def test_tables_and_activations_that_are_not_aligned(emulated, bands):
    inputs = layer_inputs((2, 4, 4, 8), torch.float32, bands)
    expected = run_layer(emulated, inputs)
    for name in ("bias", "weight", "x"):
        moved = torch.cat([torch.zeros(1), inputs[name].flatten()])[1:].view(inputs[name].shape)
        assert torch.equal(run_layer(emulated, {**inputs, name: moved}), expected)
    wide = torch.nn.functional.pad(inputs["style"], (0, 1))[:, :-1]
    assert torch.equal(run_layer(emulated, {**inputs, "style": wide}), expected)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("outputs", [3, 12])
@pytest.mark.parametrize("size", [*SIZES, (2, 19, 17, 64)])
def test_picture_layer(emulated, size, outputs, dtype):
    for noise in (True, False):
        inputs = picture_inputs(size, dtype, outputs)
        inputs["noise"] = inputs["noise"] if noise else None
        expected = picture_layer.picture_layer(**in_double(inputs))
        found = run_picture(emulated, inputs)
        assert (found.double() - expected).abs().max() <= picture_bound(inputs)
        assert torch.equal(run_picture(emulated, inputs, torch.uint8), to_uint8(found))


def test_nan_stays_where_it_is(emulated):
    inputs = layer_inputs((1, 6, 6, 8), torch.float32, bands=False)
    inputs["x"][0, 2, 3, 5] = float("nan")
    found = run_layer(emulated, inputs).isnan().nonzero().tolist()
    assert found == [[0, y, x, 5] for y in (1, 2, 3) for x in (2, 3, 4)]
    inputs = picture_inputs((1, 2, 2, 8), torch.float32, 12)
    inputs["x"][0, 1, 0, 5] = float("nan")
    assert run_picture(emulated, inputs).isnan().any(-1)[0].nonzero().tolist() == [[2, 0], [2, 1], [3, 0], [3, 1]]
    assert (run_picture(emulated, inputs, torch.uint8)[0, 2:, :2] == 0).all()


def test_nothing(emulated):
    for size in ((0, 4, 4, 8), (2, 0, 4, 8)):
        assert run_layer(emulated, layer_inputs(size, torch.float32, bands=True)).numel() == 0
        assert run_picture(emulated, picture_inputs(size, torch.float32, 12)).numel() == 0


@pytest.mark.parametrize("dtype", DTYPES)
def test_the_whole_network(emulated, dtype, monkeypatch):
    """Kernels as on CUDA, against the same network in plain torch."""
    generator = small((16, 8, 20))
    ws = codes(generator, 2)
    expected = {r: MobileCudaSynthesis(generator, dtype, impl="reference").synthesis(ws, r) for r in (32, 16, 8)}
    monkeypatch.setattr(_library, "choose", lambda *_: "cuda")
    monkeypatch.setattr(torch.ops, "stylerig", emulated)
    network = MobileCudaSynthesis(generator, dtype)
    assert network.kernels == "cuda"
    for resolution, wanted in expected.items():
        found = network.synthesis(ws, resolution)
        # A value near the middle of two of its type may be rounded the other way.
        bound = 1e-5 if dtype == torch.float32 else 2 * torch.finfo(dtype).eps
        assert (found - wanted).abs().max() <= bound * wanted.abs().max()
        assert torch.equal(network.pictures(ws, resolution), to_uint8(found.permute(0, 2, 3, 1)))
