from __future__ import annotations

from pathlib import Path

import pytest
import torch

from stylerig_fast.errors import CheckpointError
from stylerig_fast.generators.formats import tensorflow_stylegan2
from stylerig_fast.generators.stylegan2 import StyleGAN2
from stylerig_fast.untrusted import read_pickle
from tests.generators.checkpoints import random_network, write_tensorflow
from tests.generators.formats.golden import check_parity, load_golden, relative_error
from tests.generators.stylegan2_reference import mapping, synthesis


def convert(path: Path) -> StyleGAN2:
    tree = read_pickle(path)
    assert tensorflow_stylegan2.matches(tree)
    generator = tensorflow_stylegan2.convert(tree, path.name, "name")
    assert isinstance(generator, StyleGAN2)
    assert not generator.training and not any(value.requires_grad for value in generator.parameters())
    return generator


def small() -> dict[str, torch.Tensor]:
    return random_network((6, 5, 4, 7), w_dim=8, mapping_layers=3)


def test_golden(shared: Path) -> None:
    path = shared / "goldens" / "stylegan2_tf_64.pkl"
    golden = load_golden(shared, "stylegan2_tf_64")
    check_parity(convert(path), golden, 1e-5)  # measured: 1.5e-6
    # Measured: 0.023 and 0.0045; 0.0028 and 0.00056.
    for dtype, largest, mean in ((torch.bfloat16, 0.05, 0.01), (torch.float16, 0.006, 0.0012)):
        found = relative_error(convert(path).set_precision(dtype), golden)
        assert found[0] < largest and found[1] < mean


@pytest.mark.parametrize(
    ("arguments", "clamp", "multiplier"),
    [
        ({}, None, 0.01),
        ({"conv_clamp": 0.5, "mapping_lrmul": 0.02, "fmap_base": 1 << 13, "architecture": None}, 0.5, 0.02),
    ],
)
def test_other_widths(tmp_path: Path, arguments: dict[str, object], clamp: float | None, multiplier: float) -> None:
    net, ws, z = small(), torch.randn(2, 8, 8), torch.randn(2, 8)
    generator = convert(write_tensorflow(tmp_path / "file.pkl", net, **arguments))
    assert (generator.channels, generator.w_dim, generator.clamp) == ((6, 5, 4, 7), 8, clamp)
    assert torch.equal(generator.w_mean, net["mapping.w_avg"])
    expected = synthesis(net, ws, clamp=clamp)
    assert (generator.synthesis(ws) - expected).abs().max() < 1e-5 * expected.std()
    torch.testing.assert_close(generator.mapping(z).double(), mapping(net, z, multiplier), atol=1e-5, rtol=0)


def test_filter_of_the_arguments(tmp_path: Path) -> None:
    net, ws = random_network((6, 5), w_dim=8, resample_filter=(1, 2, 4, 4, 2, 1)), torch.randn(1, 4, 8)
    generator = convert(write_tensorflow(tmp_path / "file.pkl", net, resample_kernel=[1, 2, 4, 4, 2, 1]))
    expected = synthesis(net, ws)
    assert (generator.synthesis(ws) - expected).abs().max() < 1e-5 * expected.std()


def test_only_the_averaged_generator(tmp_path: Path) -> None:
    tree = read_pickle(write_tensorflow(tmp_path / "file.pkl", small()))
    assert tensorflow_stylegan2.matches(tree[2])
    assert not tensorflow_stylegan2.matches(tree[0])
    assert not tensorflow_stylegan2.matches(tree[::-1])


@pytest.mark.parametrize(
    ("name", "missing"),
    [
        ("synthesis.b8.conv1.noise_const", "synthesis/noise2"),
        ("synthesis.b16.conv0.affine.weight", "synthesis/16x16/Conv0_up/mod_weight"),
        ("mapping.fc2.bias", "mapping/Dense2/bias"),
        ("synthesis.b32.torgb.bias", "synthesis/32x32/ToRGB/bias"),
    ],
)
def test_missing_variable(tmp_path: Path, name: str, missing: str) -> None:
    net = small()
    del net[name]
    with pytest.raises(CheckpointError, match=f"file.pkl: lacks the tensor {missing}"):
        convert(write_tensorflow(tmp_path / "file.pkl", net))


def test_leftover_variable(tmp_path: Path) -> None:
    tree = read_pickle(write_tensorflow(tmp_path / "file.pkl", small()))
    tree[2].fields["components"]["synthesis"].fields["variables"].append(["8x8/Skip/weight", 1.0])
    with pytest.raises(CheckpointError, match=r"1 tensors that this architecture.*synthesis/8x8/Skip/weight"):
        tensorflow_stylegan2.convert(tree, "file.pkl", "name")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"label_size": 10}, "takes labels"),
        ({"architecture": "resnet"}, "architecture is 'resnet'; only 'skip'"),
        ({"nonlinearity": "relu"}, "nonlinearity is 'relu'"),
        ({"use_noise": False}, "use_noise is False"),
        ({"resample_kernel": None}, ""),
        ({"resample_kernel": "box"}, "resample_kernel is 'box', expected a list of numbers"),
        ({"mapping_lrmul": "x"}, "mapping_lrmul is 'x'"),
        ({"resolution": 1024}, "resolution 1024 by what it says, 32 by its tensors"),
        ({"mapping_layers": 8}, "number of mapping layers 8 by what it says, 3 by its"),
        ({"attention": 1}, "made with attention=1"),
    ],
)
def test_arguments(tmp_path: Path, arguments: dict[str, object], message: str) -> None:
    path = write_tensorflow(tmp_path / "file.pkl", small())
    tree = read_pickle(path)
    tree[2].fields["static_kwargs"].update(arguments)
    if not message:
        tensorflow_stylegan2.convert(tree, "file.pkl", "name")
        return
    with pytest.raises(CheckpointError, match=rf"^file\.pkl: .*{message}"):
        tensorflow_stylegan2.convert(tree, "file.pkl", "name")


def test_a_damaged_list_of_variables(tmp_path: Path) -> None:
    tree = read_pickle(write_tensorflow(tmp_path / "file.pkl", small()))
    tree[2].fields["variables"].append(["a name without a value"])
    with pytest.raises(CheckpointError, match="a variable of the network 'Gs' is"):
        tensorflow_stylegan2.convert(tree, "file.pkl", "name")
