"""NVlabs' persistent modules (``torch_utils/persistence.py`` of stylegan2-ada-pytorch and stylegan3), as inert records.

A pickle holds them as source text, a class name and the module's ``__dict__``. The text is never looked at: what the
module computed with, its attributes and constructor arguments, tells the architecture.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import numpy as np

from stylerig_fast.errors import CheckpointError
from stylerig_fast.untrusted import Record, Tree

KIND = "torch_utils.persistence"
AVERAGED = "G_ema"


def find_generator(tree: Tree) -> Record | None:
    """The averaged generator of a pickle: its ``G_ema``, or the one module that it is; None if there is none."""
    found = tree.get(AVERAGED) if isinstance(tree, dict) else tree
    return found if isinstance(found, Record) and found.kind == KIND else None


def child(record: Record, name: str) -> Record | None:
    """A submodule by its dotted name, ``"synthesis.b4"``; None if it is not there."""
    for part in name.split("."):
        found = _table(record, "_modules").get(part)
        if not isinstance(found, Record):
            return None
        record = found
    return record


def modules(record: Record, name: str = "") -> Iterator[tuple[str, Record]]:
    """The module itself and everything inside it, by dotted name."""
    yield name, record
    for key, value in _table(record, "_modules").items():
        if isinstance(value, Record):
            yield from modules(value, f"{name}.{key}" if name else key)


def flatten(record: Record) -> dict[str, np.ndarray]:
    """Parameters and buffers of a module and everything inside it, as in its ``state_dict()``."""
    return {
        f"{name}.{key}" if name else key: value
        for name, module in modules(record)
        for table in ("_parameters", "_buffers")
        for key, value in _table(module, table).items()
        if isinstance(value, np.ndarray)
    }


def attribute(record: Record, name: str, where: str) -> Any:
    """An attribute of a module.

    Args:
        record: the module.
        name: of the attribute.
        where: file and dotted name of the module, for the message.

    Raises:
        CheckpointError: the module does not have it.
    """
    if name not in record.fields:
        raise CheckpointError(
            f"{where}: the {record.name} has no {name}; it was written by another version of NVlabs' code than those "
            "of stylegan2-ada-pytorch and stylegan3"
        )
    return record.fields[name]


def number(record: Record, name: str, where: str) -> float:
    """An attribute that is a number.

    Raises:
        CheckpointError: it is not there, or something else.
    """
    value = attribute(record, name, where)
    if isinstance(value, np.ndarray) and value.ndim == 0:
        value = value.item()
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not math.isfinite(value):
        raise CheckpointError(f"{where}: {name} is {value!r:.60}, expected a number; the file is damaged")
    return value


def expect(record: Record, name: str, expected: object, where: str) -> None:
    """Refuses a module whose attribute is another than the only one that the converter knows.

    Raises:
        CheckpointError: it is.
    """
    value = attribute(record, name, where)
    if isinstance(value, np.ndarray) or value != expected:
        raise CheckpointError(f"{where}: {name} is {value!r:.60}; only {expected!r} can be converted")


def _table(record: Record, name: str) -> dict[str, Tree]:
    table = record.fields.get(name)
    return table if isinstance(table, dict) else {}
