"""A pickle machine that calls nothing: it carries out the opcodes on plain values and describes everything else.

Python's own unpickler imports what a pickle names and calls it. This one has no way to do either: a global is looked
up by its full name in a table of ours (``allowed.py``), and "calling" it is a function of ours that makes a
description. Extension codes (the copyreg registry) and out-of-band buffers are refused, the memo is a dictionary
so that its numbers cost nothing, and recursion does not occur.
"""

from __future__ import annotations

import codecs
import struct
from collections.abc import Callable
from typing import Any

from stylerig_fast.errors import CheckpointError

_MARK = object()
MAX_LINE = 1 << 16  # longest argument of a text opcode; numbers and names, in pickles of Python 2 also short strings
MAX_INTEGER = 128  # bytes; seeds and hashes have 8 to 32
KEY_TYPES = (str, int, float, bool, bytes, type(None))


class Machine:
    """Carries out one pickle.

    Args:
        data: what the pickle is in; it may go on behind the pickle's end.
        start: where it begins.
        find: gives the value that stands for a global, by its full name; raises CheckpointError to refuse it.
        call: gives the result of calling what ``find`` gave with arguments, by description.
        make: the same for making an instance of a class.
        build: gives a value its state.
        persistent: the value of a persistent id; without it they are refused.
    """

    def __init__(
        self,
        data: memoryview,
        start: int,
        find: Callable[[str], Any],
        call: Callable[[Any, tuple[Any, ...]], Any],
        make: Callable[[Any, tuple[Any, ...], dict[str, Any]], Any],
        build: Callable[[Any, Any], None],
        persistent: Callable[[Any], Any] | None = None,
    ) -> None:
        self.data, self.position = data, start
        self.find, self.call, self.make, self.build, self.persistent = find, call, make, build, persistent
        self.stack: list[Any] = []
        self.memo: dict[int, Any] = {}

    def run(self) -> Any:
        """The value that the pickle describes. Afterwards ``position`` is behind its end."""
        data, operations = self.data, _OPERATIONS
        while True:
            if self.position >= len(data):
                raise CheckpointError("the pickle ends before its STOP opcode; the file looks truncated")
            code = data[self.position]
            self.position += 1
            if code == 0x2E:  # STOP
                value = self.pop()
                if self.stack:
                    raise CheckpointError("the pickle ends with values left over; it is damaged")
                return value
            operation = operations.get(code)
            if operation is None:
                raise CheckpointError(
                    f"byte {code:#04x} at {self.position - 1} is no pickle opcode that a checkpoint uses; "
                    "the file is damaged, or not a pickle"
                )
            operation(self)

    # Reading arguments.

    def take(self, count: int) -> memoryview:
        end = self.position + count
        if count < 0 or end > len(self.data):
            raise CheckpointError(
                f"{count} bytes are announced at {self.position}, but {len(self.data) - self.position} are left; "
                "the file looks truncated"
            )
        part = self.data[self.position : end]
        self.position = end
        return part

    def number(self, layout: str) -> int:
        value: int = struct.unpack(layout, self.take(struct.calcsize(layout)))[0]
        return value

    def line(self) -> bytes:
        window = bytes(self.data[self.position : self.position + MAX_LINE])
        end = window.find(b"\n")
        if end < 0:
            raise CheckpointError(f"the text at {self.position} has no end; the file is damaged, or not a pickle")
        self.position += end + 1
        return window[:end]

    def text(self, count: int) -> str:
        return str(self.take(count), "utf-8", "surrogatepass")

    # The stack.

    def push(self, value: Any) -> None:
        self.stack.append(value)

    def pop(self) -> Any:
        if not self.stack or self.stack[-1] is _MARK:
            raise CheckpointError("the pickle takes a value from an empty stack; it is damaged")
        return self.stack.pop()

    def top(self) -> Any:
        if not self.stack or self.stack[-1] is _MARK:
            raise CheckpointError("the pickle uses a value of an empty stack; it is damaged")
        return self.stack[-1]

    def pop_mark(self) -> list[Any]:
        """Everything above the last mark, and the mark."""
        for k in range(len(self.stack) - 1, -1, -1):
            if self.stack[k] is _MARK:
                values = self.stack[k + 1 :]
                del self.stack[k:]
                return values
        raise CheckpointError("the pickle closes what it never opened; it is damaged")

    # Containers.

    def fill_list(self, values: list[Any]) -> None:
        target = self.top()
        if not isinstance(target, list):
            raise CheckpointError(f"the pickle appends to {describe(target)}, which is no list")
        target.extend(values)

    def fill_dict(self, values: list[Any]) -> None:
        target = self.top()
        if not isinstance(target, dict):
            raise CheckpointError(f"the pickle sets items of {describe(target)}, which is no dictionary")
        if len(values) % 2:
            raise CheckpointError("the pickle sets a key without a value; it is damaged")
        for key, value in zip(values[::2], values[1::2], strict=True):
            target[checked_key(key)] = value

    def get(self, index: int) -> None:
        if index not in self.memo:
            raise CheckpointError(f"the pickle recalls value {index}, which it never stored; it is damaged")
        self.stack.append(self.memo[index])

    def pop_arguments(self) -> tuple[Any, ...]:
        arguments = self.pop()
        if not isinstance(arguments, tuple):
            raise CheckpointError(f"the pickle calls something with {describe(arguments)} for arguments; it is damaged")
        return arguments

    def pop_name(self) -> str:
        name = self.pop()
        if not isinstance(name, str):
            raise CheckpointError(f"the pickle names a global by {describe(name)}; it is damaged")
        return name


def describe(value: Any) -> str:
    """What a value is, in a word or two; never its content."""
    name = getattr(value, "name", None) or getattr(value, "kind", None)
    return f"{type(value).__name__} {name}" if isinstance(name, str) else type(value).__name__


def checked_key(key: Any) -> Any:
    """A dictionary's key: a scalar, or a tuple of scalars."""
    if isinstance(key, memoryview):
        key = bytes(key)
    parts = key if isinstance(key, tuple) else (key,)
    if not all(isinstance(part, KEY_TYPES) for part in parts):
        raise CheckpointError(
            f"the pickle has a dictionary with {describe(key)} for a key; a checkpoint's keys are names"
        )
    return key


def _decimal(line: bytes) -> int | bool:
    if line in (b"00", b"01"):
        return line == b"01"
    line = line.rstrip(b"L")
    if len(line) > 2 * MAX_INTEGER:
        raise CheckpointError(f"the pickle has an integer of {len(line)} digits; no checkpoint does")
    return int(line)


def _long(machine: Machine, count: int) -> int:
    if count > MAX_INTEGER:
        raise CheckpointError(f"the pickle has an integer of {count} bytes; no checkpoint does")
    return int.from_bytes(machine.take(count), "little", signed=True)


def _quoted(line: bytes) -> str:
    line = line.strip()
    if len(line) < 2 or line[0] != line[-1] or line[:1] not in (b"'", b'"'):
        raise CheckpointError("the pickle has a string without quotes; it is damaged")
    return codecs.escape_decode(line[1:-1])[0].decode("latin-1")  # type: ignore[attr-defined]


def _remember(machine: Machine, index: int) -> None:
    if index < 0:
        raise CheckpointError("the pickle stores a value under a negative number; it is damaged")
    machine.memo[index] = machine.top()


def _tuple(machine: Machine, count: int) -> None:
    values = [machine.pop() for _ in range(count)]
    machine.push(tuple(reversed(values)))


def _pop_or_mark(machine: Machine) -> None:
    if not machine.stack:
        raise CheckpointError("the pickle takes a value from an empty stack; it is damaged")
    machine.stack.pop()


def _set(machine: Machine) -> None:
    values = machine.pop_mark()
    machine.fill_list(values)


def _protocol(machine: Machine) -> None:
    version = machine.number("<B")
    if version > 5:
        raise CheckpointError(f"pickle protocol {version} is not known (expected at most 5); the file is damaged")


def _frame(machine: Machine) -> None:
    count = machine.number("<Q")
    if count > len(machine.data) - machine.position:
        raise CheckpointError("the pickle announces more than the file has; it looks truncated")


def _stack_global(machine: Machine) -> None:
    name = machine.pop_name()
    machine.push(machine.find(f"{machine.pop_name()}.{name}"))


def _global(machine: Machine) -> Any:
    module, name = machine.line(), machine.line()
    return machine.find(f"{module.decode('utf-8', 'replace')}.{name.decode('utf-8', 'replace')}")


def _reduce(machine: Machine) -> None:
    arguments = machine.pop_arguments()
    machine.push(machine.call(machine.pop(), arguments))


def _new(machine: Machine) -> None:
    arguments = machine.pop_arguments()
    machine.push(machine.make(machine.pop(), arguments, {}))


def _new_with_keywords(machine: Machine) -> None:
    keywords = machine.pop()
    if not isinstance(keywords, dict):
        raise CheckpointError("the pickle makes an object with keywords that are no dictionary; it is damaged")
    arguments = machine.pop_arguments()
    machine.push(machine.make(machine.pop(), arguments, keywords))


def _instance(machine: Machine) -> None:
    cls = _global(machine)
    machine.push(machine.make(cls, tuple(machine.pop_mark()), {}))


def _object(machine: Machine) -> None:
    values = machine.pop_mark()
    if not values:
        raise CheckpointError("the pickle makes an object of no class; it is damaged")
    machine.push(machine.make(values[0], tuple(values[1:]), {}))


def _build(machine: Machine) -> None:
    state = machine.pop()
    machine.build(machine.top(), state)


def _persistent(machine: Machine, key: Any) -> None:
    if machine.persistent is None:
        raise CheckpointError("the pickle refers to data outside of it, which only torch's own files have")
    machine.push(machine.persistent(key))


def _refuse_extension(machine: Machine) -> None:
    raise CheckpointError("refuses an extension code: it stands for a global that the file does not name")


def _refuse_buffer(machine: Machine) -> None:
    raise CheckpointError("the pickle has buffers outside of it; a file has to hold everything")


_OPERATIONS: dict[int, Callable[[Machine], None]] = {
    ord("("): lambda m: m.push(_MARK),
    ord("0"): _pop_or_mark,
    ord("1"): lambda m: (m.pop_mark(), None)[1],
    ord("2"): lambda m: m.push(m.top()),
    # numbers and constants
    ord("F"): lambda m: m.push(float(m.line())),
    ord("G"): lambda m: m.push(struct.unpack(">d", m.take(8))[0]),
    ord("I"): lambda m: m.push(_decimal(m.line())),
    ord("L"): lambda m: m.push(int(_decimal(m.line()))),
    ord("J"): lambda m: m.push(m.number("<i")),
    ord("K"): lambda m: m.push(m.number("<B")),
    ord("M"): lambda m: m.push(m.number("<H")),
    0x8A: lambda m: m.push(_long(m, m.number("<B"))),
    0x8B: lambda m: m.push(_long(m, m.number("<i"))),
    ord("N"): lambda m: m.push(None),
    0x88: lambda m: m.push(True),
    0x89: lambda m: m.push(False),
    # text and bytes; Python 2 made no difference between them
    ord("S"): lambda m: m.push(_quoted(m.line())),
    ord("T"): lambda m: m.push(str(m.take(m.number("<i")), "latin-1")),
    ord("U"): lambda m: m.push(str(m.take(m.number("<B")), "latin-1")),
    ord("V"): lambda m: m.push(str(m.line(), "raw-unicode-escape")),
    ord("X"): lambda m: m.push(m.text(m.number("<I"))),
    0x8C: lambda m: m.push(m.text(m.number("<B"))),
    0x8D: lambda m: m.push(m.text(m.number("<Q"))),
    ord("B"): lambda m: m.push(m.take(m.number("<I"))),
    ord("C"): lambda m: m.push(m.take(m.number("<B"))),
    0x8E: lambda m: m.push(m.take(m.number("<Q"))),
    0x96: lambda m: m.push(m.take(m.number("<Q"))),
    # containers; a set is a list, which it becomes in the end anyway
    ord("]"): lambda m: m.push([]),
    ord("}"): lambda m: m.push({}),
    ord(")"): lambda m: m.push(()),
    0x8F: lambda m: m.push([]),
    ord("l"): lambda m: m.push(m.pop_mark()),
    ord("t"): lambda m: m.push(tuple(m.pop_mark())),
    0x91: lambda m: m.push(m.pop_mark()),
    0x85: lambda m: _tuple(m, 1),
    0x86: lambda m: _tuple(m, 2),
    0x87: lambda m: _tuple(m, 3),
    ord("d"): lambda m: _dict(m),
    ord("a"): lambda m: m.fill_list([m.pop()]),
    ord("e"): _set,
    0x90: _set,
    ord("s"): lambda m: m.fill_dict([m.pop(), m.pop()][::-1]),
    ord("u"): lambda m: m.fill_dict(m.pop_mark()),
    # memo
    ord("p"): lambda m: _remember(m, int(_decimal(m.line()))),
    ord("q"): lambda m: _remember(m, m.number("<B")),
    ord("r"): lambda m: _remember(m, m.number("<I")),
    0x94: lambda m: _remember(m, len(m.memo)),
    ord("g"): lambda m: m.get(int(_decimal(m.line()))),
    ord("h"): lambda m: m.get(m.number("<B")),
    ord("j"): lambda m: m.get(m.number("<I")),
    # globals and objects
    ord("c"): lambda m: m.push(_global(m)),
    0x93: _stack_global,
    ord("R"): _reduce,
    ord("i"): _instance,
    ord("o"): _object,
    0x81: _new,
    0x92: _new_with_keywords,
    ord("b"): _build,
    ord("P"): lambda m: _persistent(m, m.line().decode("latin-1")),
    ord("Q"): lambda m: _persistent(m, m.pop()),
    # the rest
    0x80: _protocol,
    0x95: _frame,
    0x82: _refuse_extension,
    0x83: _refuse_extension,
    0x84: _refuse_extension,
    0x97: _refuse_buffer,
    0x98: _refuse_buffer,
}


def _dict(machine: Machine) -> None:
    values = machine.pop_mark()
    machine.push({})
    machine.fill_dict(values)
