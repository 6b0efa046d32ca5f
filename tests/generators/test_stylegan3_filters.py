from __future__ import annotations

from pathlib import Path

import pytest
import torch

from stylerig_fast.generators.formats.persistent import find_generator, flatten
from stylerig_fast.generators.stylegan3 import StyleGAN3
from stylerig_fast.generators.stylegan3_filters import Architecture, Signal, lowpass
from stylerig_fast.untrusted import read_pickle
from tests.generators import stylegan3_nvlabs as nvlabs

R = {"conv_kernel": 1, "channel_base": 65536, "channel_max": 1024, "use_radial_filters": True}

# What the published code prints for its networks: size and channels of the layers.
T_1024 = """L0_36_512 L1_36_512 L2_52_512 L3_52_512 L4_84_512 L5_148_512 L6_148_512 L7_276_323 L8_276_203 L9_532_128
            L10_1044_81 L11_1044_51 L12_1044_32 L13_1024_32 L14_1024_3"""
R_1024 = """L0_36_1024 L1_36_1024 L2_52_1024 L3_52_1024 L4_84_1024 L5_148_1024 L6_148_1024 L7_276_645 L8_276_406
            L9_532_256 L10_1044_161 L11_1044_102 L12_1044_64 L13_1024_64 L14_1024_3"""
# At 256 px, a layer's stopband is a power of two: one rounding up would make the tenth layer 276 px wide.
T_256 = """L0_36_512 L1_36_512 L2_36_512 L3_52_512 L4_52_512 L5_84_512 L6_84_512 L7_148_362 L8_148_256 L9_148_181
           L10_276_128 L11_276_91 L12_276_64 L13_256_64 L14_256_3"""
R_128 = """L8_84_1024 L9_148_1024 L10_148_912 L11_148_683 L12_148_512 L13_128_512 L14_128_3"""


def names(architecture: Architecture) -> list[str]:
    return [f"L{i}_{s.size}_{s.channels}" for i, s in enumerate(architecture.signals())]


@pytest.mark.parametrize(
    ("arguments", "published"),
    [
        ({}, T_1024),
        (R, R_1024),
        ({"resolution": 256, "channel_base": 16384}, T_256),
        ({"resolution": 128, **R}, R_128),
    ],
    ids=["T 1024", "R 1024", "T 256", "R 128"],
)
def test_layers_of_published_networks(arguments: dict, published: str) -> None:
    expected = published.split()
    assert names(Architecture(**arguments))[-len(expected) :] == expected


def test_bands_of_published_network() -> None:
    # Cutoff and half width of the transition band, as the published code prints them for T at 1024 px.
    published = [
        (16, 2, 6), (16, 3.1748, 4.8252), (32, 5.03968, 10.9603), (32, 8, 8), (64, 12.6992, 19.3008),
        (128, 20.1587, 43.8413), (128, 32, 32), (256, 50.7968, 77.2032), (256, 80.6349, 47.3651), (512, 128, 128),
        (1024, 203.187, 308.813), (1024, 322.54, 189.46), (1024, 512, 118.346), (1024, 512, 118.346),
        (1024, 512, 118.346),
    ]  # fmt: skip
    for signal, expected in zip(Architecture().signals(), published, strict=True):
        assert (signal.rate, signal.cutoff, signal.half_width) == pytest.approx(expected, rel=5e-6)


def test_published_number_of_parameters() -> None:
    with torch.device("meta"):
        generator = StyleGAN3(**R)
    assert sum(value.numel() for value in generator.parameters()) == 15_093_151


def test_half_precision_where_the_published_networks_have_it() -> None:
    assert [plan.low_precision for plan in Architecture().layers()] == [False] * 5 + [True] * 10


@pytest.mark.parametrize("resolution", [16, 64, 256, 1024])
def test_separable_filters_are_scipy_s(resolution: int) -> None:
    for plan in Architecture(resolution=resolution).layers()[:-1]:
        rate = plan.before.rate * plan.up
        for signal, taps in ((plan.before, plan.up_taps), (plan.after, plan.down_taps)):
            assert taps is not None
            expected = nvlabs.kaiser(len(taps), signal.cutoff, signal.half_width, rate)
            torch.testing.assert_close(taps, torch.from_numpy(expected).float(), atol=1e-7, rtol=1e-6)


def test_radial_filters() -> None:
    plans = Architecture(**R).layers()
    for i, plan in enumerate(plans[:-1]):
        taps = plan.down_taps
        assert taps is not None
        if i >= 12:  # critically sampled
            assert taps.ndim == 1
            continue
        expected = nvlabs.jinc(len(taps), plan.after.cutoff, plan.after.half_width, plan.before.rate * plan.up)
        torch.testing.assert_close(taps, torch.from_numpy(expected).float(), atol=1e-8, rtol=1e-6)
        torch.testing.assert_close(taps.T, taps)
        torch.testing.assert_close(taps.flip(0), taps)
    assert plans[-1].up_taps is None
    assert plans[-1].down_taps is None


def test_weak_filters_have_smaller_windows() -> None:
    # Attenuations of 9, 36 and 148 dB: the three branches of Kaiser's formula.
    for taps, half_width in ((2, 1.0), (6, 5.0), (12, 11.5)):
        signal = Signal(channels=1, size=16, rate=16, cutoff=2.0, half_width=half_width)
        expected = torch.from_numpy(nvlabs.kaiser(taps, 2.0, half_width, 32)).float()
        torch.testing.assert_close(lowpass(taps, signal, 32), expected)


def test_radial_filter_with_a_tap_in_the_middle() -> None:
    signal = Signal(channels=1, size=16, rate=16, cutoff=2.0, half_width=6.0)
    taps = lowpass(13, signal, 32, radial=True)
    assert taps.isfinite().all()
    assert taps.argmax() == 13 * 6 + 6


@pytest.mark.parametrize("variant", ["t", "r"])
def test_filters_of_goldens(shared: Path, variant: str) -> None:
    tree = read_pickle(shared / "goldens" / f"stylegan3_{variant}_64.pkl")
    generator = find_generator(tree)
    assert generator is not None
    arrays = flatten(generator)
    base = {"t": 1024, "r": 2048}[variant]
    more = {"conv_kernel": 1, "use_radial_filters": True} if variant == "r" else {}
    architecture = Architecture(resolution=64, num_layers=6, channel_base=base, channel_max=32, **more)
    compared = 0
    for name, plan in zip(names(architecture), architecture.layers(), strict=True):
        for direction, taps in (("up", plan.up_taps), ("down", plan.down_taps)):
            if taps is not None:
                stored = torch.from_numpy(arrays.pop(f"synthesis.{name}.{direction}_filter"))
                torch.testing.assert_close(taps, stored, atol=1e-8, rtol=1e-6)
                compared += 1
    assert compared == 12
    assert not [name for name in arrays if name.endswith("_filter")]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"resolution": 1000}, "resolution is 1000, expected a power of two"),
        ({"num_critical": 14}, "not all are critical"),
        ({"num_critical": 0}, "1 or more"),
        ({"num_layers": 10**6}, "no more than 100 layers"),
        ({"channel_max": 0}, "channel_max is 0"),
        ({"channel_base": 100}, "channel_base is 100"),
        ({"channel_base": float("nan")}, "channel_base is nan"),
        ({"first_cutoff": float("inf")}, "first_cutoff is inf"),
        ({"first_cutoff": 5.0}, "below first_stopband"),
        ({"last_stopband_rel": 1.0}, "last_stopband_rel is 1.0"),
        ({"filter_size": 10**9}, "filter_size is 1000000000"),
        ({"margin_size": -1}, "margin_size is -1"),
        ({"conv_clamp": -1.0}, "conv_clamp is -1.0"),
        ({"resolution": 2**14, "num_layers": 2, "num_critical": 1, "filter_size": 64}, "expected them closer"),
    ],
)
def test_refusals(arguments: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Architecture(**arguments).layers()


def test_filters_need_room() -> None:
    with pytest.raises(ValueError, match="no filter at rate 16"):
        lowpass(12, Signal(channels=1, size=16, rate=16, cutoff=8.0, half_width=2.0), 16)
