"""Export forms: for each family of generators a function that writes its synthesis network as a graph."""

from __future__ import annotations

from collections.abc import Callable

from stylerig_fast.errors import ExportError
from stylerig_fast.generators.base import Generator

from ..graph import GraphBuilder, Value
from . import mobilestylegan, stylegan1, stylegan2, stylegan3

# (graph, generator in float32 on the CPU, codes (B, num_ws, w_dim), resolution) -> float32 picture (B, 3, R, R)
Synthesis = Callable[[GraphBuilder, Generator, Value, int], Value]

FAMILIES: dict[str, Synthesis] = {
    "mobilestylegan": mobilestylegan.synthesis,
    "stylegan1": stylegan1.synthesis,
    "stylegan2": stylegan2.synthesis,
    "stylegan3": stylegan3.synthesis,
}


def synthesis(graph: GraphBuilder, generator: Generator, ws: Value, resolution: int) -> Value:
    """Writes the synthesis network into the graph.

    Raises:
        ExportError: the family has no export form, or not in this precision.
    """
    if generator.family not in FAMILIES:
        raise ExportError(
            f"generators of the family {generator.family!r} have no export form, only {', '.join(FAMILIES)}"
        )
    return FAMILIES[generator.family](graph, generator, ws, resolution)
