"""StyleGAN3's signal processing: which band and sampling rate each layer has, and the low-pass filters between them.

Both follow from a few numbers ("Alias-Free Generative Adversarial Networks", arXiv 2106.12423, section 3.2 and appendix
C, with the code at github.com/NVlabs/stylegan3), so that a checkpoint of ours holds no filters.
"""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass
from itertools import pairwise
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

# Nobody means more than this.
LARGEST = {
    "margin_size": 1024,
    "conv_kernel": 31,
    "filter_size": 64,
    "lrelu_upsampling": 16,
    "first_stopband": 2**14,
    "last_stopband_rel": 16,
}
MOST_TAPS = 512


@dataclass(frozen=True, kw_only=True)
class Architecture:
    """The hyperparameters, with the names and defaults of the published code; frequencies in cycles per picture width.

    The defaults are configuration T at 1024 px. R has ``conv_kernel=1, channel_base=65536, channel_max=1024,
    use_radial_filters=True``.
    """

    resolution: int = 1024  # width and height of the picture in pixels, a power of two
    w_dim: int = 512  # length of z and of the code of one slot
    mapping_layers: int = 2  # fully connected layers from z to w
    num_layers: int = 14  # without the Fourier features and the layer that makes colours
    num_critical: int = 2  # critically sampled layers at the end
    channel_base: int = 32768  # a layer has channel_base / 2 / cutoff channels,
    channel_max: int = 512  # but no more than this
    first_cutoff: float = 2.0  # of the first layer
    first_stopband: float = 2**2.1  # where its transition band ends, at least
    last_stopband_rel: float = 2**0.3  # the same of the last layer, in its cutoffs
    margin_size: int = 10  # samples beyond each edge of the picture, in all but the last layers
    output_scale: float = 0.25  # of the colours
    conv_kernel: int = 3  # width of the convolutions, of all but the last
    filter_size: int = 6  # taps of the filters per sample of the lower rate
    lrelu_upsampling: int = 2  # rate at the non-linearity, relative to the higher of input and output
    use_radial_filters: bool = False  # radially symmetric downsampling, but not where critically sampled
    conv_clamp: float | None = 256.0  # largest magnitude behind the non-linearity

    def __post_init__(self) -> None:
        if not 16 <= self.resolution <= 2**14 or self.resolution & (self.resolution - 1):
            raise ValueError(f"resolution is {self.resolution}, expected a power of two from 16 to {2**14}")
        if not 1 <= self.num_critical < self.num_layers <= 100:
            raise ValueError(
                f"num_layers is {self.num_layers} and num_critical {self.num_critical}, "
                "expected no more than 100 layers, of which 1 or more but not all are critical"
            )
        for name, value in dataclasses.asdict(self).items():
            if value is None or isinstance(value, bool):
                continue
            if not (0 <= value <= LARGEST.get(name, math.inf) and value < math.inf):
                raise ValueError(f"{name} is {value}, expected a number from 0 to {LARGEST.get(name, math.inf)}")
            if value == 0 and name != "margin_size":
                raise ValueError(f"{name} is 0, expected more")
        last_cutoff = self.resolution / 2
        if not (0.5 <= self.first_cutoff < self.first_stopband and self.first_cutoff <= last_cutoff):
            raise ValueError(
                f"first_cutoff is {self.first_cutoff}, expected 0.5 or more, below first_stopband "
                f"({self.first_stopband}) and no more than {last_cutoff}"
            )
        if self.last_stopband_rel <= 1:
            raise ValueError(f"last_stopband_rel is {self.last_stopband_rel}, expected more than 1")
        if self.channel_base / 2 / last_cutoff < 0.6:
            raise ValueError(f"channel_base is {self.channel_base}, too few for a channel in each layer")

    def signals(self) -> list[Signal]:
        """The outputs of the layers in order, the colours last."""
        last_cutoff = self.resolution / 2
        last_stopband = last_cutoff * self.last_stopband_rel
        signals = []
        for i in range(self.num_layers + 1):
            exponent = min(i / (self.num_layers - self.num_critical), 1.0)
            cutoff = self.first_cutoff * (last_cutoff / self.first_cutoff) ** exponent
            stopband = self.first_stopband * (last_stopband / self.first_stopband) ** exponent
            # A hair less than the logarithm: at 256 px a stopband is a power of two, up to this machine's rounding.
            rate = 2 ** math.ceil(math.log2(min(2 * stopband, self.resolution)) - 1e-9)
            colours = i == self.num_layers
            signals.append(
                Signal(
                    channels=3 if colours else round(min(self.channel_base / 2 / cutoff, self.channel_max)),
                    size=self.resolution if i >= self.num_layers - 1 else rate + 2 * self.margin_size,
                    rate=rate,
                    cutoff=cutoff,
                    half_width=max(stopband, rate / 2) - cutoff,
                )
            )
        return signals

    def layers(self) -> list[LayerPlan]:
        """The layers in order, the one that makes colours last."""
        signals = self.signals()
        plans = []
        for i, (before, after) in enumerate(pairwise([signals[0], *signals])):
            colours = i == self.num_layers
            rate = max(before.rate, after.rate) * (1 if colours else self.lrelu_upsampling)
            up, down = rate // before.rate, rate // after.rate
            if colours and (up, down) != (1, 1):
                raise ValueError(f"the last two layers have rates {before.rate} and {after.rate}, expected the same")
            if self.filter_size * max(up, down) > MOST_TAPS:
                raise ValueError(f"layer {i} goes from rate {before.rate} to {after.rate}; expected them closer")
            radial = self.use_radial_filters and i < self.num_layers - self.num_critical
            plans.append(
                LayerPlan(
                    before,
                    after,
                    kernel=1 if colours else self.conv_kernel,
                    up=up,
                    down=down,
                    up_taps=lowpass(self.filter_size * up, before, rate) if up > 1 else None,
                    down_taps=lowpass(self.filter_size * down, after, rate, radial) if down > 1 else None,
                    low_precision=after.rate * 16 > self.resolution,
                )
            )
        return plans


class Signal(NamedTuple):
    """What one layer puts out, as samples of a band-limited function (the paper's table 1 of appendix C)."""

    channels: int
    size: int  # samples in each direction, margins included
    rate: int  # samples per picture width
    cutoff: float  # where the filters pass half the amplitude
    half_width: float  # of the transition band around it


class LayerPlan(NamedTuple):
    """How one layer goes from the signal ``before`` to the signal ``after``: convolution, then resampled activation.

    In one direction, and with T taps of the upsampling and D of the downsampling filter: sample i at the rate of the
    non-linearity is ``Σ_j t[j] up_taps[i + offset - up j]``, where t are the `convolved` samples, zero outside of them;
    sample i of the output is the sum over the D samples from ``down i`` on.
    """

    before: Signal
    after: Signal
    kernel: int
    up: int
    down: int
    up_taps: Tensor | None  # (T,), their sum is 1; None where up is 1
    down_taps: Tensor | None  # (D,) for both directions one after the other, or (D, D); None where down is 1
    low_precision: bool  # one of the four highest rates, which the published networks have in float16

    @property
    def convolved(self) -> int:
        """Samples in one direction behind the convolution, which sees all that its kernel reaches."""
        return self.before.size + self.kernel - 1

    @property
    def reach(self) -> tuple[int, int]:
        """T and D, 1 without a filter."""
        return (1 if self.up_taps is None else len(self.up_taps)), (
            1 if self.down_taps is None else len(self.down_taps)
        )

    @property
    def offset(self) -> int:
        """See above; it keeps samples in their places (appendix C.3: a picture's centre stays its centre)."""
        taps_up, taps_down = self.reach
        total = (self.after.size - 1) * self.down + 1 - self.convolved * self.up + taps_up + taps_down - 2
        return taps_up - 1 - (total + self.up) // 2

    def span(self, first: int, last: int) -> Span:
        """What the outputs from ``first`` up to ``last`` need, in one direction."""
        taps_up, taps_down = self.reach
        begin = first * self.down + self.offset
        count = (last - 1 - first) * self.down + taps_down
        low = -((taps_up - 1 - begin) // self.up)
        crop = begin - low * self.up
        # The same number is cropped at both ends, so that the transposed convolution can do it.
        high = low + -((taps_up - 2 * crop - count) // self.up) + 1
        size = self.convolved
        low_inside, high_inside = min(max(low, 0), size), max(min(high, size), 0)
        return Span(low_inside, high_inside, low_inside - low, high - high_inside, crop)


class Span(NamedTuple):
    """Samples behind a layer's convolution, in one direction."""

    low: int
    high: int
    zeros_before: int  # to be put before sample `low`,
    zeros_after: int  # and behind sample `high - 1`
    crop: int  # upsampled ones to be left out at either end


def lowpass(taps: int, signal: Signal, rate: int, radial: bool = False) -> Tensor:
    """A Kaiser-windowed low-pass filter at a signal's cutoff, with a transition band as wide as the signal's.

    The separable one is what ``scipy.signal.firwin(taps, cutoff, width=..., fs=rate)`` designs; the radially symmetric
    one has the Fourier transform of a disc, ``f_c J_1(2π f_c r) / r``, under the product of two windows (appendix C.3).

    Args:
        taps: length.
        signal: see above.
        rate: samples per picture width that the filter works at.
        radial: make it ``(taps, taps)``.

    Returns:
        ``(taps,)`` or ``(taps, taps)`` in float32, the sum 1.

    Raises:
        ValueError: the rate is too low for the cutoff.
    """
    cutoff = signal.cutoff
    if not 0 < cutoff < rate / 2 or signal.half_width <= 0:
        raise ValueError(
            f"no filter at rate {rate} has its cutoff at {cutoff:g} and its transition band {signal.half_width:g} to "
            "either side"
        )
    # Kaiser's formulas for the attenuation that so many taps reach, and for the window that reaches it.
    attenuation = 2.285 * (taps - 1) * math.pi * signal.half_width / (rate / 4) + 7.95
    beta = 0.0
    if attenuation > 50:
        beta = 0.1102 * (attenuation - 8.7)
    elif attenuation > 21:
        beta = 0.5842 * (attenuation - 21) ** 0.4 + 0.07886 * (attenuation - 21)
    window = np.kaiser(taps, beta)
    x = (np.arange(taps) - (taps - 1) / 2) / rate
    if radial:
        r = np.maximum(np.hypot(x[:, None], x), 1e-9 / rate)
        bessel = torch.special.bessel_j1(torch.from_numpy(2 * math.pi * cutoff * r)).numpy()
        values = bessel / r * np.outer(window, window)
    else:
        values = np.sinc(2 * cutoff * x) * window
    return torch.from_numpy(values / values.sum()).float()
