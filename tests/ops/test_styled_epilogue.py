"""styled_epilogue: the CPU kernel against plain torch, and plain torch against StyleGAN2's own layers."""

from __future__ import annotations

import pytest
import torch

from stylerig_fast import ops
from stylerig_fast.generators.layers import filter_taps, upfirdn2d
from stylerig_fast.images import to_uint8
from stylerig_fast.ops import _library
from stylerig_fast.ops.reference.styled_epilogue import double
from tests.ops.meshes import needs_kernels
from tests.ops.styled import DTYPES, SIZES, TAPS, image_bound, styled_inputs, to_rgb


def run(impl, inputs, rgb=None, image=None):
    out = torch.full(inputs["x"].shape, 7.0, dtype=inputs["x"].dtype).contiguous(memory_format=torch.channels_last)
    ops.styled_epilogue(**inputs, out=out, rgb=rgb, image=image, impl=impl)
    return out


@needs_kernels
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("size", SIZES)
def test_activations_are_those_of_the_reference(size, dtype):
    inputs = styled_inputs(size, dtype)
    assert torch.equal(run("cpu", inputs), run("reference", inputs))
    for name in ("noise", "style", "clamp"):
        without = {**inputs, name: None}
        assert torch.equal(run("cpu", without), run("reference", without)), name


@needs_kernels
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("size", [(1, 16, 4, 4), (2, 37, 2, 18), (1, 264, 6, 2), (1, 3, 64, 48)])
@pytest.mark.parametrize("skip", [False, True])
def test_pictures_are_those_of_the_reference(size, dtype, skip):
    inputs, rgb = styled_inputs(size, dtype), to_rgb(size, skip)
    pictures, pixels = [], []
    for impl in ("cpu", "reference"):
        image = torch.empty(size[0], *size[2:], 3)
        assert torch.equal(run(impl, inputs, rgb, image), run("reference", inputs))
        pictures.append(image)
        pixels.append(torch.empty(image.shape, dtype=torch.uint8))
        # Without activations, as behind the last layer.
        ops.styled_epilogue(**inputs, rgb=rgb, image=pixels[-1], impl=impl)
    assert (pictures[0] - pictures[1]).abs().max() < image_bound(rgb)
    assert torch.equal(pixels[0], to_uint8(pictures[0]))
    assert (pixels[0].int() - pixels[1].int()).abs().max() <= 1


@needs_kernels
def test_in_place_and_other_memory_formats():
    inputs = styled_inputs((2, 20, 5, 6), torch.float32)
    expected = run("reference", inputs)
    scattered = torch.zeros(2, 20, 5, 12)[..., ::2].copy_(inputs["x"])
    assert torch.equal(run("cpu", {**inputs, "x": scattered}), expected)
    assert torch.equal(run("cpu", {**inputs, "x": inputs["x"].contiguous()}), expected)
    ops.styled_epilogue(**inputs, out=inputs["x"], impl="cpu")
    assert torch.equal(inputs["x"], expected)


@needs_kernels
def test_more_than_a_million_pixels_by_several_threads():
    size = (1, 4, 1030, 1026)
    inputs, rgb = styled_inputs(size, torch.bfloat16), to_rgb(size)
    results = []
    for threads in (1, 3):
        before = torch.get_num_threads()
        torch.set_num_threads(threads)
        image = torch.empty(1, 1030, 1026, 3, dtype=torch.uint8)
        results.append((run("cpu", inputs, rgb, image), image))
        torch.set_num_threads(before)
    assert all(torch.equal(a, b) for a, b in zip(*results, strict=True))
    assert torch.equal(results[0][0], run("reference", inputs))


@needs_kernels
@pytest.mark.parametrize("impl", ["cpu", "reference"])
@pytest.mark.parametrize("dtype", DTYPES)
def test_nan_and_infinity(impl, dtype):
    """NaN stays where it is: in its activation, in its pixel, which is black."""
    size = (1, 18, 4, 4)
    inputs, rgb = styled_inputs(size, dtype), to_rgb(size)
    inputs["x"][0, 3, 1, 2] = float("nan")
    inputs["x"][0, 4, 0, 0] = float("inf")
    image, pixels = torch.empty(1, 4, 4, 3), torch.empty(1, 4, 4, 3, dtype=torch.uint8)
    out = run(impl, inputs, rgb, image)
    run(impl, inputs, rgb, pixels)
    assert out.isnan().nonzero().tolist() == [[0, 3, 1, 2]]
    assert image.isnan().nonzero().tolist() == [[0, 1, 2, k] for k in range(3)]
    assert pixels[0, 1, 2].tolist() == [0, 0, 0]
    assert torch.isclose(out[0, 4, 0, 0].float(), 0.9 * inputs["style"][0, 4], rtol=1e-2)


@needs_kernels
@pytest.mark.parametrize("size", [(0, 8, 4, 4), (2, 8, 0, 4), (2, 8, 4, 0)])
def test_nothing(size):
    rgb, image = to_rgb(size), torch.empty(size[0], *size[2:], 3)
    assert run("cpu", styled_inputs(size, torch.float32), rgb, image).shape == size


def test_doubling_is_that_of_the_layers():
    skip = torch.randn(2, 5, 4, 3)
    for taps in ((1, 3, 3, 1), (4, 1, 2, 3)):
        line = torch.tensor(taps, dtype=torch.float32) / sum(taps) * 2
        expected = upfirdn2d(skip.permute(0, 3, 1, 2), filter_taps(taps, 2), up=2, padding=(2, 1, 2, 1))
        torch.testing.assert_close(double(skip, line).permute(0, 3, 1, 2), expected)


def test_bytes_are_rounded_to_even():
    values = torch.tensor([-2.0, 2.0, float("nan"), float("inf"), -float("inf"), 0.0, -1 / 3])
    assert to_uint8(values).tolist() == [0, 255, 0, 255, 0, 128, 85]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"demodulation": torch.ones(2, 7)}, r"demodulation has shape \(2, 7\), expected \(B, C\) with B = 2, C = 8"),
        ({"style": torch.ones(2, 8, dtype=torch.float64)}, "style has dtype torch.float64"),
        ({"noise": torch.ones(6, 5)}, "noise has shape"),
        ({"noise": torch.ones(6, 4).T}, "noise has strides"),
        ({"style": torch.ones(8, 2).T}, "style has strides"),
        ({"clamp": -1.0}, "clamp is -1.0"),
        ({"x": torch.ones(2, 8, 4, 6, dtype=torch.float64)}, "x has dtype torch.float64"),
        ({"bias": torch.ones(8, device="meta")}, "bias is on meta"),
        ({"out": torch.empty(2, 8, 4, 6)}, "out has strides"),
        ({"out": torch.empty(2, 8, 4, 6, dtype=torch.float16)}, "out has dtype"),
        ({"image": torch.empty(2, 4, 6, 3)}, "rgb and image belong together"),
        ({"rgb": to_rgb((2, 8, 4, 6)), "image": torch.empty(2, 3, 4, 6)}, "image has shape"),
        ({"rgb": to_rgb((2, 8, 4, 6)), "image": torch.empty(2, 4, 6, 6)[..., ::2]}, "image has strides"),
        (
            {
                "rgb": to_rgb((2, 8, 4, 6))._replace(skip=torch.ones(2, 4, 6, 3)),
                "image": torch.empty(2, 4, 6, 3),
            },
            "rgb.skip has shape",
        ),
    ],
)
def test_mistakes_are_named(change, message):
    inputs = {**styled_inputs((2, 8, 4, 6), torch.float32), **change}
    with pytest.raises(ValueError, match=f"styled_epilogue: {message}"):
        ops.styled_epilogue(**inputs)


def test_a_gradient_is_refused():
    inputs = styled_inputs((1, 8, 4, 4), torch.float32)
    inputs["style"].requires_grad_()
    with pytest.raises(NotImplementedError, match="there is no gradient"):
        ops.styled_epilogue(**inputs)


@needs_kernels
def test_opcheck():
    size = (2, 8, 4, 6)
    inputs, rgb = styled_inputs(size, torch.float32), to_rgb(size)
    shared = [inputs[name] for name in ("demodulation", "noise", "bias", "style")]
    x = inputs["x"].permute(0, 2, 3, 1).contiguous()
    pictures = (rgb.weight, rgb.bias, rgb.skip, rgb.taps, 0.9, torch.empty_like(x), torch.empty(2, 4, 6, 3))
    torch.library.opcheck(torch.ops.stylerig.styled_epilogue, (x, *shared, *pictures))
    nothing = (None, None, None, TAPS, 0.9, torch.empty_like(x), None)
    torch.library.opcheck(torch.ops.stylerig.styled_epilogue, (x, *shared, *nothing))


@needs_kernels
def test_calls_that_do_not_fit_are_refused_by_the_kernel_too():
    size = (1, 8, 4, 4)
    inputs, rgb = styled_inputs(size, torch.float32), to_rgb(size)
    x, taps = inputs["x"].permute(0, 2, 3, 1), torch.ones(4)
    good = [x, inputs["demodulation"], None, inputs["bias"], None, rgb.weight, rgb.bias, rgb.skip, taps, 1.0, None]
    image = torch.empty(1, 4, 4, 3)
    torch.ops.stylerig.styled_epilogue(*good, image)
    wrong = {0: x[:, :, ::2], 1: torch.ones(1, 9), 3: torch.ones(9), 5: None, 7: torch.ones(1, 4, 4, 3), 8: taps[:3]}
    for position, value in wrong.items():
        with pytest.raises(RuntimeError, match="styled_epilogue"):
            torch.ops.stylerig.styled_epilogue(*good[:position], value, *good[position + 1 :], image)
    assert _library.has_kernel("styled_epilogue", "cpu")
