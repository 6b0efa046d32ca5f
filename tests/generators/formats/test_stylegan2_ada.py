from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from stylerig_fast.errors import CheckpointError
from stylerig_fast.generators.formats import rosinality, stylegan2_ada, tensorflow_stylegan2
from stylerig_fast.generators.stylegan2 import StyleGAN2
from stylerig_fast.untrusted import Record, read_pickle
from tests.generators.checkpoints import random_network, write_ada
from tests.generators.formats.golden import check_parity, load_golden, relative_error
from tests.generators.stylegan2_reference import synthesis

LOW = [(torch.bfloat16, 0.15, 0.02), (torch.float16, 0.015, 0.002)]


def convert(path: Path) -> StyleGAN2:
    tree = read_pickle(path)
    assert stylegan2_ada.matches(tree)
    generator = stylegan2_ada.convert(tree, path.name, "name")
    assert isinstance(generator, StyleGAN2)
    assert not generator.training and not any(value.requires_grad for value in generator.parameters())
    return generator


def small(**options: Any) -> dict[str, torch.Tensor]:
    return random_network((6, 5, 4), w_dim=8, **options)


def test_golden(shared: Path) -> None:
    path = shared / "goldens" / "stylegan2_ada_64.pkl"
    golden = load_golden(shared, "stylegan2_ada_64")
    generator = convert(path)
    assert generator.channels == (32, 32, 32, 16, 8)
    check_parity(generator, golden, 1e-5)  # measured: 3.1e-6
    for dtype, largest, mean in LOW:  # measured: 0.068 and 0.011; 0.0051 and 0.0011
        found = relative_error(convert(path).set_precision(dtype), golden)
        assert found[0] < largest and found[1] < mean


def test_only_its_own_files_match(shared: Path) -> None:
    forms = (stylegan2_ada, tensorflow_stylegan2, rosinality)
    for name, own in (
        ("stylegan2_ada_64.pkl", stylegan2_ada),
        ("stylegan2_tf_64.pkl", tensorflow_stylegan2),
        ("rosinality_stylegan2_64.pt", rosinality),
        ("stylegan3_t_64.pkl", None),
        ("genforce_stylegan1_64.pth", None),
    ):
        tree = read_pickle(shared / "goldens" / name)
        assert [form for form in forms if form.matches(tree)] == [own] * (own is not None)


@pytest.mark.parametrize("form", [stylegan2_ada, tensorflow_stylegan2, rosinality])
@pytest.mark.parametrize(
    "tree",
    [
        *(None, [], {}, [1, 2, 3], {"g_ema": None}, {"g_ema": {"input.input": 3}}, {"G_ema": {}}),
        {"G_ema": Record("torch_utils.persistence", "Generator", {"_modules": [1]})},
        Record("torch_utils.persistence", "Generator", {"_modules": {"synthesis": {"b4": 1}}}),
        Record("dnnlib.tflib.network.Network", "", {"variables": {"a": 1}, "components": [1]}),
        Record("dnnlib.tflib.network.Network", "", {"variables": [["a"]]}),
    ],
)
def test_strange_trees_do_not_match(form: Any, tree: object) -> None:
    assert form.matches(tree) is False
    with pytest.raises(CheckpointError, match=r"^file\.pkl: "):
        form.convert(tree, "file.pkl", "name")


def test_the_one_module_of_a_pickle(tmp_path: Path) -> None:
    tree = read_pickle(write_ada(tmp_path / "file.pkl", small()))
    assert stylegan2_ada.matches(tree["G_ema"])
    assert not stylegan2_ada.matches(tree | {"G_ema": None})


@pytest.mark.parametrize("taps", [(1, 3, 3, 1), (1, 2, 4, 4, 2, 1), (1, 1)])
def test_other_filters(tmp_path: Path, taps: tuple[int, ...]) -> None:
    net, ws = small(resample_filter=taps), torch.randn(1, 6, 8)
    generator = convert(write_ada(tmp_path / "file.pkl", net))
    assert generator.resample_filter == pytest.approx([tap / sum(taps) for tap in taps])
    expected = synthesis(net, ws)
    assert (generator.synthesis(ws) - expected).abs().max() < 1e-5 * expected.std()


def test_without_noise(tmp_path: Path) -> None:
    net, ws = small(), torch.randn(1, 6, 8)
    expected = synthesis({name: value * ("noise" not in name) for name, value in net.items()}, ws)
    net = {name: value for name, value in net.items() if "noise" not in name}
    generator = convert(write_ada(tmp_path / "file.pkl", net, SynthesisLayer={"use_noise": False}))
    assert (generator.synthesis(ws) - expected).abs().max() < 1e-5 * expected.std()


def test_without_a_mean(tmp_path: Path) -> None:
    net = small()
    del net["mapping.w_avg"]
    generator = convert(write_ada(tmp_path / "file.pkl", net))
    codes = generator.mapping(torch.randn(50000, 8))
    torch.testing.assert_close(generator.w_mean, codes.mean(0), atol=0.05, rtol=0)


@pytest.mark.parametrize("name", ["synthesis.b8.conv1.weight", "synthesis.b16.torgb.affine.bias", "mapping.fc1.bias"])
def test_missing_tensor(tmp_path: Path, name: str) -> None:
    net = small()
    del net[name]
    with pytest.raises(CheckpointError, match=f"file.pkl: lacks the tensor {name}"):
        convert(write_ada(tmp_path / "file.pkl", net))


@pytest.mark.parametrize("name", ["synthesis.b8.conv1.other", "synthesis.b64.conv1.weight", "mapping.fc3.weight"])
def test_leftover_tensor(tmp_path: Path, name: str) -> None:
    path = write_ada(
        tmp_path / "file.pkl",
        small() | {name: torch.zeros(3, 3), "synthesis.b64.conv1.affine.weight": torch.zeros(3, 8)},
    )
    with pytest.raises(CheckpointError, match=rf"file\.pkl: \d tensors that this architecture does not have:.*{name}"):
        convert(path)


@pytest.mark.parametrize(
    ("name", "shape", "message"),
    [
        (
            "synthesis.b8.conv0.weight",
            (5, 7, 3, 3),
            r"conv\.weight would have shape \(7, 5, 3, 3\), expected \(6, 5, 3, 3\)",
        ),
        ("synthesis.b8.conv1.noise_const", (4, 4), r"noise_const has shape \(4, 4\), expected \(8, 8\)"),
        ("synthesis.b16.torgb.weight", (4, 4, 1, 1), "torgb.weight has shape"),
        ("mapping.w_avg", (7,), r"w_mean would have shape \(7,\), expected \(8,\)"),
        ("mapping.fc0.weight", (8, 9), r"mapping_network.*\(8, 9\), expected \(8, 8\)"),
    ],
)
def test_tensors_that_do_not_fit(tmp_path: Path, name: str, shape: tuple[int, ...], message: str) -> None:
    with pytest.raises(CheckpointError, match=message):
        convert(write_ada(tmp_path / "file.pkl", small() | {name: torch.zeros(shape)}))


@pytest.mark.parametrize(
    ("kind", "attributes", "message"),
    [
        ("MappingNetwork", {"c_dim": 10}, r"takes labels \(10 classes\)"),
        ("Generator", {"c_dim": 1}, r"takes labels \(1 classes\)"),
        ("Generator", {"img_channels": 1}, "img_channels is 1; only 3"),
        ("MappingNetwork", {"z_dim": 4}, "z has 4 numbers and w 8"),
        ("SynthesisNetwork", {"img_resolution": 32}, "resolution 32 by what it says, 16 by its tensors"),
        ("MappingNetwork", {"num_layers": 3}, "number of mapping layers 3 by what it says, 2 by its"),
        ("SynthesisBlock", {"architecture": "resnet"}, r"synthesis\.b4: architecture is 'resnet'; only 'skip'"),
        ("SynthesisLayer", {"activation": "swish"}, r"synthesis\.b4\.conv1: activation is 'swish'; only 'lrelu'"),
        ("SynthesisLayer", {"up": 4}, "up is 4; only 1"),
        ("SynthesisLayer", {"conv_clamp": 256}, "layers have different conv_clamp"),
        ("SynthesisLayer", {"conv_clamp": "a lot"}, "conv_clamp is 'a lot', expected a number"),
        ("FullyConnectedLayer", {"weight_gain": None}, r"mapping\.fc0: weight_gain is None, expected a number"),
    ],
)
def test_other_architectures(tmp_path: Path, kind: str, attributes: dict[str, object], message: str) -> None:
    path = write_ada(tmp_path / "file.pkl", small(), **{kind: attributes})
    with pytest.raises(CheckpointError, match=rf"^file\.pkl: .*{message}"):
        convert(path)


def test_different_filters(tmp_path: Path) -> None:
    net = small()
    taps = torch.tensor([1.0, 2, 2, 1])
    net["synthesis.b16.conv0.resample_filter"] = torch.outer(taps, taps)
    with pytest.raises(CheckpointError, match="layers have different resampling filters"):
        convert(write_ada(tmp_path / "file.pkl", net))
    net["synthesis.b16.conv0.resample_filter"] = torch.eye(4)
    with pytest.raises(CheckpointError, match=r"filter of shape \(4, 4\) is not separable"):
        convert(write_ada(tmp_path / "file.pkl", net))


def test_an_attribute_that_is_not_there(tmp_path: Path) -> None:
    tree = read_pickle(write_ada(tmp_path / "file.pkl", small()))
    del tree["G_ema"].fields["_modules"]["synthesis"].fields["_modules"]["b8"].fields["architecture"]
    with pytest.raises(CheckpointError, match=r"file\.pkl: synthesis\.b8: the SynthesisBlock has no architecture"):
        stylegan2_ada.convert(tree, "file.pkl", "name")
