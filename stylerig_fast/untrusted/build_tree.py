"""From what the pickle machine described to a tree of plain values. Everything that can grow is bounded."""

from __future__ import annotations

from typing import Any

import numpy as np

from stylerig_fast.errors import CheckpointError
from stylerig_fast.untrusted import arrays, tensors
from stylerig_fast.untrusted.pickle_vm import shown
from stylerig_fast.untrusted.tree import Record, Tree
from stylerig_fast.untrusted.values import Array, DType, Global, Instance, Storage, Tensor

MAX_DEPTH = 100  # StyleGAN modules nest about twenty deep
MAX_NODES = 2_000_000  # a training state of StyleGAN2 has some ten thousand


class Finisher:
    """Makes the tree. A value that several places share is made once if it is an array, else once per place.

    Args:
        budget: bytes that all arrays together may take.
    """

    def __init__(self, budget: int) -> None:
        self._budget, self._used, self._nodes = budget, 0, 0
        self._arrays: dict[int, Tree] = {}
        self._sources: list[Any] = []  # kept, because what is in _arrays goes by their ids
        self._open: set[int] = set()
        self._names: list[str] = []  # the way to the value in work

    def finish(self, value: Any) -> Tree:
        """The tree of a value.

        Raises:
            CheckpointError: it contains itself, is too deep, has too many parts, or arrays that do not fit.
        """
        try:
            return self._tree(value, 0)
        except CheckpointError as error:
            name = shown(".".join(self._names), 200)
            raise CheckpointError(f"{name}: {error}" if name else str(error)) from error

    def _child(self, name: str, value: Any, depth: int) -> Tree:
        self._names.append(name)
        made = self._tree(value, depth + 1)
        self._names.pop()  # not after an error, which is about this one
        return made

    def _tree(self, value: Any, depth: int) -> Tree:
        self._nodes += 1
        if self._nodes > MAX_NODES:
            raise CheckpointError(f"has more than {MAX_NODES} values; a checkpoint has some thousands of tensors")
        if value is None or isinstance(value, (bool, int, float)):
            return value
        if isinstance(value, str):
            return checked_text(value)
        if isinstance(value, (Array, Tensor, Storage, bytes, memoryview)):
            return self._shared(value)
        if isinstance(value, Global):
            return value.name
        if isinstance(value, DType):
            return value.dtype.name
        return self._container(value, depth)

    def _container(self, value: Any, depth: int) -> Tree:
        if depth >= MAX_DEPTH:
            raise CheckpointError(f"nests values more than {MAX_DEPTH} deep, which no checkpoint does")
        if id(value) in self._open:
            raise CheckpointError("has a value that contains itself, which no checkpoint does")
        self._open.add(id(value))
        try:
            if isinstance(value, (list, tuple)):
                return [self._child(str(k), item, depth) for k, item in enumerate(value)]
            if isinstance(value, dict):
                return self._dict(value, depth)
            if isinstance(value, Instance):
                return self._record(value, depth)
        finally:
            self._open.discard(id(value))
        raise CheckpointError(f"has a value of type {type(value).__name__}, which should not be there")

    def _dict(self, value: dict[Any, Any], depth: int) -> dict[str, Tree]:
        made: dict[str, Tree] = {}
        for key, item in value.items():
            name = _key(key)
            if name in made:
                raise CheckpointError(f"has a dictionary with two keys that are both written {shown(name)!r}")
            made[name] = self._child(name, item, depth)
        return made

    def _record(self, value: Instance, depth: int) -> Record:
        fields: dict[str, Tree] = {}
        if value.args:
            fields["args"] = self._child("args", value.args, depth)
        state = value.state
        if (
            isinstance(state, tuple)
            and len(state) == 2
            and all(part is None or isinstance(part, dict) for part in state)
        ):
            state = {**(state[0] or {}), **(state[1] or {})}  # what is in __dict__, and in __slots__
        if isinstance(state, dict):
            fields.update(self._dict(state, depth))
        elif state is not None:
            fields["state"] = self._child("state", state, depth)
        return Record(value.kind, value.name, fields)

    def _shared(self, value: Any) -> Tree:
        if id(value) not in self._arrays:
            self._sources.append(value)
            self._arrays[id(value)] = self._counted(_array(value))
        made = self._arrays[id(value)]
        if made.dtype.kind in "biuf":
            return made
        self._nodes += made.size
        return _text(made)

    def _counted(self, array: np.ndarray) -> np.ndarray:
        self._used += array.nbytes
        if self._used > self._budget:
            raise CheckpointError(
                f"its arrays take more than {self._budget >> 20} MiB, half of the memory limit; if it is that large, "
                "raise the limit: Limits(memory=...)"
            )
        return array


def _array(value: Any) -> np.ndarray:
    if isinstance(value, Array):
        return arrays.to_numpy(value)
    if isinstance(value, Storage):
        value = Tensor(value, 0, (value.count,), (1,), value.dtype)
    return tensors.to_numpy(value) if isinstance(value, Tensor) else np.frombuffer(value, np.uint8)


def checked_text(text: str) -> str:
    """The text, if it is: half a surrogate pair can be neither printed nor written to a file.

    Raises:
        CheckpointError: it has one.
    """
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise CheckpointError("has text that is not Unicode; the file is damaged") from error
    return text


def _key(key: Any) -> str:
    if isinstance(key, bytes):
        return key.decode("latin-1")
    if isinstance(key, tuple):
        return checked_text(str(tuple(_key(part) if isinstance(part, bytes) else part for part in key)))
    return checked_text(str(key))


def _text(array: np.ndarray) -> Tree:
    """An array of text as nested lists."""
    if array.dtype.kind == "S":
        array = np.char.decode(array, "latin-1")
    for item in array.flat:
        checked_text(str(item))
    return array.tolist()
