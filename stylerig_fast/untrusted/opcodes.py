"""The opcodes of pickle protocols 0 to 5, on the machine that calls nothing.

Extension codes (1, 2, 4 bytes) stand for globals that a registry of the process knows, and out-of-band buffers for
data that is not in the file: both are refused. Everything else is carried out or described.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Callable
from typing import Any

from stylerig_fast.errors import CheckpointError
from stylerig_fast.untrusted.pickle_vm import MARK, Meaning, PickleVM

MAX_INTEGER = 128  # bytes; seeds and hashes have 8 to 32
MAX_PROTOCOL = 5
STOP = 0x2E
# What Python 2 writes in a quoted string: its repr.
_ESCAPED = {b"n": b"\n", b"r": b"\r", b"t": b"\t", b"\\": b"\\", b"'": b"'", b'"': b'"'}
_ESCAPE = re.compile(rb"\\(x[0-9a-fA-F]{2}|[nrt\\'\"])")


def unpickle(
    data: memoryview, meaning: Meaning, persistent: Callable[[Any], Any] | None = None, start: int = 0
) -> tuple[Any, int]:
    """Carries out one pickle.

    Args:
        data: what the pickle is in; it may go on behind the pickle's end.
        meaning: of its globals.
        persistent: the value of a persistent id; without it they are refused.
        start: where it begins.

    Returns:
        The value that it describes, and where it ends.

    Raises:
        CheckpointError: it is damaged, or has something that is refused.
    """
    machine = PickleVM(data, start, meaning, persistent)
    while True:
        if machine.position >= len(data):
            raise CheckpointError("the pickle ends before its STOP opcode; the file looks truncated")
        code = data[machine.position]
        machine.position += 1
        if code == STOP:
            value = machine.pop()
            if machine.stack:
                raise CheckpointError("the pickle ends with values left over; it is damaged")
            return value, machine.position
        operation = OPERATIONS.get(code)
        if operation is None:
            raise CheckpointError(
                f"byte {code:#04x} at {machine.position - 1} is no pickle opcode; the file is damaged, or not a pickle"
            )
        operation(machine)


def _decimal(line: bytes) -> int | bool:
    if line in (b"00", b"01"):
        return line == b"01"
    line = line.rstrip(b"L")
    if len(line) > 2 * MAX_INTEGER:
        raise CheckpointError(f"the pickle has an integer of {len(line)} digits; no checkpoint does")
    return int(line)


def _integer(machine: PickleVM, count: int) -> int:
    if count > MAX_INTEGER:
        raise CheckpointError(f"the pickle has an integer of {count} bytes; no checkpoint does")
    return int.from_bytes(machine.take(count), "little", signed=True)


def _quoted(machine: PickleVM) -> str:
    line = machine.line(len(machine.data)).strip()
    if len(line) < 2 or line[0] != line[-1] or line[:1] not in (b"'", b'"'):
        raise CheckpointError("the pickle has a string without quotes; it is damaged")
    return str(_ESCAPE.sub(_unescaped, line[1:-1]), "latin-1")


def _unescaped(found: re.Match[bytes]) -> bytes:
    code = found[1]
    return bytes([int(code[1:], 16)]) if code[:1] == b"x" else _ESCAPED[code]


def _text(machine: PickleVM, count: int) -> str:
    return str(machine.take(count), "utf-8")


def _latin(machine: PickleVM, count: int) -> str:
    return str(machine.take(count), "latin-1")


def _drop(machine: PickleVM) -> None:
    if not machine.stack:
        raise CheckpointError("the pickle takes a value from an empty stack; it is damaged")
    machine.stack.pop()  # a mark too


def _dictionary(machine: PickleVM) -> None:
    values = machine.pop_mark()
    machine.push({})
    machine.update(values)


def _extend(machine: PickleVM) -> None:
    values = machine.pop_mark()
    machine.extend(values)


def _append(machine: PickleVM) -> None:
    value = machine.pop()
    machine.extend([value])


def _set_items(machine: PickleVM) -> None:
    values = machine.pop_mark()
    machine.update(values)


def _set_item(machine: PickleVM) -> None:
    machine.update(list(machine.pop_tuple(2)))


def _named(machine: PickleVM) -> Any:
    module, name = machine.line(), machine.line()
    return machine.meaning.find(f"{str(module, 'utf-8')}.{str(name, 'utf-8')}")


def _stacked(machine: PickleVM) -> None:
    name = machine.pop_name()
    module = machine.pop_name()
    machine.push(machine.meaning.find(f"{module}.{name}"))


def _call(machine: PickleVM) -> None:
    arguments = machine.pop_arguments()
    machine.push(machine.meaning.call(machine.pop(), arguments))


def _make(machine: PickleVM) -> None:
    arguments = machine.pop_arguments()
    machine.push(machine.meaning.make(machine.pop(), arguments))


def _make_with_keywords(machine: PickleVM) -> None:
    if machine.pop() != {}:
        raise CheckpointError("the pickle makes an object with keywords, which nothing in a checkpoint is")
    _make(machine)


def _make_named(machine: PickleVM) -> None:
    cls = _named(machine)
    machine.push(machine.meaning.make(cls, tuple(machine.pop_mark())))


def _make_marked(machine: PickleVM) -> None:
    values = machine.pop_mark()
    if not values:
        raise CheckpointError("the pickle makes an object of no class; it is damaged")
    machine.push(machine.meaning.make(values[0], tuple(values[1:])))


def _build(machine: PickleVM) -> None:
    state = machine.pop()
    machine.meaning.build(machine.top(), state)


def _protocol(machine: PickleVM) -> None:
    version = machine.number("<B")
    if version > MAX_PROTOCOL:
        raise CheckpointError(f"pickle protocol {version} is not known (at most {MAX_PROTOCOL}); the file is damaged")


def _frame(machine: PickleVM) -> None:
    count = machine.number("<Q")
    if count > len(machine.data) - machine.position:
        raise CheckpointError("the pickle announces more than the file has; it looks truncated")


def _refuse_extension(machine: PickleVM) -> None:
    raise CheckpointError("refuses an extension code: it stands for a global that the file does not name")


def _refuse_buffer(machine: PickleVM) -> None:
    raise CheckpointError("the pickle has buffers outside of it; a checkpoint has to hold everything")


OPERATIONS: dict[int, Callable[[PickleVM], None]] = {
    ord("("): lambda m: m.push(MARK),
    ord("0"): _drop,
    ord("1"): lambda m: m.pop_mark().clear(),
    ord("2"): lambda m: m.push(m.top()),
    # numbers and constants
    ord("F"): lambda m: m.push(float(m.line())),
    ord("G"): lambda m: m.push(struct.unpack(">d", m.take(8))[0]),
    ord("I"): lambda m: m.push(_decimal(m.line())),
    ord("L"): lambda m: m.push(int(_decimal(m.line()))),
    ord("J"): lambda m: m.push(m.number("<i")),
    ord("K"): lambda m: m.push(m.number("<B")),
    ord("M"): lambda m: m.push(m.number("<H")),
    0x8A: lambda m: m.push(_integer(m, m.number("<B"))),
    0x8B: lambda m: m.push(_integer(m, m.number("<i"))),
    ord("N"): lambda m: m.push(None),
    0x88: lambda m: m.push(True),
    0x89: lambda m: m.push(False),
    # text, and bytes; in Python 2 they were the same
    ord("S"): lambda m: m.push(_quoted(m)),
    ord("T"): lambda m: m.push(_latin(m, m.number("<i"))),
    ord("U"): lambda m: m.push(_latin(m, m.number("<B"))),
    ord("V"): lambda m: m.push(str(m.line(len(m.data)), "raw-unicode-escape")),
    ord("X"): lambda m: m.push(_text(m, m.number("<I"))),
    0x8C: lambda m: m.push(_text(m, m.number("<B"))),
    0x8D: lambda m: m.push(_text(m, m.number("<Q"))),
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
    0x85: lambda m: m.push(m.pop_tuple(1)),
    0x86: lambda m: m.push(m.pop_tuple(2)),
    0x87: lambda m: m.push(m.pop_tuple(3)),
    ord("d"): _dictionary,
    ord("a"): _append,
    ord("e"): _extend,
    0x90: _extend,
    ord("s"): _set_item,
    ord("u"): _set_items,
    # the memo
    ord("p"): lambda m: m.put(int(_decimal(m.line()))),
    ord("q"): lambda m: m.put(m.number("<B")),
    ord("r"): lambda m: m.put(m.number("<I")),
    0x94: lambda m: m.put(len(m.memo)),
    ord("g"): lambda m: m.get(int(_decimal(m.line()))),
    ord("h"): lambda m: m.get(m.number("<B")),
    ord("j"): lambda m: m.get(m.number("<I")),
    # globals and objects
    ord("c"): lambda m: m.push(_named(m)),
    0x93: _stacked,
    ord("R"): _call,
    ord("i"): _make_named,
    ord("o"): _make_marked,
    0x81: _make,
    0x92: _make_with_keywords,
    ord("b"): _build,
    ord("P"): lambda m: m.persistent(str(m.line(), "latin-1")),
    ord("Q"): lambda m: m.persistent(m.pop()),
    # the rest
    0x80: _protocol,
    0x95: _frame,
    0x82: _refuse_extension,
    0x83: _refuse_extension,
    0x84: _refuse_extension,
    0x97: _refuse_buffer,
    0x98: lambda m: None,  # READONLY_BUFFER: bytes are read-only here anyway
}
