"""OpenVINO IR (version 10 and 11): a graph in XML and its constants in a .bin, read without OpenVINO.

Enough of it to walk the graph and take constants out: nothing is executed.
"""

from __future__ import annotations

import re
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np

from stylerig_fast.errors import CheckpointError

_DTYPES: dict[str, np.dtype[Any]] = {
    "f32": np.dtype("<f4"),
    "f16": np.dtype("<f2"),
    "i64": np.dtype("<i8"),
    "i32": np.dtype("<i4"),
}


@dataclass(frozen=True)
class Node:
    """One layer: its id, type (``Convolution``, ``Const``, ...), name and attributes."""

    id: str
    type: str
    name: str
    attributes: dict[str, str]


class OpenVINOGraph:
    """A network in OpenVINO IR.

    Attributes:
        nodes: by name.
    """

    def __init__(self, xml: Path, weights: Path) -> None:
        """Reads both files.

        Raises:
            CheckpointError: a file is missing or no IR, or the graph refers to what is not there.
        """
        self.xml, self.bin = xml, weights
        try:
            text, self._constants = xml.read_bytes(), weights.read_bytes()
        except OSError as error:
            raise CheckpointError(
                f"{error.filename}: cannot be read ({error.strerror}); reinstall its package"
            ) from error
        # Entities are what makes XML from elsewhere dangerous; IR has none, and no DOCTYPE to declare them in.
        if b"<!DOCTYPE" in text or b"<!ENTITY" in text:
            raise CheckpointError(
                f"{xml}: declares a DOCTYPE or entities, which no OpenVINO IR does; reinstall its package"
            )
        try:
            root = ElementTree.fromstring(text)
            layers = [
                Node(
                    layer.attrib["id"],
                    layer.attrib["type"],
                    layer.attrib["name"],
                    dict(data.attrib) if (data := layer.find("data")) is not None else {},
                )
                for layer in root.iterfind("layers/layer")
            ]
            edges = [
                (edge.attrib["from-layer"], edge.attrib["to-layer"], int(edge.attrib["to-port"]))
                for edge in root.iterfind("edges/edge")
            ]
        except (ElementTree.ParseError, KeyError, ValueError) as error:
            raise CheckpointError(
                f"{xml}: no OpenVINO IR ({error!r}); the file is damaged: reinstall its package"
            ) from error
        if root.tag != "net" or not layers:
            raise CheckpointError(
                f"{xml}: no OpenVINO IR (root <{root.tag}>, {len(layers)} layers); reinstall its package"
            )
        self.nodes = {node.name: node for node in layers}
        by_id = {node.id: node for node in layers}
        inputs: dict[str, list[tuple[int, Node]]] = defaultdict(list)
        self._consumers: dict[str, list[Node]] = defaultdict(list)
        for source, target, port in edges:
            if source not in by_id or target not in by_id:
                raise CheckpointError(f"{xml}: an edge joins layers {source} and {target}, of which one is missing")
            inputs[target].append((port, by_id[source]))
            self._consumers[source].append(by_id[target])
        self._inputs = {
            key: [node for _, node in sorted(value, key=lambda item: item[0])] for key, value in inputs.items()
        }

    def node(self, name: str) -> Node:
        if name not in self.nodes:
            raise CheckpointError(f"{self.xml}: no layer {name!r}; expected another network's file")
        return self.nodes[name]

    def inputs(self, node: Node, type: str | None = None) -> list[Node]:
        """What feeds ``node``, in the order of its ports; of one type, if given."""
        return [item for item in self._inputs.get(node.id, []) if type in (None, item.type)]

    def consumer(self, node: Node, type: str) -> Node:
        """The one layer of ``type`` that ``node`` feeds.

        Raises:
            CheckpointError: there is none, or more than one.
        """
        found = [item for item in self._consumers.get(node.id, []) if item.type == type]
        if len(found) != 1:
            raise CheckpointError(f"{self.xml}: {node.name!r} feeds {len(found)} layers of type {type}, expected one")
        return found[0]

    def input(self, node: Node, type: str) -> Node:
        """The one layer of ``type`` that feeds ``node``.

        Raises:
            CheckpointError: there is none, or more than one.
        """
        found = self.inputs(node, type)
        if len(found) != 1:
            raise CheckpointError(
                f"{self.xml}: {node.name!r} is fed by {len(found)} layers of type {type}, expected one"
            )
        return found[0]

    def constant(self, node: Node | str) -> np.ndarray:
        """The value of a ``Const`` layer, as a copy.

        Raises:
            CheckpointError: it is no constant, of a type that is not read here, or lies beyond the end of the .bin.
        """
        node = self.node(node) if isinstance(node, str) else node
        kind = node.attributes.get("element_type", "")
        if node.type != "Const" or kind not in _DTYPES:
            raise CheckpointError(
                f"{self.xml}: {node.name!r} is a {node.type} of {kind or 'no type'}, expected a float Const"
            )
        try:
            offset, size = int(node.attributes["offset"]), int(node.attributes["size"])
            shape = tuple(int(item) for item in re.findall(r"[^,\s]+", node.attributes.get("shape", "")))
        except (KeyError, ValueError) as error:
            raise CheckpointError(f"{self.xml}: {node.name!r} has damaged attributes ({error!r})") from error
        dtype = _DTYPES[kind]
        count = 1
        for extent in shape:
            count *= extent
        if min(shape, default=0) < 0 or offset < 0 or size != count * dtype.itemsize:
            raise CheckpointError(f"{self.xml}: {node.name!r} has {size} bytes for shape {shape} of {kind}")
        if offset + size > len(self._constants):
            raise CheckpointError(
                f"{self.bin}: {len(self._constants)} bytes, but {node.name!r} lies at {offset} to {offset + size}; the "
                "file is truncated: reinstall its package"
            )
        return np.frombuffer(self._constants, dtype, count, offset).reshape(shape).copy()
