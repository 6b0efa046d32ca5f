from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from stylerig_fast.errors import CheckpointError
from stylerig_fast.generators.formats.openvino_ir import OpenVINOGraph

VALUES = np.arange(6, dtype="<f4")
IR = """<?xml version="1.0"?>
<net name="tiny" version="10">
  <layers>
    <layer id="0" name="x" type="Parameter" version="opset1"><data shape="1, 2" element_type="f32"/></layer>
    <layer id="1" name="weight" type="Const" version="opset1">
      <data element_type="f32" shape="3, 2" offset="4" size="24"/></layer>
    <layer id="2" name="product" type="MatMul" version="opset1"/>
    <layer id="3" name="scale" type="Const" version="opset1">
      <data element_type="f32" shape="" offset="0" size="4"/></layer>
    <layer id="4" name="scaled" type="Multiply" version="opset1"/>
  </layers>
  <edges>
    <edge from-layer="1" from-port="0" to-layer="2" to-port="1"/>
    <edge from-layer="0" from-port="0" to-layer="2" to-port="0"/>
    <edge from-layer="2" from-port="2" to-layer="4" to-port="0"/>
    <edge from-layer="3" from-port="0" to-layer="4" to-port="1"/>
  </edges>
</net>
"""


def write(folder: Path, xml: str = IR, content: bytes = np.float32(7).tobytes() + VALUES.tobytes()) -> OpenVINOGraph:
    (folder / "net.xml").write_text(xml)
    (folder / "net.bin").write_bytes(content)
    return OpenVINOGraph(folder / "net.xml", folder / "net.bin")


def test_walks_and_reads(tmp_path: Path) -> None:
    graph = write(tmp_path)
    product = graph.node("product")
    assert [node.name for node in graph.inputs(product)] == ["x", "weight"]  # by port, not by order in the file
    assert graph.consumer(product, "Multiply").name == "scaled"
    assert graph.input(graph.node("scaled"), "Const").name == "scale"
    np.testing.assert_array_equal(graph.constant("weight"), VALUES.reshape(3, 2))
    assert graph.constant("scale").shape == () and graph.constant("scale") == 7


def test_truncated_constants(tmp_path: Path) -> None:
    graph = write(tmp_path, content=b"\0" * 27)
    with pytest.raises(CheckpointError, match=r"net\.bin: 27 bytes, but 'weight' lies at 4 to 28.*truncated"):
        graph.constant("weight")


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ('size="24"', 'size="20"', r"'weight' has 20 bytes for shape \(3, 2\)"),
        ('offset="4"', 'offset="-4"', "'weight' has 24 bytes"),
        ('shape="3, 2"', 'shape="-3, -2"', "'weight' has 24 bytes"),
        ('shape="3, 2"', 'shape="3, two"', "'weight' has damaged attributes"),
        ('offset="4" ', "", "'weight' has damaged attributes"),
        ('element_type="f32" shape="3, 2"', 'element_type="u1" shape="3, 2"', "'weight' is a Const of u1"),
    ],
)
def test_damaged_constant(tmp_path: Path, old: str, new: str, message: str) -> None:
    assert old in IR
    with pytest.raises(CheckpointError, match=message):
        write(tmp_path, IR.replace(old, new)).constant("weight")


@pytest.mark.parametrize(
    ("xml", "message"),
    [
        (IR[:300], "no OpenVINO IR"),
        ("<net/>", "0 layers"),
        (IR.replace("<net ", "<model ").replace("</net>", "</model>"), "root <model>"),
        (IR.replace('from-layer="3"', 'from-layer="9"'), "layers 9 and 4, of which one is missing"),
        (IR.replace(' name="scale"', ""), "no OpenVINO IR"),
        ('<!DOCTYPE net [<!ENTITY a "aaaa">]>' + IR.split("\n", 1)[1], "DOCTYPE"),
    ],
)
def test_damaged_graph(tmp_path: Path, xml: str, message: str) -> None:
    with pytest.raises(CheckpointError, match=message):
        write(tmp_path, xml)


def test_missing_files_and_layers(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match=r"absent\.xml: cannot be read"):
        OpenVINOGraph(tmp_path / "absent.xml", tmp_path / "absent.bin")
    graph = write(tmp_path)
    with pytest.raises(CheckpointError, match="no layer 'other'"):
        graph.node("other")
    with pytest.raises(CheckpointError, match="'product' feeds 0 layers of type Add"):
        graph.consumer(graph.node("product"), "Add")
    with pytest.raises(CheckpointError, match="'product' is fed by 0 layers of type Add"):
        graph.input(graph.node("product"), "Add")
