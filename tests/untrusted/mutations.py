"""Hypothesis strategies that damage files: as bytes, and pickles also opcode by opcode."""

from __future__ import annotations

import pickletools
import struct
from collections.abc import Sequence

from hypothesis import strategies as st

INTERESTING = [
    0,
    1,
    2,
    7,
    127,
    128,
    255,
    256,
    0x7FFF,
    0xFFFF,
    0x7FFFFFFF,
    0x80000000,
    0xFFFFFFFF,
    1 << 62,
    (1 << 64) - 1,
]


def opcodes(pickled: bytes) -> list[bytes]:
    """A pickle cut into its opcodes with their arguments."""
    starts = [position for _, _, position in pickletools.genops(pickled) if position is not None]
    return [pickled[start:end] for start, end in zip(starts, [*starts[1:], len(pickled)], strict=True)]


@st.composite
def damaged(draw: st.DrawFn, seeds: Sequence[bytes]) -> bytes:
    """One of the files with bytes flipped, numbers replaced, pieces cut, doubled or taken from another file."""
    content = bytearray(draw(st.sampled_from(seeds)))
    for _ in range(draw(st.integers(1, 4))):
        position = draw(st.integers(0, max(0, len(content) - 1)))
        kind = draw(st.sampled_from(("flip", "byte", "number", "cut", "end", "double", "splice", "insert")))
        length = draw(st.integers(1, 64))
        if kind == "flip" and content:
            content[position] ^= 1 << draw(st.integers(0, 7))
        elif kind == "byte" and content:
            content[position] = draw(st.integers(0, 255))
        elif kind == "number":
            layout = draw(st.sampled_from(("<H", "<I", "<Q", ">I", ">Q")))
            size = struct.calcsize(layout)
            value = draw(st.sampled_from(INTERESTING)) % (1 << 8 * size)
            content[position : position + size] = struct.pack(layout, value)
        elif kind == "cut":
            del content[position : position + length]
        elif kind == "end":
            del content[position:]
        elif kind == "double":
            content[position:position] = content[position : position + length]
        elif kind == "splice":
            other = draw(st.sampled_from(seeds))
            start = draw(st.integers(0, max(0, len(other) - 1)))
            content[position : position + length] = other[start : start + length]
        elif kind == "insert":
            content[position:position] = draw(st.binary(min_size=1, max_size=16))
    return bytes(content)


@st.composite
def rearranged(draw: st.DrawFn, seeds: Sequence[Sequence[bytes]], pieces: Sequence[bytes]) -> bytes:
    """One of the pickles with opcodes dropped, doubled, swapped, inserted or taken from another one.

    Args:
        draw: given by hypothesis.
        seeds: pickles, cut into opcodes.
        pieces: what to insert: opcodes, or short runs of them.
    """
    parts = list(draw(st.sampled_from(seeds)))
    for _ in range(draw(st.integers(1, 6))):
        position = draw(st.integers(0, len(parts) - 1)) if parts else 0
        kind = draw(st.sampled_from(("drop", "double", "swap", "insert", "insert", "replace", "splice", "memo")))
        if kind == "drop" and parts:
            del parts[position]
        elif kind == "double" and parts:
            parts.insert(position, parts[position])
        elif kind == "swap" and parts:
            other = draw(st.integers(0, len(parts) - 1))
            parts[position], parts[other] = parts[other], parts[position]
        elif kind == "insert":
            parts.insert(position, draw(st.sampled_from(pieces)))
        elif kind == "replace" and parts:
            parts[position] = draw(st.sampled_from(pieces))
        elif kind == "splice":
            other_parts = draw(st.sampled_from(seeds))
            start, length = draw(st.integers(0, len(other_parts) - 1)), draw(st.integers(1, 20))
            parts[position:position] = other_parts[start : start + length]
        elif kind == "memo":
            parts.insert(position, b"h" + bytes([draw(st.integers(0, 40))]))
    return b"".join(parts)
