"""The roofline of a report: how long its networks take at the machine's peak rates."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from .flops import NetworkCost
from .peak_rates import PeakRates

BYTES = {"float32": 4, "bfloat16": 2, "float16": 2}


def floor(report: Mapping[str, Any], precision: str, batch: int = 1) -> float | None:
    """Milliseconds that a batch of edits of the generator's own size takes at least.

    Args:
        report: with the cost of its networks and its peak rates.
        precision: of the synthesis; the rig computes in float32.
        batch: number of people.
    """
    networks, known = report["networks"], report["ceilings"]
    synthesis = NetworkCost(**networks["synthesis"]).with_weights_of(BYTES[precision]).times(batch)
    rig = NetworkCost(**networks["rig work"]).times(batch)
    return PeakRates(known["rates"], known["bandwidth"]).floor(precision, synthesis, rig)


def explain(report: Mapping[str, Any]) -> str:
    """Costs, peak rates and floors in three sentences."""
    networks, known = report["networks"], report["ceilings"]
    synthesis, rig = NetworkCost(**networks["synthesis"]), NetworkCost(**networks["rig work"])
    kinds = ", ".join(f"{kind} {count / 1e6:,.0f}" for kind, count in synthesis.multiply_adds.items())
    rates = ", ".join(f"{rate / 1e9:.0f} GFLOP/s in {name}" for name, rate in known["rates"].items())
    floors = {name: floor(report, name) for name in known["rates"]}
    shown = ", ".join(f"{value:.3g} ms in {name}" for name, value in floors.items() if value is not None)
    return (
        f"An edit of {networks['generator']} at {networks['resolution']} px is {synthesis.total / 1e6:,.0f} million "
        f"multiply-adds of synthesis ({kinds}) and {rig.total / 1e6:.0f} of F and RigNet; "
        f"{(synthesis.bytes + rig.bytes) / 1e6:.0f} MB have to move in float32. Best rates seen in this run: "
        f"matrix product {rates}; triad {known['bandwidth'] / 1e9:.1f} GB/s. So an edit takes at least {shown}."
    )
