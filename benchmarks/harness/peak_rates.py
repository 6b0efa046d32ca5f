"""The peak rates of this machine, measured in the same run and with the same number of threads.

They are the two parameters of the roofline model (Williams et al., CACM 2009): a computation takes at least as long as
its operations at the peak rate, and at least as long as its bytes at the peak bandwidth.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass

import torch

from . import device_clock
from .flops import NetworkCost

PROBE_SECONDS = 0.4


@dataclass(frozen=True)
class PeakRates:
    """The highest rates that were measured.

    Attributes:
        rates: operations (two for a multiply-add) per second of a large matrix product, by dtype ("float32").
        bandwidth: bytes per second of a stream triad ``a = b + s c`` too large for the caches: two reads, one write.
    """

    rates: dict[str, float]
    bandwidth: float

    def floor(self, precision: str, synthesis: NetworkCost, *others: NetworkCost) -> float | None:
        """The roofline: milliseconds that the computation takes at least; None if the precision was not probed.

        Args:
            precision: of the synthesis.
            synthesis: its cost in that precision.
            others: costs of what else is computed, in float32.
        """
        if precision not in self.rates:
            return None
        operations = 2 * synthesis.total / self.rates[precision]
        operations += sum(2 * cost.total / self.rates["float32"] for cost in others)
        return 1e3 * max(operations, sum(cost.bytes for cost in (synthesis, *others)) / self.bandwidth)

    def best(self, other: PeakRates) -> PeakRates:
        """The higher rates of two probes: either may have been disturbed."""
        rates = {name: max(rate, other.rates.get(name, 0.0)) for name, rate in self.rates.items()}
        return PeakRates(rates, max(self.bandwidth, other.bandwidth))


def measure_peak_rates(
    device: torch.device, precisions: Iterable[str], seconds: float = PROBE_SECONDS, sizes: Iterable[int] = ()
) -> PeakRates:
    """Measures the peak rates.

    Args:
        device: to probe.
        precisions: names of torch dtypes; float32 is always probed. On the CPU float16 is left out: nothing here
            computes in it there.
        seconds: spent on each probe, at least.
        sizes: heights of the square matrices; by default sizes that are large for the device.
    """
    sizes = tuple(sizes) or ((4096, 8192) if device.type == "cuda" else (512, 1024, 2048))
    rates = {}
    for precision in dict.fromkeys(["float32", *precisions]):
        if device.type == "cpu" and precision == "float16":
            continue
        dtype = getattr(torch, precision)
        rates[precision] = max(_product_rate(device, dtype, side, seconds) for side in sizes)
    # Random numbers: a GPU multiplies ones faster, because that takes less power.
    count = (128 << 20) if device.type == "cuda" else (24 << 20)
    b, c = torch.randn(count, device=device), torch.randn(count, device=device)
    a = torch.empty_like(b)
    triad = fastest(lambda: torch.add(b, c, alpha=3.0, out=a), device, seconds)
    return PeakRates(rates, 3 * a.nbytes / triad)


def _product_rate(device: torch.device, dtype: torch.dtype, side: int, seconds: float) -> float:
    # Drawn on the device: drawing 8192 x 8192 numbers on the host takes longer than the whole probe.
    x = torch.randn(side, side, device=device).to(dtype)
    out = torch.empty_like(x)
    return 2 * side**3 / fastest(lambda: torch.mm(x, x, out=out), device, seconds)


def fastest(function: Callable[[], object], device: torch.device, seconds: float) -> float:
    """Seconds of the fastest run among those that fit into ``seconds``, at least three: a peak is not an average.

    Args:
        function: to run.
        device: that it runs on.
        seconds: in all.
    """
    best, spent, runs = float("inf"), 0.0, 0
    while spent < seconds or runs < 4:
        if device.type == "cuda":
            with torch.cuda.device(device):
                took = device_clock.between(function) / 1e3
        else:
            start = time.perf_counter()
            function()
            took = time.perf_counter() - start
        spent += took
        best = min(best, took) if runs else best  # the first run includes set-up
        runs += 1
    return best
