"""upsample_filter: the CPU kernel against plain torch, and plain torch against StyleGAN2's own layers."""

from __future__ import annotations

import pytest
import torch

from stylerig_fast import ops
from stylerig_fast.generators.layers import filter_taps, upfirdn2d
from tests.ops.meshes import needs_kernels
from tests.ops.styled import DTYPES, SIZES, TAPS, rounding, styled_inputs

# Of a sum of eight products that stay below about 20, made in another order.
INNER = 8 * 20 * torch.finfo(torch.float32).eps


@needs_kernels
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("size", [*SIZES, (1, 24, 65, 66)])
def test_the_kernel_is_the_reference(size, dtype):
    inputs = styled_inputs(size, dtype, margin=1)
    for left_out in (None, "noise", "style", "clamp"):
        arguments = {**inputs, **({left_out: None} if left_out else {})}
        found = ops.upsample_filter(**arguments, taps=TAPS, impl="cpu")
        expected = ops.upsample_filter(**arguments, taps=TAPS, impl="reference")
        assert found.dtype == dtype and found.shape == size
        assert found.is_contiguous(memory_format=torch.channels_last)
        assert ((found.float() - expected.float()).abs() <= rounding(expected, INNER)).all(), left_out


def test_the_filter_is_that_of_the_layers():
    x = torch.randn(2, 6, 9, 7)
    for taps in ((1, 3, 3, 1), (4, 1, 2, 3)):
        line = torch.tensor(taps, dtype=torch.float32) / sum(taps) * 2
        filtered = upfirdn2d(x, filter_taps(taps, 2), padding=(1, 1, 1, 1))
        expected = torch.nn.functional.leaky_relu(filtered, 0.2)
        found = ops.upsample_filter(x, line, torch.ones(2, 6), torch.zeros(6), impl="reference")
        torch.testing.assert_close(found, expected, atol=1e-5, rtol=1e-5)


@needs_kernels
def test_out_memory_formats_and_threads():
    inputs = styled_inputs((2, 20, 6, 8), torch.bfloat16, margin=1)
    expected = ops.upsample_filter(**inputs, taps=TAPS, impl="cpu")
    out = torch.empty_like(expected)
    assert ops.upsample_filter(**inputs, taps=TAPS, out=out, impl="cpu") is out
    assert torch.equal(out, expected)
    assert torch.equal(ops.upsample_filter(**{**inputs, "x": inputs["x"].contiguous()}, taps=TAPS), expected)
    before = torch.get_num_threads()
    torch.set_num_threads(3)
    assert torch.equal(ops.upsample_filter(**inputs, taps=TAPS, impl="cpu"), expected)
    torch.set_num_threads(before)


@needs_kernels
@pytest.mark.parametrize("impl", ["cpu", "reference"])
def test_nan_reaches_its_neighbours_only(impl):
    inputs = styled_inputs((1, 18, 6, 6), torch.float32, margin=1)
    for row, column in ((3, 4), (0, 0), (6, 6)):
        x = inputs["x"].clone()
        x[0, 17, row, column] = float("nan")
        found = ops.upsample_filter(**{**inputs, "x": x}, taps=TAPS, impl=impl).isnan().nonzero()
        rows, columns = ([i for i in range(6) if i - 1 <= at <= i + 2] for at in (row, column))
        assert found.tolist() == [[0, 17, i, j] for i in rows for j in columns]


@needs_kernels
@pytest.mark.parametrize("size", [(0, 8, 4, 4), (2, 8, 0, 4), (2, 8, 4, 0)])
def test_nothing(size):
    assert ops.upsample_filter(**styled_inputs(size, torch.float32, margin=1), taps=TAPS, impl="cpu").shape == size


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"x": torch.ones(2, 8, 4)}, r"x has shape \(2, 8, 4\), expected \(B, C, H \+ 1, W \+ 1\)"),
        ({"taps": torch.ones(3)}, "taps has shape"),
        ({"noise": torch.ones(5, 7)}, r"noise has shape \(5, 7\), expected \(4, 6\)"),
        ({"bias": torch.ones(9)}, "bias has shape"),
        ({"taps": torch.ones(4, device="meta")}, "taps is on meta"),
        ({"out": torch.empty(2, 8, 5, 7).contiguous(memory_format=torch.channels_last)}, "out has shape"),
        ({"out": torch.empty(2, 8, 4, 6)}, "out has strides"),
    ],
)
def test_mistakes_are_named(change, message):
    inputs = {**styled_inputs((2, 8, 4, 6), torch.float32, margin=1), "taps": TAPS, **change}
    with pytest.raises(ValueError, match=f"upsample_filter: {message}"):
        ops.upsample_filter(**inputs)


def test_a_gradient_is_refused():
    inputs = styled_inputs((1, 8, 4, 4), torch.float32, margin=1)
    inputs["x"].requires_grad_()
    with pytest.raises(NotImplementedError, match="there is no gradient"):
        ops.upsample_filter(**inputs, taps=TAPS)


@needs_kernels
def test_opcheck():
    inputs = styled_inputs((2, 8, 4, 6), torch.float32, margin=1)
    shared = [inputs[name] for name in ("demodulation", "noise", "bias", "style")]
    x = inputs["x"].permute(0, 2, 3, 1).contiguous()
    torch.library.opcheck(torch.ops.stylerig.upsample_filter, (x, TAPS, *shared, 0.9, torch.empty(2, 4, 6, 8)))
    with pytest.raises(RuntimeError, match="upsample_filter: out"):
        torch.ops.stylerig.upsample_filter(x, TAPS, *shared, 0.9, torch.empty(2, 4, 6, 9))
