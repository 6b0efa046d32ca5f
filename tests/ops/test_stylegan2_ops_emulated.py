"""The CUDA kernels of styled_epilogue and upsample_filter, executed on the CPU by the emulator; see conftest.py."""

from __future__ import annotations

import pytest
import torch

from stylerig_fast import ops
from stylerig_fast.images import to_uint8
from tests.ops.styled import DTYPES, SIZES, TAPS, image_bound, rounding, styled_inputs, to_rgb

# Whole packs of sixteen bytes with tables that are aligned to them, too.
ALIGNED = [(1, 32, 6, 10), (2, 64, 4, 4), (1, 272, 2, 4)]


def aligned(inputs, width):
    """The tables as parts of ones whose rows start at whole packs."""
    return {
        name: torch.nn.functional.pad(value, (0, width - value.shape[-1]))[..., : value.shape[-1]]
        if name in ("demodulation", "style")
        else value
        for name, value in inputs.items()
    }


def cases(size, dtype, margin=0):
    inputs = styled_inputs(size, dtype, margin)
    yield inputs
    if size in ALIGNED:
        yield aligned(inputs, size[1] + 4)
    yield {**inputs, "noise": None, "style": None, "clamp": None}


def arguments(inputs):
    """``x``, the tables and the clamp as the kernels take them."""
    limit = float("inf") if inputs["clamp"] is None else inputs["clamp"]
    tables = [inputs[name] for name in ("demodulation", "noise", "bias", "style")]
    return inputs["x"].permute(0, 2, 3, 1).contiguous(), tables, limit


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("size", [*SIZES, *ALIGNED])
def test_styled_epilogue(emulated, size, dtype):
    skip = size[2] % 2 == size[3] % 2 == 0
    for inputs in cases(size, dtype):
        expected = torch.empty_like(inputs["x"])
        ops.styled_epilogue(**inputs, out=expected, impl="reference")
        out = torch.empty(size[0], *size[2:], size[1], dtype=dtype)
        x, tables, limit = arguments(inputs)
        emulated.styled_epilogue(x, *tables, None, None, None, TAPS, limit, out, None)
        assert torch.equal(out.permute(0, 3, 1, 2), expected)
        rgb = to_rgb(size, skip)
        wide = torch.nn.functional.pad(rgb.weight, (0, 4 - size[1] % 4))[..., : size[1]]
        for weight in (rgb.weight, wide):
            wanted, image = torch.empty(size[0], *size[2:], 3), torch.empty(size[0], *size[2:], 3)
            pixels = torch.empty(image.shape, dtype=torch.uint8)
            ops.styled_epilogue(**inputs, rgb=rgb, image=wanted, impl="reference")
            picture = (weight, rgb.bias, rgb.skip, TAPS, limit)
            emulated.styled_epilogue(x, *tables, *picture, out, image)
            emulated.styled_epilogue(x, *tables, *picture, None, pixels)
            scale = 1 if inputs["clamp"] else 20  # without a clamp, activations are up to 20 times as large
            assert (image - wanted).abs().max() < scale * image_bound(rgb)
            assert torch.equal(out.permute(0, 3, 1, 2), expected)
            assert torch.equal(pixels, to_uint8(image))


def test_styled_epilogue_in_place(emulated):
    inputs = styled_inputs((1, 32, 6, 10), torch.bfloat16)
    x, tables, limit = arguments(inputs)
    ops.styled_epilogue(**inputs, out=inputs["x"], impl="reference")
    emulated.styled_epilogue(x, *tables, None, None, None, TAPS, limit, x, None)
    assert torch.equal(x.permute(0, 3, 1, 2), inputs["x"])


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("size", [*SIZES, *ALIGNED, (1, 4, 17, 9)])
def test_upsample_filter(emulated, size, dtype):
    for inputs in cases(size, dtype, margin=1):
        expected = ops.upsample_filter(**inputs, taps=TAPS, impl="reference")
        out = torch.empty(size[0], *size[2:], size[1], dtype=dtype)
        x, tables, limit = arguments(inputs)
        emulated.upsample_filter(x, TAPS, *tables, limit, out)
        difference = (out.permute(0, 3, 1, 2).float() - expected.float()).abs()
        assert (difference <= rounding(expected, 8 * 20 * torch.finfo(torch.float32).eps)).all()


def test_nan_and_nothing(emulated):
    inputs = styled_inputs((1, 8, 6, 6), torch.float32, margin=1)
    inputs["x"][0, 5, 0, 3] = float("nan")
    x, tables, limit = arguments(inputs)
    out = torch.empty(1, 6, 6, 8)
    emulated.upsample_filter(x, TAPS, *tables, limit, out)
    expected = ops.upsample_filter(**inputs, taps=TAPS, impl="reference")
    assert torch.equal(out.permute(0, 3, 1, 2).isnan(), expected.isnan())
    empty = styled_inputs((2, 8, 0, 4), torch.float32)
    x, tables, limit = arguments(empty)
    emulated.styled_epilogue(x, *tables, None, None, None, TAPS, limit, torch.empty_like(x), None)
