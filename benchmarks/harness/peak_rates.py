"""What this machine can do at best, measured in the same run and with as many threads, and how long work takes at that.

The roofline model (Williams et al., CACM 2009): a computation takes at least as long as its operations at the highest
rate seen, and at least as long as its bytes at the highest bandwidth seen.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass

import torch

from . import device_clock
from .flops import Work

PROBE_SECONDS = 0.4


@dataclass(frozen=True)
class Ceilings:
    """The best rates seen.

    Attributes:
        rates: operations (two for a multiply-add) per second of a large matrix product, by dtype ("float32").
        bandwidth: bytes per second of a stream triad ``a = b + s c`` too large for the caches: two reads, one write.
    """

    rates: dict[str, float]
    bandwidth: float

    def floor(self, precision: str, synthesis: Work, *others: Work) -> float | None:
        """Milliseconds that the work takes at least; None if the precision was not probed.

        Args:
            precision: that the synthesis computes in.
            synthesis: in that precision.
            others: what else has to be done, in float32.
        """
        if precision not in self.rates:
            return None
        operations = 2 * synthesis.total / self.rates[precision]
        operations += sum(2 * work.total / self.rates["float32"] for work in others)
        return 1e3 * max(operations, sum(work.bytes for work in (synthesis, *others)) / self.bandwidth)

    def best(self, other: Ceilings) -> Ceilings:
        """The higher of two probes: one of them may have been disturbed."""
        rates = {name: max(rate, other.rates.get(name, 0.0)) for name, rate in self.rates.items()}
        return Ceilings(rates, max(self.bandwidth, other.bandwidth))


def measure_ceilings(
    device: torch.device, precisions: Iterable[str], seconds: float = PROBE_SECONDS, sizes: Iterable[int] = ()
) -> Ceilings:
    """Probes the machine.

    Args:
        device: where.
        precisions: names of torch dtypes; float32 is always probed. A dtype that the device has no fast product for
            gets the rate of its slow one, and float16 none on the CPU, where nothing here computes in it.
        seconds: for each probe, at least.
        sizes: sides of the matrices; by default large ones for the device.
    """
    sizes = tuple(sizes) or ((4096, 8192) if device.type == "cuda" else (512, 1024, 2048))
    rates = {}
    for precision in dict.fromkeys(["float32", *precisions]):
        if device.type == "cpu" and precision == "float16":
            continue
        dtype = getattr(torch, precision)
        rates[precision] = max(_product_rate(device, dtype, side, seconds) for side in sizes)
    # Random numbers: ones cost a GPU less power than numbers do, and it multiplies them faster.
    count = (128 << 20) if device.type == "cuda" else (24 << 20)
    b, c = torch.randn(count, device=device), torch.randn(count, device=device)
    a = torch.empty_like(b)
    triad = fastest(lambda: torch.add(b, c, alpha=3.0, out=a), device, seconds)
    return Ceilings(rates, 3 * a.nbytes / triad)


def _product_rate(device: torch.device, dtype: torch.dtype, side: int, seconds: float) -> float:
    # Drawn where it is multiplied: on the host 8192 by 8192 numbers take longer than the whole probe.
    x = torch.randn(side, side, device=device).to(dtype)
    out = torch.empty_like(x)
    return 2 * side**3 / fastest(lambda: torch.mm(x, x, out=out), device, seconds)


def fastest(function: Callable[[], object], device: torch.device, seconds: float) -> float:
    """Seconds of the fastest of as many runs as fit into ``seconds``, three at least: a ceiling is no average."""
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
        best = min(best, took) if runs else best  # the first run pays for set-up
        runs += 1
    return best
