"""No published file was at hand: these are written in the layout of NVlabs' code and checked against its arithmetic."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from stylerig_fast.errors import CheckpointError
from stylerig_fast.generators import Generator
from stylerig_fast.generators.formats import tensorflow_stylegan1, tensorflow_stylegan2
from stylerig_fast.untrusted import Tree, read_pickle
from tests.generators.formats.golden import check_parity, load_golden
from tests.generators.stylegan1_checkpoints import tensorflow_tree, tensorflow_variables, write_tensorflow
from tests.generators.stylegan1_reference import Variables, random_variables, reference_mapping, reference_synthesis

CHANNELS = (7, 6, 5)


def convert(tree: Tree) -> Generator:
    assert tensorflow_stylegan1.matches(tree)
    assert not tensorflow_stylegan2.matches(tree)
    return tensorflow_stylegan1.convert(tree, "net.pkl", "small")


def error(generator: Generator, variables: Variables, **options: bool | None) -> float:
    """Largest difference to the reference, of the standard deviation."""
    ws = torch.randn(2, generator.num_ws, generator.w_dim, generator=torch.Generator().manual_seed(0))
    expected = reference_synthesis(variables, ws.double(), **options)
    return float((generator.synthesis(ws) - expected).abs().max() / expected.std())


@pytest.mark.parametrize("version", [2, 3])
@pytest.mark.parametrize("channels", [CHANNELS, (6, 5, 7, 4, 5, 3)], ids=["16 px", "128 px"])
def test_a_file_agrees_with_the_reference(tmp_path: Path, version: int, channels: tuple[int, ...]) -> None:
    variables = random_variables(channels, mapping_layers=3)
    kwargs = {"num_channels": 3, "resolution": 2 << len(channels), "label_size": 0, "mapping_lrmul": 0.01}
    path = write_tensorflow(tmp_path / "net.pkl", variables, version, **kwargs, truncation_psi=0.7)
    generator = convert(read_pickle(path))
    assert not generator.training
    assert not any(value.requires_grad for value in generator.parameters())
    assert generator.config() == {"channels": [*channels], "w_dim": 24, "mapping_layers": 3, "name": "small"}
    assert error(generator, variables) < 1e-4
    z = torch.randn(3, 24, generator=torch.Generator().manual_seed(0))
    expected = reference_mapping(variables, z.double())
    torch.testing.assert_close(generator.mapping(z).double(), expected, atol=1e-5, rtol=0)
    assert np.array_equal(generator.w_mean.numpy(), variables["dlatent_avg"])


def test_the_genforce_golden_in_this_layout(shared: Path, tmp_path: Path) -> None:
    state = torch.load(shared / "goldens" / "genforce_stylegan1_64.pth", weights_only=True)["generator_smooth"]
    path = write_tensorflow(tmp_path / "net.pkl", tensorflow_variables(state))
    check_parity(convert(read_pickle(path)), load_golden(shared, "genforce_stylegan1_64"), 1e-3)


@pytest.mark.parametrize(
    ("arguments", "options"),
    [
        ({"fused_scale": True}, {"fused": True}),
        ({"fused_scale": False}, {"fused": False}),
        ({"fused_scale": "auto"}, {"fused": False}),
        ({"use_wscale": False}, {"wscale": False}),
        ({"structure": "fixed", "dtype": "float32", "fmap_base": 100}, {}),
    ],
)
def test_arguments_of_the_network(arguments: dict[str, object], options: dict[str, bool]) -> None:
    variables = random_variables(CHANNELS)
    generator = convert(tensorflow_tree(variables, mapping_lrmul=0.5, **arguments))
    assert error(generator, variables, **options) < 1e-4
    if options in ({"fused": True}, {"wscale": False}):
        assert error(generator, variables) > 0.1
    z = torch.randn(3, 24, generator=torch.Generator().manual_seed(0))
    expected = reference_mapping(variables, z.double(), 0.5, options.get("wscale", True))
    assert (generator.mapping(z) - expected).abs().max() < 1e-5 * expected.std()


def test_pictures_of_lower_resolutions_may_be_missing() -> None:
    variables = random_variables(CHANNELS)
    fixed = {name: value for name, value in variables.items() if "ToRGB" not in name or "lod0" in name}
    assert error(convert(tensorflow_tree(fixed, structure="fixed")), variables) < 1e-4


@pytest.mark.parametrize(
    "missing",
    [
        "synthesis/8x8/Conv0_up/StyleMod/bias",
        "synthesis/noise3",
        "synthesis/ToRGB_lod0/weight",
        "dlatent_avg",
        "mapping/Dense0/weight",
        "mapping/Dense1/bias",
        "synthesis/4x4/Const/const",
    ],
)
def test_missing_tensors_are_named(missing: str) -> None:
    variables = random_variables(CHANNELS)
    del variables[missing]
    with pytest.raises(CheckpointError, match=f"net.pkl: lacks the tensor {missing}"):
        convert(tensorflow_tree(variables))


@pytest.mark.parametrize("left", ["synthesis/16x16/Conv2/weight", "mapping/Dense3/bias", "synthesis/noise9", "extra"])
def test_leftover_tensors_are_named(left: str) -> None:
    variables = random_variables(CHANNELS) | {left: np.zeros(3, np.float32)}
    with pytest.raises(CheckpointError, match=f"net.pkl: 1 tensors that this architecture does not have: {left}"):
        convert(tensorflow_tree(variables))


@pytest.mark.parametrize(
    ("name", "shape"),
    [
        ("synthesis/8x8/Conv1/weight", (3, 3, 6, 4)),
        ("synthesis/8x8/Conv1/weight", (3, 3, 5, 6)),
        ("synthesis/8x8/Conv1/StyleMod/weight", (24, 13)),
        ("synthesis/noise4", (1, 1, 8, 8)),
        ("synthesis/ToRGB_lod0/weight", (1, 1, 5, 4)),
        ("mapping/Dense0/weight", (30, 24)),
        ("mapping/Dense0/weight", (24, 30)),
        ("dlatent_avg", (25,)),
        ("dlatent_avg", (0,)),
    ],
)
def test_other_shapes_are_named(name: str, shape: tuple[int, ...]) -> None:
    variables = random_variables(CHANNELS) | {name: np.ones(shape, np.float32)}
    with pytest.raises(CheckpointError, match=r"net\.pkl: .*(expected|differ|no value)"):
        convert(tensorflow_tree(variables))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"label_size": 10}, "takes labels"),
        ({"use_pixel_norm": True}, "use_pixel_norm is True; only False"),
        ({"nonlinearity": "relu"}, "nonlinearity is 'relu'"),
        ({"blur_filter": None}, "blur_filter is None"),
        ({"num_channels": 1}, "num_channels is 1"),
        ({"fused_scale": "never"}, "fused_scale is 'never', expected"),
        ({"mapping_lrmul": "x"}, "mapping_lrmul is 'x', expected a number"),
        ({"blur_filter": np.ones(3)}, "blur_filter is array"),
        ({"attention": 3}, "attention=3, which NVlabs' code does not have"),
    ],
)
def test_what_cannot_be_converted_is_refused(arguments: dict[str, object], message: str) -> None:
    with pytest.raises(CheckpointError, match=message):
        convert(tensorflow_tree(random_variables(CHANNELS), **arguments))


def test_labels_and_growing_networks_are_refused() -> None:
    labelled = random_variables(CHANNELS) | {"mapping/LabelConcat/weight": np.zeros((10, 24), np.float32)}
    with pytest.raises(CheckpointError, match=r"takes labels \(10 classes\)"):
        convert(tensorflow_tree(labelled))
    growing = random_variables(CHANNELS) | {"lod": np.float32(1.5)}
    with pytest.raises(CheckpointError, match=r"lod is 1\.5, expected 0: progressive growing"):
        convert(tensorflow_tree(growing))


@pytest.mark.parametrize("tree", [None, 3, [], [1, 2, 3], {"a": 1}, "text"])
def test_something_else_does_not_match(tree: object) -> None:
    assert not tensorflow_stylegan1.matches(tree)
