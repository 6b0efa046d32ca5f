"""A pickle machine that calls nothing: stack, memo and arguments. The opcodes are in :mod:`.opcodes`.

Python's own unpickler imports what a pickle names and calls it. This one has no way to do either: a global is looked
up by its full name in a table of ours (:mod:`.allowlist`), and "calling" it is a function of ours that makes a
description. The memo is a dictionary, so that a large number in it costs nothing, and recursion does not occur.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from typing import Any, Protocol

from stylerig_fast.errors import CheckpointError

MARK = object()
MAX_LINE = 1 << 16  # of the text opcodes that hold numbers and names
KEY_TYPES = (str, int, float, bool, bytes, type(None))


class Meaning(Protocol):
    """What the globals of a pickle mean."""

    def find(self, name: str) -> Any:
        """The value that stands for a global, by its full name; CheckpointError refuses it."""

    def call(self, target: Any, args: tuple[Any, ...]) -> Any:
        """What calling the value would have given, described."""

    def make(self, target: Any, args: tuple[Any, ...]) -> Any:
        """What making an object of a class would have given, described."""

    def build(self, target: Any, state: Any) -> None:
        """Gives a described object its state."""


class PickleVM:
    """The state of one pickle being read.

    Args:
        data: what the pickle is in; it may go on behind the pickle's end.
        position: where it begins; afterwards, behind its end.
        meaning: of its globals.
        persistent: the value of a persistent id; without it they are refused.
    """

    def __init__(
        self, data: memoryview, position: int, meaning: Meaning, persistent: Callable[[Any], Any] | None = None
    ) -> None:
        self.data, self.position, self.meaning, self._persistent = data, position, meaning, persistent
        self.stack: list[Any] = []
        self.memo: dict[int, Any] = {}

    # Reading arguments.

    def take(self, count: int) -> memoryview:
        """The next bytes, not copied."""
        left = len(self.data) - self.position
        if not 0 <= count <= left:
            raise CheckpointError(
                f"{count} bytes are announced at {self.position}, where {left} are left; the file looks truncated"
            )
        self.position += count
        return self.data[self.position - count : self.position]

    def number(self, layout: str) -> int:
        """The next number, of a layout of ``struct``."""
        value: int = struct.unpack(layout, self.take(struct.calcsize(layout)))[0]
        return value

    def line(self, most: int = MAX_LINE) -> bytes:
        """The next text up to a line feed."""
        window = 256
        while True:
            text = bytes(self.data[self.position : self.position + window])
            end = text.find(b"\n")
            if end >= 0:
                self.position += end + 1
                return text[:end]
            if len(text) < window or window > most:
                raise CheckpointError(f"the text at {self.position} does not end; the file is damaged, or no pickle")
            window *= 8

    # The stack.

    def push(self, value: Any) -> None:
        """Puts a value on the stack."""
        self.stack.append(value)

    def pop(self) -> Any:
        """Takes the topmost value."""
        value = self.top()
        del self.stack[-1]
        return value

    def top(self) -> Any:
        """The topmost value."""
        if not self.stack or self.stack[-1] is MARK:
            raise CheckpointError("the pickle uses a value of an empty stack; it is damaged")
        return self.stack[-1]

    def pop_mark(self) -> list[Any]:
        """Takes everything above the last mark, and the mark."""
        for k in range(len(self.stack) - 1, -1, -1):
            if self.stack[k] is MARK:
                values = self.stack[k + 1 :]
                del self.stack[k:]
                return values
        raise CheckpointError("the pickle closes what it never opened; it is damaged")

    def pop_tuple(self, count: int) -> tuple[Any, ...]:
        """Takes so many values, the deepest first."""
        values = [self.pop() for _ in range(count)]
        return tuple(reversed(values))

    def pop_arguments(self) -> tuple[Any, ...]:
        """Takes what something is called with."""
        arguments = self.pop()
        if not isinstance(arguments, tuple):
            raise CheckpointError(f"the pickle calls something with {describe(arguments)} for arguments; it is damaged")
        return arguments

    def pop_name(self) -> str:
        """Takes a part of a global's name."""
        name = self.pop()
        if not isinstance(name, str):
            raise CheckpointError(f"the pickle names a global by {describe(name)}; it is damaged")
        return name

    # Containers and the memo.

    def extend(self, values: list[Any]) -> None:
        """Appends to the list on top."""
        target = self.top()
        if not isinstance(target, list):
            raise CheckpointError(f"the pickle appends to {describe(target)}, which is no list")
        target.extend(values)

    def update(self, values: list[Any]) -> None:
        """Sets items of the dictionary on top: keys and values by turns."""
        target = self.top()
        if not isinstance(target, dict):
            raise CheckpointError(f"the pickle sets items of {describe(target)}, which is no dictionary")
        if len(values) % 2:
            raise CheckpointError("the pickle sets a key without a value; it is damaged")
        for key, value in zip(values[::2], values[1::2], strict=True):
            target[checked_key(key)] = value

    def put(self, index: int) -> None:
        """Remembers the value on top."""
        if index < 0:
            raise CheckpointError("the pickle stores a value under a negative number; it is damaged")
        self.memo[index] = self.top()

    def get(self, index: int) -> None:
        """Pushes what was remembered."""
        if index not in self.memo:
            raise CheckpointError(f"the pickle recalls value {index}, which it never stored; it is damaged")
        self.stack.append(self.memo[index])

    def persistent(self, key: Any) -> None:
        """Pushes what a persistent id stands for."""
        if self._persistent is None:
            raise CheckpointError("the pickle refers to data outside of it, which only torch's own files have")
        self.push(self._persistent(key))


def describe(value: Any) -> str:
    """What a value is, in a word or two; never its content."""
    name = getattr(value, "name", None) or getattr(value, "kind", None)
    return f"{type(value).__name__} {shown(name)}" if isinstance(name, str) else type(value).__name__


def shown(name: str, most: int = 100) -> str:
    """A name out of a file, short and without control characters."""
    name = name if name.isprintable() else ascii(name)
    return name if len(name) <= most else name[:most] + "…"


def checked_key(key: Any) -> Any:
    """A dictionary's key: a scalar, or a tuple of scalars."""
    if isinstance(key, memoryview):
        key = bytes(key)
    parts = key if isinstance(key, tuple) else (key,)
    if not all(isinstance(part, KEY_TYPES) for part in parts):
        raise CheckpointError(f"a dictionary has {describe(key)} for a key; a checkpoint's keys are names or numbers")
    return key
