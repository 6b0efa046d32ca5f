"""The model repository: layout, and configurations that Triton's own schema takes."""

from __future__ import annotations

import ast
import json
import shutil
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import onnx
import pytest
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory, text_format

from export.onnx import ExportOptions, export_onnx
from export.triton import config, export_triton
from stylerig_fast.engine.backends.graph_folder import GraphFolder
from stylerig_fast.errors import CheckpointError, ExportError

F = descriptor_pb2.FieldDescriptorProto
# What we use of ModelConfig in Triton's model_config.proto (github.com/triton-inference-server/common), field by field.
MESSAGES = {
    "ModelInput": [("name", 1, F.TYPE_STRING), ("data_type", 2, "DataType"), ("dims", 4, [F.TYPE_INT64])],
    "ModelOutput": [("name", 1, F.TYPE_STRING), ("data_type", 2, "DataType"), ("dims", 3, [F.TYPE_INT64])],
    "ModelDynamicBatching": [("max_queue_delay_microseconds", 2, F.TYPE_UINT64)],
    "ModelConfig": [
        ("name", 1, F.TYPE_STRING),
        ("backend", 17, F.TYPE_STRING),
        ("max_batch_size", 4, F.TYPE_INT32),
        ("input", 5, ["ModelInput"]),
        ("output", 6, ["ModelOutput"]),
        ("dynamic_batching", 11, "ModelDynamicBatching"),
    ],
}
TYPES = {"TYPE_INVALID": 0, "TYPE_UINT8": 2, "TYPE_FP32": 11}


def schema():
    file = descriptor_pb2.FileDescriptorProto(name="model_config.proto", package="inference", syntax="proto3")
    types = file.enum_type.add(name="DataType")
    for name, number in TYPES.items():
        types.value.add(name=name, number=number)
    for message, fields in MESSAGES.items():
        made = file.message_type.add(name=message)
        for name, number, kind in fields:
            field = made.field.add(name=name, number=number, label=F.LABEL_OPTIONAL)
            if isinstance(kind, list):
                field.label, kind = F.LABEL_REPEATED, kind[0]
            if isinstance(kind, str):
                field.type = F.TYPE_ENUM if kind == "DataType" else F.TYPE_MESSAGE
                field.type_name = f".inference.{kind}"
            else:
                field.type = kind
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return message_factory.GetMessageClass(pool.FindMessageTypeByName("inference.ModelConfig"))


ModelConfig = schema()


def parsed(text: str):
    """Refuses fields that Triton does not know, as Triton does."""
    return text_format.Parse(text, ModelConfig())


def values(model: onnx.ModelProto, attribute: str) -> dict[str, tuple[int, list[int]]]:
    found = {}
    for value in getattr(model.graph, attribute):
        tensor = value.type.tensor_type
        dims = [dim.dim_value or -1 for dim in tensor.shape.dim]
        kind = {onnx.TensorProto.FLOAT: TYPES["TYPE_FP32"], onnx.TensorProto.UINT8: TYPES["TYPE_UINT8"]}
        found[value.name] = (kind[tensor.elem_type], dims)
    return found


@pytest.mark.parametrize("batch", [None, 4])
def test_configurations_fit_the_graphs(parts, tmp_path, batch):
    export_onnx(parts, tmp_path / "graphs", ExportOptions(batch=batch))
    written = export_triton(tmp_path / "graphs", tmp_path / "models", max_batch=16)
    assert written == [
        "stylerig_edit/1/model.onnx",
        "stylerig_edit/config.pbtxt",
        "stylerig_generator/1/model.onnx",
        "stylerig_generator/config.pbtxt",
        "triton_client.py",
    ]
    assert sorted(str(p.relative_to(tmp_path / "models")) for p in (tmp_path / "models").rglob("*.*")) == written
    for name in ("generator", "edit"):
        folder = tmp_path / "models" / f"stylerig_{name}"
        found = parsed((folder / "config.pbtxt").read_text())
        assert (found.name, found.backend) == (folder.name, "onnxruntime")
        assert found.max_batch_size == (16 if batch is None else 0)
        assert found.HasField("dynamic_batching") == (batch is None)
        model = onnx.load(folder / "1" / "model.onnx")
        for attribute in ("input", "output"):
            # With a largest batch Triton puts the batch dimension in front itself.
            ours = {
                each.name: (each.data_type, ([-1] if batch is None else []) + list(each.dims))
                for each in getattr(found, attribute)
            }
            assert ours == values(model, attribute)


def test_plans_in_place_of_graphs(graphs, tmp_path):
    plans = {"generator": b"plan of the generator", "edit": b"plan of the edit"}
    export_triton(graphs, tmp_path, plans)
    for name, content in plans.items():
        assert (tmp_path / f"stylerig_{name}" / "1" / "model.plan").read_bytes() == content
        assert parsed((tmp_path / f"stylerig_{name}" / "config.pbtxt").read_text()).backend == "tensorrt"


def test_what_cannot_be_written(graphs, tmp_path):
    with pytest.raises(ExportError, match="plans for edit, expected generator and edit"):
        export_triton(graphs, tmp_path, {"edit": b""})
    with pytest.raises(ExportError, match="max_batch is 0, expected 1 to 1024"):
        export_triton(graphs, tmp_path, max_batch=0)
    with pytest.raises(ExportError, match="max_batch is 16, expected 1 to 8"):
        export_triton(graphs, tmp_path, {"edit": b"", "generator": b""}, max_batch=16)
    (tmp_path / "file").write_text("")
    with pytest.raises(ExportError, match="is a file; name a folder"):
        export_triton(graphs, tmp_path / "file")
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_a_damaged_graph_is_not_passed_on(graphs, tmp_path):
    damaged = Path(shutil.copytree(graphs, tmp_path / "graphs"))
    (damaged / "edit.onnx").write_bytes(b"")
    with pytest.raises(CheckpointError, match="truncated or changed"):
        export_triton(damaged, tmp_path / "models")
    assert not (tmp_path / "models").exists()


def test_the_schema_of_this_test_refuses_what_triton_refuses(graphs):
    text = config("edit", GraphFolder(graphs).manifest, "onnxruntime", 8)
    with pytest.raises(text_format.ParseError):
        parsed(text + "max_batch: 4\n")
    with pytest.raises(text_format.ParseError):
        parsed(text.replace("TYPE_FP32", "FLOAT"))


def test_the_client(graphs, tmp_path, monkeypatch):
    """It runs against a stand-in for tritonclient, which takes what tritonclient takes."""
    export_triton(graphs, tmp_path)
    source = (tmp_path / "triton_client.py").read_text()
    imports = {
        alias.name for node in ast.walk(ast.parse(source)) if isinstance(node, ast.Import) for alias in node.names
    }
    assert imports == {"argparse", "numpy"}
    asked = []

    class Input:
        def __init__(self, name, shape, dtype):
            self.name, self.shape, self.dtype = name, shape, dtype

        def set_data_from_numpy(self, value):
            assert list(value.shape) == self.shape
            assert (value.dtype, self.dtype) == (np.float32, "FP32")

    class Client:
        def __init__(self, url):
            asked.append(url)

        def infer(self, model, inputs, outputs):
            asked.append((model, [each.name for each in inputs]))
            return SimpleNamespace(as_numpy=lambda name: np.full((8, 2, 2, 3), 7, np.uint8))

    http = SimpleNamespace(InferInput=Input, InferenceServerClient=Client, InferRequestedOutput=lambda name: name)
    monkeypatch.setitem(__import__("sys").modules, "tritonclient", SimpleNamespace(http=http))
    monkeypatch.setattr("sys.argv", ["client", str(graphs / "people.npy"), "--out", str(tmp_path / "out.npy")])
    exec(compile(source, "triton_client.py", "exec"), {"__name__": "__main__", "__doc__": ""})
    assert asked == ["localhost:8000", ("stylerig_generator", ["ws"])]
    assert np.load(tmp_path / "out.npy").shape == (8, 2, 2, 3)
    assert json.loads((graphs / "export.json").read_text())["num_ws"]
