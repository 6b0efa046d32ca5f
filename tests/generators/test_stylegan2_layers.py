"""Filters and modulated convolutions against plain formulations."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from stylerig_fast.generators.layers import Mapping, ModulatedConv, filter_taps, leaky_relu, mean_code, upfirdn2d


def plain_upfirdn(x: Tensor, taps: Tensor, up: int, down: int, padding: tuple[int, int, int, int]) -> Tensor:
    taps = torch.outer(taps, taps) if taps.ndim == 1 else taps
    y = x.new_zeros(*x.shape[:2], x.shape[2] * up, x.shape[3] * up)
    y[:, :, ::up, ::up] = x
    kernel = taps.flip(0, 1).expand(x.shape[1], 1, -1, -1)
    return F.conv2d(F.pad(y, padding), kernel, groups=x.shape[1])[:, :, ::down, ::down]


@pytest.mark.parametrize("shape", [(4, 4), (3, 5), (6,)])
@pytest.mark.parametrize("up", [1, 2, 3])
@pytest.mark.parametrize("down", [1, 2])
def test_upfirdn2d(shape: tuple[int, ...], up: int, down: int) -> None:
    x, taps = torch.randn(2, 3, 9, 8, dtype=torch.float64), torch.randn(*shape, dtype=torch.float64)
    for padding in ((0, 0, 0, 0), (1, 1, 1, 1), (2, 1, 3, 1), (-1, 2, 1, 0)):
        expected = plain_upfirdn(x, taps, up, down, padding)
        torch.testing.assert_close(upfirdn2d(x, taps, up, down, padding), expected, atol=1e-12, rtol=0)


def test_filters_keep_the_mean() -> None:
    assert filter_taps((1, 3, 3, 1)).sum() == 1
    flat = torch.full((1, 2, 8, 8), 3.0)
    doubled = upfirdn2d(flat, filter_taps((1, 3, 3, 1), 2), up=2, padding=(2, 1, 2, 1))
    assert doubled.shape == (1, 2, 16, 16)
    assert torch.equal(doubled[:, :, 2:-2, 2:-2], torch.full((1, 2, 12, 12), 3.0))


def layer(seed: int = 0, **options: object) -> ModulatedConv:
    torch.manual_seed(seed)
    return ModulatedConv(6, 4, w_dim=8, **{"kernel": 3, **options}).requires_grad_(False)  # type: ignore[arg-type]


def per_sample(conv: ModulatedConv, x: Tensor, w: Tensor) -> Tensor:
    """One convolution for each sample, with its own weights."""
    made = []
    for one, style in zip(x, conv.affine(w), strict=True):
        weight = conv.weight if conv.taps is None else conv.weight.transpose(0, 1)
        weight = weight * style[:, None, None]
        if conv.demodulate:
            weight = weight * torch.rsqrt(weight.square().sum((1, 2, 3), keepdim=True) + 1e-8)
        if conv.taps is None:
            y = F.conv2d(one[None], weight, padding=conv.padding)
        else:
            y = F.conv_transpose2d(one[None], weight.transpose(0, 1), stride=2)
            y = plain_upfirdn(y, conv.taps, 1, 1, (1, 1, 1, 1))
        made.append(y * conv.gain)
    return torch.cat(made)


OPTIONS = [{}, {"up": (1, 3, 3, 1), "gain": 2.0}, {"kernel": 1, "demodulate": False}, {"padding": 2, "gain": 0.5}]


@pytest.mark.parametrize("options", OPTIONS)
@pytest.mark.parametrize("training", [False, True])
def test_modulated_conv(options: dict[str, object], training: bool) -> None:
    conv = layer(**options).double().requires_grad_(training)
    conv.tabulate()
    x, w = torch.randn(3, 6, 5, 5, dtype=torch.float64), torch.randn(3, 8, dtype=torch.float64)
    torch.testing.assert_close(conv(x, w), per_sample(conv, x, w), atol=1e-12, rtol=0)


@pytest.mark.parametrize("options", OPTIONS)
def test_gradients_of_modulated_conv(options: dict[str, object]) -> None:
    conv = layer(**options).double()
    x = torch.randn(2, 6, 3, 3, dtype=torch.float64, requires_grad=True)
    w = torch.randn(2, 8, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(conv, (x, w))
    conv.requires_grad_(True)

    def of_weight(weight: Tensor) -> Tensor:
        return torch.func.functional_call(conv, {"weight": weight}, (x.detach(), w.detach()))

    assert torch.autograd.gradcheck(of_weight, (conv.weight.detach().clone().requires_grad_(True),))


def test_table_follows_the_weights() -> None:
    conv, other = layer(0), layer(1)
    x, w = torch.randn(1, 6, 5, 5), torch.randn(1, 8)
    assert "squares" not in conv.state_dict()
    conv.load_state_dict(other.state_dict())
    assert torch.equal(conv(x, w), other(x, w))


@pytest.mark.parametrize("options", OPTIONS)
def test_float16_stays_finite(options: dict[str, object]) -> None:
    """Styles of 1e5 and weights of 1e4: the convolution alone would be infinite, its demodulated result is not."""
    conv = layer(**options)
    large = 1e4 if conv.demodulate else 10
    state = conv.state_dict()
    state = {name: value * (large if name == "weight" else 1e5) for name, value in state.items()}
    conv.load_state_dict(state)
    x, w = torch.randn(2, 6, 8, 8), torch.randn(2, 8)
    expected = conv(x, w)
    assert not torch.isfinite((x * conv.affine(w)[:, :, None, None]).half()).all()
    conv.round_weights(torch.float16)
    found = conv(x.half(), w)
    assert found.dtype == (torch.float16 if conv.demodulate else torch.float32)
    assert (found.float() - expected).abs().max() < 4e-3 * expected.abs().max()


def test_float16_of_a_dead_output() -> None:
    conv = layer()
    state = conv.state_dict()
    state["weight"][1] = 0
    conv.load_state_dict(state)
    x, w = torch.randn(2, 6, 8, 8), torch.randn(2, 8)
    assert torch.equal(conv(x, w)[:, 1], torch.zeros(2, 8, 8))
    conv.round_weights(torch.float16)
    assert torch.equal(conv(x.half(), w)[:, 1], torch.zeros(2, 8, 8).half())


def test_leaky_relu() -> None:
    x = torch.tensor([-20.0, -1.0, 0.0, 2.0, 9.0])
    assert torch.equal(leaky_relu(x.clone()), torch.tensor([-4.0, -0.2, 0.0, 2.0, 9.0]))
    assert torch.equal(leaky_relu(x.clone(), 3), torch.tensor([-3.0, -0.2, 0.0, 2.0, 3.0]))
    x = torch.randn(20, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda x: leaky_relu(1 * x, 0.5), (x,))


def test_mapping_sees_directions_only() -> None:
    mapping = Mapping(16, 3)
    z = torch.randn(2, 16)
    torch.testing.assert_close(mapping(z), mapping(7 * z), atol=1e-5, rtol=1e-5)
    assert len(mapping) == 3


def test_mean_code_is_the_same_each_time() -> None:
    mapping = Mapping(4, 1)
    assert torch.equal(mean_code(mapping, 4), mean_code(mapping, 4))
    many = torch.randn(100000, 4)
    torch.testing.assert_close(mean_code(mapping, 4), mapping(many).mean(0), atol=0.02, rtol=0)
