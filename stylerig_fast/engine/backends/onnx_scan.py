"""Walks an ONNX file without any ONNX library, and refuses what reaches beyond the file.

Tensors may name other files that hold their data, by any path; nodes may belong to domains whose code is a library;
there are functions, control flow and training graphs. Exported graphs have none, so a file that has one is not ours.
Field numbers are those of onnx.proto; wire format: https://protobuf.dev/programming-guides/encoding/.

Parsers of this format differ in how they read what no writer writes: of a key beyond 32 bits some keep the low ones, so
that another field stands there for them. Only the shortest form of each number is read, and only keys of 32 bits.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from stylerig_fast.errors import CheckpointError

# Fields that hold messages which matter, by message.
MODEL_GRAPH, MODEL_OPSET, MODEL_TRAINING, MODEL_FUNCTIONS = 7, 8, 20, 25
GRAPH_NODE, GRAPH_INITIALIZER, GRAPH_SPARSE = 1, 5, 15
NODE_ATTRIBUTE, NODE_DOMAIN = 5, 7
ATTRIBUTE_TENSOR, ATTRIBUTE_GRAPH, ATTRIBUTE_TENSORS, ATTRIBUTE_GRAPHS = 5, 6, 10, 11
ATTRIBUTE_SPARSE, ATTRIBUTE_SPARSES = 22, 23
OPSET_DOMAIN = 1
TENSOR_EXTERNAL_DATA, TENSOR_LOCATION = 13, 14
DOMAINS = (b"", b"ai.onnx")
VARINT, FIXED64, LENGTH, FIXED32 = 0, 1, 2, 5
LARGEST_KEY = 0xFFFFFFFF

Message = memoryview


def scan(content: bytes, path: Path) -> None:
    """Raises CheckpointError unless ``content`` is a self-contained graph of standard operators.

    Args:
        content: the whole file.
        path: for the message.
    """
    try:
        _model(memoryview(content))
    except ValueError as error:
        raise CheckpointError(f"{path}: {error}; only graphs that `stylerig export onnx` wrote are run") from error


def _model(model: Message) -> None:
    graphs = 0
    for field, value in _fields(model):
        if field == MODEL_GRAPH:
            graphs += 1
            _graph(_message(value))
        elif field == MODEL_OPSET:
            for inner, domain in _fields(_message(value)):
                if inner == OPSET_DOMAIN:
                    _check_domain(_message(domain))
        elif field in (MODEL_TRAINING, MODEL_FUNCTIONS):
            raise ValueError("it holds functions or a training graph")
    if graphs != 1:
        raise ValueError(f"it holds {graphs} graphs, expected one")


def _graph(graph: Message) -> None:
    for field, value in _fields(graph):
        if field == GRAPH_NODE:
            _node(_message(value))
        elif field == GRAPH_INITIALIZER:
            _tensor(_message(value))
        elif field == GRAPH_SPARSE:
            raise ValueError("it holds sparse tensors")


def _node(node: Message) -> None:
    for field, value in _fields(node):
        if field == NODE_DOMAIN:
            _check_domain(_message(value))
        elif field == NODE_ATTRIBUTE:
            for inner, part in _fields(_message(value)):
                if inner in (ATTRIBUTE_TENSOR, ATTRIBUTE_TENSORS):
                    _tensor(_message(part))
                elif inner in (ATTRIBUTE_GRAPH, ATTRIBUTE_GRAPHS, ATTRIBUTE_SPARSE, ATTRIBUTE_SPARSES):
                    raise ValueError("a node holds a graph or a sparse tensor")


def _tensor(tensor: Message) -> None:
    for field, value in _fields(tensor):
        if field == TENSOR_EXTERNAL_DATA or (field == TENSOR_LOCATION and value != 0):
            raise ValueError("a tensor's data is in another file")


def _check_domain(domain: Message) -> None:
    if bytes(domain) not in DOMAINS:
        raise ValueError(f"operators of the domain {bytes(domain[:64])!r} are not standard ONNX")


def _message(value: int | Message) -> Message:
    if isinstance(value, int):
        raise ValueError("not an ONNX file: a number stands where a message belongs")
    return value


def _fields(message: Message) -> Iterator[tuple[int, int | Message]]:
    """Numbers and values of a message's fields; values of fixed width as bytes."""
    at, end = 0, len(message)
    while at < end:
        key, at = _varint(message, at)
        field, kind = key >> 3, key & 7
        if field == 0 or key > LARGEST_KEY:
            raise ValueError(f"not an ONNX file: a field is numbered {field}")
        if kind == VARINT:
            number, at = _varint(message, at)
            yield field, number
            continue
        if kind == LENGTH:
            size, at = _varint(message, at)
        elif kind in (FIXED32, FIXED64):
            size = 4 if kind == FIXED32 else 8
        else:
            raise ValueError(f"not an ONNX file: wire type {kind}")
        if size > end - at:
            raise ValueError("not an ONNX file, or a truncated one")
        yield field, message[at : at + size]
        at += size


def _varint(message: Message, at: int) -> tuple[int, int]:
    value = 0
    for shift in range(0, 70, 7):
        if at >= len(message):
            raise ValueError("not an ONNX file, or a truncated one")
        byte = message[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            if (byte == 0 and shift > 0) or value >= 1 << 64:
                raise ValueError("not an ONNX file: a number is longer than it needs to be")
            return value, at
    raise ValueError("not an ONNX file: a number does not end")
