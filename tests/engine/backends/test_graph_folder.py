"""Reading an export folder: what is refused, and that the rest is not."""

from __future__ import annotations

import contextlib
import hashlib
import json
import shutil
import struct
from pathlib import Path

import onnx
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import TensorProto, helper, numpy_helper

from export.onnx import ExportParts, export_onnx
from stylerig_fast.engine.backends.graph_folder import GraphFolder, fingerprint
from stylerig_fast.engine.backends.onnx_scan import scan
from stylerig_fast.errors import CheckpointError
from stylerig_fast.face.model_io import open_face_model
from tests.engine.conftest import small_generator, small_parts


@pytest.fixture(scope="module")
def original(tmp_path_factory):
    folder = tmp_path_factory.mktemp("original")
    export_onnx(ExportParts(*small_parts(), open_face_model()), folder)
    return folder


@pytest.fixture
def folder(original, tmp_path):
    return Path(shutil.copytree(original, tmp_path / "graphs"))


def put(folder: Path, content: bytes, name: str = "generator") -> GraphFolder:
    """Replaces a graph, and its sum in export.json, as somebody who makes such a folder would."""
    (folder / f"{name}.onnx").write_bytes(content)
    manifest = json.loads((folder / "export.json").read_text())
    manifest["files"][f"{name}.onnx"] = hashlib.sha256(content).hexdigest()
    (folder / "export.json").write_text(json.dumps(manifest))
    return GraphFolder(folder)


def model(*nodes, initializers=(), **more) -> onnx.ModelProto:
    x, y = (helper.make_tensor_value_info(name, TensorProto.FLOAT, [1]) for name in "xy")
    graph = helper.make_graph(list(nodes) or [helper.make_node("Neg", ["x"], ["y"])], "g", [x], [y], list(initializers))
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], **more)


def test_what_was_exported_is_read(folder):
    graphs = GraphFolder(folder)
    for name in ("rig", "generator", "edit", "reconstructor"):
        onnx.checker.check_model(onnx.load_model_from_string(graphs.read(name)))


@pytest.mark.parametrize("location", ["weights.bin", "../weights.bin", "/etc/passwd", "a/../../b", "", "link"])
def test_external_data_is_refused(folder, location):
    tensor = TensorProto(name="w", data_type=TensorProto.FLOAT, dims=[1], data_location=TensorProto.EXTERNAL)
    tensor.external_data.add(key="location", value=location)
    node = helper.make_node("Add", ["x", "w"], ["y"])
    with pytest.raises(CheckpointError, match=r"generator\.onnx: a tensor's data is in another file; only graphs that"):
        put(folder, model(node, initializers=[tensor]).SerializeToString()).read("generator")


def test_external_data_without_a_location_is_refused_too(folder):
    tensor = numpy_helper.from_array(torch.ones(1).numpy(), "w")
    tensor.external_data.add(key="location", value="weights.bin")
    with pytest.raises(CheckpointError, match="another file"):
        put(folder, model(initializers=[tensor]).SerializeToString()).read("generator")


def hidden_tensor() -> TensorProto:
    tensor = TensorProto(name="w", data_type=TensorProto.FLOAT, dims=[1], data_location=TensorProto.EXTERNAL)
    tensor.external_data.add(key="location", value="../weights.bin")
    return tensor


def test_external_data_in_an_attribute_is_refused(folder):
    node = helper.make_node("Constant", [], ["y"], value=hidden_tensor())
    with pytest.raises(CheckpointError, match="another file"):
        put(folder, model(node).SerializeToString()).read("generator")


def test_external_data_in_a_second_graph_message_is_refused(folder):
    """Two messages of one field are merged by parsers of protocol buffers: neither may be overlooked."""
    extra = onnx.GraphProto(initializer=[hidden_tensor()]).SerializeToString()
    content = model().SerializeToString() + b"\x3a" + bytes([len(extra)]) + extra
    assert onnx.load_model_from_string(content).graph.initializer  # merged
    with pytest.raises(CheckpointError, match="another file|2 graphs"):
        put(folder, content).read("generator")


@pytest.mark.parametrize(
    ("made", "message"),
    [
        (model(helper.make_node("Neg", ["x"], ["y"], domain="com.microsoft")), "'com.microsoft' are not standard"),
        (helper.make_model(model().graph, opset_imports=[helper.make_opsetid("evil", 1)]), "'evil' are not standard"),
        (
            model(functions=[helper.make_function("d", "f", [], [], [], [helper.make_opsetid("", 18)])]),
            "functions or a training graph",
        ),
        (
            model(helper.make_node("If", ["x"], ["y"], then_branch=model().graph, else_branch=model().graph)),
            "holds a graph or a sparse tensor",
        ),
    ],
)
def test_what_reaches_beyond_the_standard_is_refused(folder, made, message):
    with pytest.raises(CheckpointError, match=message):
        put(folder, made.SerializeToString()).read("generator")


def test_links_are_not_followed(folder, tmp_path):
    moved = tmp_path / "generator.onnx"
    (folder / "generator.onnx").rename(moved)
    (folder / "generator.onnx").symlink_to(moved)
    with pytest.raises(CheckpointError, match=r"generator\.onnx: is a symbolic link"):
        GraphFolder(folder).read("generator")


def test_a_changed_byte_is_found(folder):
    content = bytearray((folder / "edit.onnx").read_bytes())
    content[len(content) // 2] ^= 1
    (folder / "edit.onnx").write_bytes(content)
    with pytest.raises(CheckpointError, match=r"edit\.onnx: sha256 .* is not the one in export\.json"):
        GraphFolder(folder).read("edit")


def test_a_missing_graph(folder):
    (folder / "rig.onnx").unlink()
    with pytest.raises(CheckpointError, match=r"rig\.onnx: cannot be read"):
        GraphFolder(folder).read("rig")


def test_a_size_beyond_the_limit(folder, monkeypatch):
    monkeypatch.setattr("stylerig_fast.engine.backends.graph_folder.MAX_GRAPH", 1000)
    with pytest.raises(CheckpointError, match="expected a regular file of at most 1000"):
        GraphFolder(folder).read("generator")


def test_a_folder_in_place_of_a_file(folder):
    (folder / "rig.onnx").unlink()
    (folder / "rig.onnx").mkdir()
    with pytest.raises(CheckpointError, match=r"rig\.onnx: "):
        GraphFolder(folder).read("rig")


@pytest.mark.parametrize(
    "change",
    [
        {"format": 3},
        {"precision": "fp8"},
        {"batch": "static 0"},
        {"batch": "some"},
        {"generator": "name"},
        {"generator": {"name": 1, "sha256": "0"}},
        {"files": {"rig.onnx": 3}},
        {"sizes": {"identity": "80"}},
        {"num_ws": "18"},
        {"surplus": 1},
    ],
    ids=str,
)
def test_a_damaged_head(folder, change):
    manifest = json.loads((folder / "export.json").read_text())
    (folder / "export.json").write_text(json.dumps(manifest | change))
    with pytest.raises(CheckpointError, match=r"export\.json: not the manifest of an export"):
        GraphFolder(folder)


@pytest.mark.parametrize("text", ["", "[]", "{}", "null", "{", "\x00\xff"])
def test_no_head(folder, text):
    (folder / "export.json").write_text(text)
    with pytest.raises(CheckpointError, match=r"export\.json: not the manifest of an export"):
        GraphFolder(folder)


def test_no_folder(tmp_path):
    with pytest.raises(CheckpointError, match="cannot be read .*stylerig export onnx"):
        GraphFolder(tmp_path / "nothing")


def test_graphs_of_other_parts_are_refused(folder):
    generator, rig, _ = small_parts()
    graphs = GraphFolder(folder)
    graphs.check_parts(generator, rig)
    other = small_generator()
    other.to_image.bias.data += 1
    with pytest.raises(CheckpointError, match="graphs of the generator 'untrained' .* the Engine has 'untrained' "):
        graphs.check_parts(other, rig)
    rig.gain[0] = 2
    with pytest.raises(CheckpointError, match="graphs of the rig 'subspace'"):
        graphs.check_parts(generator, rig)


def test_fingerprints_tell_weights_apart():
    a, b = torch.nn.Linear(2, 2), torch.nn.Linear(2, 2)
    assert fingerprint(a) != fingerprint(b)
    b.load_state_dict(a.state_dict())
    assert fingerprint(a) == fingerprint(b)


# ---- the scanner against anything --------------------------------------------------------------


@given(st.binary(max_size=200))
@settings(max_examples=300, deadline=None)
def test_any_bytes_are_judged(content):
    with contextlib.suppress(CheckpointError):
        scan(content, Path("x.onnx"))


@given(st.data())
@settings(max_examples=150, deadline=None)
def test_damage_never_hides_external_data(data):
    """Whatever is changed: if a parser then sees data elsewhere, so did the scanner."""
    node = helper.make_node("Add", ["x", "w"], ["y"])
    content = bytearray(model(node, initializers=[hidden_tensor()]).SerializeToString())
    for _ in range(data.draw(st.integers(0, 3))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    try:
        scan(bytes(content), Path("x.onnx"))
    except CheckpointError:
        return
    try:
        parsed = onnx.load_model_from_string(bytes(content))
    except Exception:
        return
    tensors = [*parsed.graph.initializer, *(a.t for n in parsed.graph.node for a in n.attribute)]
    assert not any(tensor.data_location or tensor.external_data for tensor in tensors)


def varint(value: int, padding: int = 0) -> bytes:
    """A number as protobuf writes it, or with ``padding`` bytes that add zeros at its top."""
    parts = [value >> shift & 0x7F for shift in range(0, max(value.bit_length(), 1), 7)] + [0] * padding
    return bytes(part | 0x80 for part in parts[:-1]) + bytes(parts[-1:])


# From a model to the name of its tensor's file: numbers of the fields on the way.
GRAPH, INITIALIZER, EXTERNAL_DATA = 7, 5, 13


def hiding(level: int, high: int = 0, padding: int = 0, length_padding: int = 0) -> bytes:
    """A model whose only tensor is in another file, its key at one level (0: the model) written otherwise."""
    content = b"\x0a\x08location\x12\x06secret"
    for depth, field in reversed(list(enumerate((GRAPH, INITIALIZER, EXTERNAL_DATA)))):
        here = depth == level
        key = varint((field << 3 | 2) + (high << 32 if here else 0), padding if here else 0)
        content = key + varint(len(content), length_padding if here else 0) + content
    return b"\x08\x0a" + content


@pytest.mark.parametrize("level", [0, 1, 2])
@pytest.mark.parametrize("high", [0, 1, 2, 1 << 10, (1 << 28) - 1, (1 << 32) - 1])
@pytest.mark.parametrize("padding", [0, 1, 4])
@pytest.mark.parametrize("length_padding", [0, 1, 4])
def test_no_spelling_of_a_key_hides_external_data(level, high, padding, length_padding):
    with pytest.raises(CheckpointError):
        scan(hiding(level, high, padding, length_padding), Path("x.onnx"))


def test_what_a_key_beyond_32_bits_would_hide():
    """What this is about: some parsers find the field that the low 32 bits name."""
    plain = onnx.load_model_from_string(hiding(0))
    assert plain.graph.initializer[0].external_data[0].value == "secret"
    with pytest.raises(CheckpointError, match=r"a field is numbered 536870925"):
        scan(hiding(2, high=1), Path("x.onnx"))


@pytest.mark.parametrize(
    "content",
    [
        b"\x3a",  # no length
        b"\x3a\x05ab",  # cut short
        b"\x38\x01",  # a number where a graph belongs
        b"\x3b",  # a group
        b"\x00\x00",  # field 0
        b"\xff" * 11,  # a number without an end
        b"\x3a" + struct.pack("<B", 2) + b"\x28\x01",  # a number where an initializer belongs
        b"",
    ],
)
def test_malformed_files(content):
    with pytest.raises(CheckpointError):
        scan(content, Path("x.onnx"))
