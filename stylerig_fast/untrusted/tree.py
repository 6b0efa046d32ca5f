"""What a file from elsewhere is turned into: plain values, arrays, and records of objects that were never built."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np

from stylerig_fast.errors import CheckpointError

# None, bool, int, float, str, list, dict with str keys, np.ndarray, Record. mypy has no use for the recursion.
Tree: TypeAlias = Any


@dataclass(frozen=True)
class Record:
    """An object as a file describes it. Nothing of it was ever called or imported.

    Attributes:
        kind: the global that the file names, e.g. ``dnnlib.tflib.network.Network``; ``torch_utils.persistence`` for
            NVlabs' persistent objects.
        name: the class name of a persistent object, else empty.
        fields: its state by name. What the constructor was given, if anything, is the list ``args``; a state that is
            no dictionary is under ``state``.
    """

    kind: str
    name: str
    fields: dict[str, Tree]


def walk(tree: Tree, name: str = "") -> Iterator[tuple[str, Tree]]:
    """Every leaf of a tree with its name: keys, list positions and fields joined by dots.

    Yields:
        ``(name, value)`` with a value that is no list, dict or Record.
    """
    todo = [(name, tree)]
    while todo:
        path, value = todo.pop()
        if isinstance(value, Record):
            value = value.fields
        if isinstance(value, dict):
            children = list(value.items())
        elif isinstance(value, list):
            children = list(enumerate(value))
        else:
            yield path, value
            continue
        todo.extend((f"{path}.{key}" if path else str(key), child) for key, child in reversed(children))


def check_finite(tree: Tree, where: str, allow_nonfinite: bool = False) -> None:
    """Refuses arrays with infinite or undefined values.

    Args:
        tree: what was read; a dictionary of arrays will do.
        where: the file, for the message.
        allow_nonfinite: let them pass.

    Raises:
        CheckpointError: names the first such array and how many there are.
    """
    if allow_nonfinite:
        return
    bad = [(name, value) for name, value in walk(tree) if isinstance(value, np.ndarray) and not _finite(value)]
    if bad:
        name, value = bad[0]
        count = int(value.size - np.isfinite(value).sum())
        more = f"; {len(bad) - 1} other arrays have some too" if len(bad) > 1 else ""
        raise CheckpointError(
            f"{where}: {name or 'its array'} has {count} of {value.size} values that are not finite{more}. A trained "
            "network has none: the file is damaged, or its training diverged. Pass allow_nonfinite to read it anyway"
        )


def _finite(value: np.ndarray) -> bool:
    if value.dtype.kind != "f":
        return True
    # In pieces: the mask of a large array would be an allocation of its own.
    flat = value.reshape(-1)
    return all(bool(np.isfinite(flat[k : k + (1 << 20)]).all()) for k in range(0, flat.size, 1 << 20))
