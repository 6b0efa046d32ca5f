"""What an exported graph is, and what it must not hold."""

from __future__ import annotations

import dataclasses
import json

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from onnx import TensorProto

from export.graph import GraphBuilder, check
from export.onnx import GRAPHS, ExportOptions, export_onnx, graph
from stylerig_fast.engine.backends.graph_folder import PRECISIONS, GraphFolder
from stylerig_fast.errors import ExportError
from tests.export.conftest import small_parts
from tests.export.small import MAKERS

FAMILIES = [name for name in MAKERS if name != "stylegan2-clamp"]


@pytest.fixture(scope="module", params=[(name, dtype) for name in FAMILIES for dtype in PRECISIONS.values()], ids=str)
def edit(request):
    """The largest graph, of every family in every precision."""
    name, precision = request.param
    return graph(small_parts(name), "edit", ExportOptions(precision))


def test_weights_of_convolutions_are_initializers(edit):
    initializers = {tensor.name for tensor in edit.graph.initializer}
    nodes = [node for node in edit.graph.node if node.op_type in ("Conv", "ConvTranspose")]
    assert nodes
    assert all(name in initializers for node in nodes for name in node.input[1:])


def test_only_standard_operators_and_nothing_random(edit):
    assert {node.domain for node in edit.graph.node} == {""}
    assert [(entry.domain, entry.version) for entry in edit.opset_import] == [("", edit.opset_import[0].version)]
    kinds = {node.op_type for node in edit.graph.node}
    assert not {kind for kind in kinds if "Random" in kind or kind in ("Multinomial", "Bernoulli", "Dropout")}
    assert not edit.functions
    assert not kinds & {"If", "Loop", "Scan"}


def test_no_data_elsewhere(edit):
    assert all(tensor.data_location == TensorProto.DEFAULT for tensor in edit.graph.initializer)
    assert not any(tensor.external_data for tensor in edit.graph.initializer)


def test_what_tensorrt_restricts(edit):
    """What onnx-tensorrt's list of operators restricts; test_tensorrt_rtx.py asks its parser for the rest."""
    inferred = onnx.shape_inference.infer_shapes(edit, check_type=True, strict_mode=True, data_prop=True)
    types = {tensor.name: tensor.data_type for tensor in inferred.graph.initializer}
    values = (*inferred.graph.value_info, *inferred.graph.input, *inferred.graph.output)
    types.update({value.name: value.type.tensor_type.elem_type for value in values})
    outputs = {value.name for value in inferred.graph.output}
    for node in inferred.graph.node:
        # uint8 only at the network's edge.
        assert types[node.output[0]] != TensorProto.UINT8 or (node.op_type == "Cast" and node.output[0] in outputs)
        if node.op_type.startswith("Reduce"):
            assert node.input[1] in {tensor.name for tensor in inferred.graph.initializer}
        # TensorRT for RTX has no transposed convolution in bfloat16.
        assert node.op_type != "ConvTranspose" or types[node.input[0]] != TensorProto.BFLOAT16


def test_nothing_is_rounded_in_passing(edit):
    """A value that was float32 and becomes it again: worse, and what TensorRT for RTX takes minutes over."""
    made = {node.output[0]: node for node in edit.graph.node}
    casts = [node for node in edit.graph.node if node.op_type == "Cast"]
    assert not [node.name for node in casts if node.input[0] in made and made[node.input[0]].op_type == "Cast"]


def test_every_shape_is_known(edit):
    """With the batch as the only unknown, nothing has to be worked out at run time."""
    inferred = onnx.shape_inference.infer_shapes(edit, strict_mode=True, data_prop=True)
    for value in inferred.graph.value_info:
        dims = value.type.tensor_type.shape.dim
        assert all(dim.HasField("dim_value") for dim in dims[1:]), value.name


def test_inputs_and_outputs(parts):
    shapes = {}
    for name in GRAPHS:
        model = graph(parts, name, ExportOptions(batch=3))
        for value in (*model.graph.input, *model.graph.output):
            tensor = value.type.tensor_type
            kind = TensorProto.DataType.Name(tensor.elem_type)
            shapes[name, value.name] = (kind, [dim.dim_value for dim in tensor.shape.dim])
    size, codes, vector = parts.generator.resolution, [3, parts.generator.num_ws, 512], [3, 257]
    image = ("UINT8", [3, size, size, 3])
    assert shapes == {
        ("rig", "w"): ("FLOAT", codes),
        ("rig", "params"): ("FLOAT", vector),
        ("rig", "source"): ("FLOAT", vector),
        ("rig", "w_edited"): ("FLOAT", codes),
        ("generator", "ws"): ("FLOAT", codes),
        ("generator", "image"): image,
        ("edit", "w"): ("FLOAT", codes),
        ("edit", "params"): ("FLOAT", vector),
        ("edit", "source"): ("FLOAT", vector),
        ("edit", "image"): image,
        ("reconstructor", "w"): ("FLOAT", codes),
        ("reconstructor", "params"): ("FLOAT", vector),
    }
    dynamic = graph(parts, "edit", ExportOptions()).graph.input[0].type.tensor_type.shape.dim[0]
    assert dynamic.dim_param == "batch"


def test_metadata_names_what_is_inside(parts):
    model = graph(parts, "edit", ExportOptions(torch.float16))
    properties = {entry.key: entry.value for entry in model.metadata_props}
    assert properties["stylerig.graph"] == "edit"
    assert properties["stylerig.precision"] == "fp16"
    assert properties["stylerig.generator"] == parts.generator.name
    assert properties["stylerig.generator_sha256"] == parts.generator.fingerprint()
    assert properties["stylerig.face_model_sha256"] == parts.face_model.fingerprint()
    assert model.producer_name == "stylerig_fast"


def test_the_same_parts_make_the_same_bytes(parts, graphs, tmp_path):
    export_onnx(parts, tmp_path)
    for name in GRAPHS:
        assert (tmp_path / f"{name}.onnx").read_bytes() == (graphs / f"{name}.onnx").read_bytes()


def test_the_folder_describes_itself(parts, graphs):
    manifest = json.loads((graphs / "export.json").read_text())
    assert manifest["generator"] == {"name": parts.generator.name, "sha256": parts.generator.fingerprint()}
    assert (manifest["precision"], manifest["batch"]) == ("fp32", "dynamic")
    assert set(manifest["files"]) == {*(f"{name}.onnx" for name in GRAPHS), "people.npy"}
    assert sum(manifest["sizes"].values()) == 257
    assert np.load(graphs / "people.npy").shape == (8, parts.generator.num_ws, 512)
    assert GraphFolder(graphs).manifest == export_onnx(parts, graphs)


def test_an_interrupted_export_leaves_the_one_before(parts, tmp_path, monkeypatch):
    export_onnx(parts, tmp_path)
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    monkeypatch.setattr("export.onnx._people", lambda generator: (_ for _ in ()).throw(KeyboardInterrupt))
    with pytest.raises(KeyboardInterrupt):
        export_onnx(parts, tmp_path, ExportOptions(resolution=parts.generator.resolution // 2))
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before
    GraphFolder(tmp_path).read("generator")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (ExportOptions(torch.float64), "precision torch.float64 is none of fp32, fp16, bf16"),
        (ExportOptions(batch=0), "batch is 0, expected 1 or more"),
        (ExportOptions(resolution=48), "resolution is 48, expected a power of two from 4 to 64"),
        (ExportOptions(resolution=128), "resolution is 128"),
    ],
)
def test_what_cannot_be_exported(parts, tmp_path, options, message):
    with pytest.raises(ExportError, match=message):
        export_onnx(parts, tmp_path / "graphs", options)
    assert not (tmp_path / "graphs").exists()


def test_rounded_weights_are_refused(tmp_path):
    parts = small_parts("stylegan2")
    parts.generator.set_precision(torch.bfloat16)
    with pytest.raises(ExportError, match="rounded to torch.bfloat16; load it again"):
        export_onnx(parts, tmp_path)


def test_a_file_is_no_folder(parts, tmp_path):
    (tmp_path / "graphs").write_text("")
    with pytest.raises(ExportError, match="is a file; name a folder"):
        export_onnx(parts, tmp_path / "graphs")


def test_a_graph_beyond_one_file(monkeypatch):
    made = GraphBuilder("large")
    monkeypatch.setattr(onnx.GraphProto, "ByteSize", lambda graph: 2**31, raising=False)
    with pytest.raises(ExportError, match="'large' is 2.00 GiB, one file holds less than 2"):
        made.model()


def test_an_invalid_graph_is_our_mistake():
    made = GraphBuilder("wrong")
    made.output(made.op("Add", made.input("x", 3), made.constant("y", torch.zeros(4))), "sum", 3)
    with pytest.raises(ExportError, match="'wrong' is not valid ONNX"):
        check(made.model())


def test_half_size_needs_no_more_work_than_full(parts):
    """The low band of the last wavelet transform is a picture of half the size."""
    full, half = (graph(parts, "generator", ExportOptions(resolution=size)) for size in (64, 32))
    assert len(half.graph.node) < len(full.graph.node)
    assert "AveragePool" not in {node.op_type for node in half.graph.node}


@pytest.mark.parametrize("form", ["subspace", "bilinear", "linear"])
def test_rig_and_reconstructor(form):
    parts = small_parts(form=form)
    w = parts.generator.sample(3, seed=4, psi=1)
    source = parts.reconstructor.vector(w)
    params = source + torch.randn(source.shape, generator=torch.Generator().manual_seed(0))
    expected = {"rig": parts.rig(w, params, source), "reconstructor": source}
    inputs = {"w": w.numpy(), "params": params.numpy(), "source": source.numpy()}
    for name, wanted in expected.items():
        session = onnxruntime.InferenceSession(graph(parts, name, ExportOptions()).SerializeToString())
        (found,) = session.run(None, {value.name: inputs[value.name] for value in session.get_inputs()})
        assert float((wanted - w if name == "rig" else wanted).std()) > 0.05  # there is something to compare
        torch.testing.assert_close(torch.from_numpy(found), wanted, rtol=1e-5, atol=2e-5)


def test_another_form_of_rig(parts):
    class Other(torch.nn.Module):
        config = dataclasses.replace(parts.rig.config, form="other")

    with pytest.raises(ExportError, match="rigs of the form 'other' cannot be exported"):
        graph(dataclasses.replace(parts, rig=Other()), "rig", ExportOptions())
