from __future__ import annotations

import pytest
import torch

from stylerig_fast.errors import CheckpointError
from stylerig_fast.evaluation.heldout_estimators.feature_network import FeatureNetwork, aligned


@pytest.fixture
def network(tmp_path):
    """A file that averages each channel of a picture."""
    onnx = pytest.importorskip("onnx")
    pytest.importorskip("onnxruntime")
    helper, kind = onnx.helper, onnx.TensorProto.FLOAT
    node = helper.make_node("GlobalAveragePool", ["x"], ["y"])
    graph = helper.make_graph(
        [node],
        "mean",
        [helper.make_tensor_value_info("x", kind, ["n", 3, 16, 16])],
        [helper.make_tensor_value_info("y", kind, ["n", 3, 1, 1])],
    )
    path = tmp_path / "mean.onnx"
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    path.write_bytes(model.SerializeToString())
    return path


def test_pictures_become_vectors(network):
    encoder = FeatureNetwork(network, "realism")
    images = torch.zeros(2, 32, 32, 3, dtype=torch.uint8)
    images[1] = 255
    found = encoder.encode(images, torch.zeros(2, 68, 2))
    assert found.shape == (2, 3)
    assert torch.allclose(found, torch.tensor([[-1.0] * 3, [1.0] * 3]))
    assert encoder.name == "mean"


def test_faces_are_aligned_as_arcface_has_them(portraits):
    planes = torch.from_numpy(portraits.images[:2]).permute(0, 3, 1, 2).float()
    points = portraits.landmarks[:2]
    turned = torch.rot90(planes, 1, dims=(2, 3))  # counter-clockwise: (x, y) -> (y, 1 - x)
    moved = torch.stack([points[..., 1], 1 - points[..., 0]], dim=-1)
    upright, same = aligned(planes, points, 112), aligned(turned, moved, 112)
    assert upright.shape == (2, 3, 112, 112)
    assert (upright - same).abs().mean() < 1.0


@pytest.mark.parametrize("name", ["net.pt", "net.pth", "net.pkl"])
def test_formats_that_run_code_are_refused(tmp_path, name):
    (tmp_path / name).write_bytes(b"x")
    with pytest.raises(CheckpointError, match="expected an .onnx file"):
        FeatureNetwork(tmp_path / name, "identity")


def test_what_is_no_graph_is_refused(tmp_path):
    pytest.importorskip("onnxruntime")
    with pytest.raises(CheckpointError, match="cannot be read"):
        FeatureNetwork(tmp_path / "none.onnx", "identity")
    (tmp_path / "bad.onnx").write_bytes(b"not a graph")
    with pytest.raises(CheckpointError, match="bad.onnx"):
        FeatureNetwork(tmp_path / "bad.onnx", "identity")
