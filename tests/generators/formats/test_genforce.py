from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from stylerig_fast.errors import CheckpointError
from stylerig_fast.generators import Generator
from stylerig_fast.generators.formats import genforce, tensorflow, tensorflow_stylegan2
from stylerig_fast.generators.stylegan1 import StyleGAN1
from stylerig_fast.generators.stylegan2 import StyleGAN2
from stylerig_fast.untrusted import Tree, read_pickle
from tests.generators.checkpoints import random_network, write_tensorflow
from tests.generators.formats.golden import check_parity, load_golden, relative_error
from tests.generators.stylegan1_checkpoints import genforce_state
from tests.generators.stylegan1_reference import random_variables, reference_synthesis

Arrays = dict[str, np.ndarray]
NAME = "genforce_stylegan1_64"


def stylegan1() -> Arrays:
    """A state dict at 16 px."""
    return {name: value.numpy() for name, value in genforce_state(random_variables((7, 6, 5))).items()}


def stylegan2(variables: Mapping[str, np.ndarray]) -> Arrays:
    """TensorFlow's variables as GenForce's converter (``converters/stylegan2_converter.py``) names and turns them."""
    filter_ = np.outer([1, 3, 3, 1], [1, 3, 3, 1]).astype(np.float32)[None, None] / 16
    state: Arrays = {"synthesis.upsample.kernel": filter_}
    for name, value in variables.items():
        part, *words = name.split("/")
        if not words:
            state |= {"truncation.w_avg": value} if name == "dlatent_avg" else {}
        elif part == "mapping":
            state[f"mapping.dense{words[0][5:]}.{words[1]}"] = value.T if words[1] == "weight" else value
        elif words[0].startswith("noise"):
            state[f"synthesis.layer{words[0][5:]}.noise"] = value
        elif words[-1] == "const":
            state["synthesis.early_layer.const"] = value
        else:
            level, kind = int(np.log2(int(words[0].split("x")[0]))) - 2, words[2]
            layer = {"ToRGB": f"output{level}", "Conv0_up": f"layer{2 * level - 1}"}.get(words[1], f"layer{2 * level}")
            if kind == "weight":
                value = value.transpose(3, 2, 0, 1)
            elif kind == "mod_weight":
                value = value.T
            state[f"synthesis.{layer}.{kind.replace('mod_', 'style.')}"] = value
            if words[1] == "Conv0_up":
                state[f"synthesis.{layer}.filter.kernel"] = filter_
    return state


def convert(tree: Tree) -> Generator:
    assert genforce.matches(tree)
    return genforce.convert(tree, "net.pth", "name")


def test_golden_of_stylegan1(shared: Path) -> None:
    tree, golden = (
        read_pickle(shared / "goldens" / "genforce_stylegan1_64.pth"),
        load_golden(shared, "genforce_stylegan1_64"),
    )
    generator = convert(tree)
    assert isinstance(generator, StyleGAN1)
    assert not generator.training
    assert not any(value.requires_grad for value in generator.parameters())
    assert generator.config() == {"channels": [32, 32, 32, 32, 16], "w_dim": 512, "mapping_layers": 2, "name": "name"}
    check_parity(generator, golden, 2e-4)  # measured: 5.6e-5; the same network in float64 is 6.2e-5 away
    for dtype, largest, mean in ((torch.bfloat16, 0.4, 0.03), (torch.float16, 0.04, 0.004)):
        error = relative_error(convert(tree).set_precision(dtype), golden)
        print(f"{dtype}: max abs {error[0]:.3g}, RMS {error[1]:.3g} of the picture's std")
        assert error[0] < largest
        assert error[1] < mean


def test_golden_of_stylegan2(shared: Path) -> None:
    network = tensorflow.find_generator(read_pickle(shared / "goldens" / "stylegan2_tf_64.pkl"))
    assert network is not None
    generator = convert({"generator_smooth": stylegan2(tensorflow.variables(network, ""))})
    assert isinstance(generator, StyleGAN2)
    golden = load_golden(shared, "stylegan2_tf_64")
    print(f"max abs {relative_error(generator, golden)[0]:.2g} of the picture's std")
    check_parity(generator, golden, 1e-4)


def test_stylegan2_is_that_of_the_tensorflow_file(tmp_path: Path) -> None:
    tree = read_pickle(write_tensorflow(tmp_path / "net.pkl", random_network((6, 5, 7))))
    network = tensorflow.find_generator(tree)
    assert network is not None
    found = convert({"generator_smooth": stylegan2(tensorflow.variables(network, ""))})
    expected = tensorflow_stylegan2.convert(tree, "net.pkl", "name")
    assert isinstance(found, StyleGAN2)
    assert found.channels == (6, 5, 7)
    for name, value in expected.state_dict().items():
        torch.testing.assert_close(found.state_dict()[name], value, atol=1e-6, rtol=1e-6)


def test_where_the_generator_is() -> None:
    ws = torch.randn(1, 6, 24, dtype=torch.float64)
    expected = reference_synthesis(random_variables((7, 6, 5)), ws)
    other = stylegan1() | {"synthesis.output2.bias": np.full(3, 9, np.float32)}
    parallel = {f"module.{name}": value for name, value in stylegan1().items()}
    trees: list[dict[str, Any]] = [
        {"generator": stylegan1()},
        {"generator": other, "discriminator": {}, "generator_smooth": stylegan1()},
        {"models": {"generator_smooth": stylegan1(), "generator": other}, "optimizers": {"generator": {"state": {}}}},
        {"generator_smooth": parallel},
    ]
    for tree in trees:
        assert (convert(tree).synthesis(ws.float()) - expected).abs().max() < 1e-3


@pytest.mark.parametrize(
    "missing",
    [
        "mapping.dense0.weight",
        "mapping.dense1.bias",
        "synthesis.layer0.const",
        "synthesis.layer3.apply_noise.noise",
        "synthesis.layer4.style.weight",
        "synthesis.output2.weight",
    ],
)
def test_missing_tensors_are_named(missing: str) -> None:
    state = stylegan1()
    del state[missing]
    with pytest.raises(CheckpointError, match=f"net.pth: lacks the tensor {missing}"):
        convert({"generator": state})


@pytest.mark.parametrize("left", ["synthesis.layer6.weight", "synthesis.output3.bias", "mapping.extra", "other"])
def test_leftover_tensors_are_named(left: str) -> None:
    state = stylegan1() | {left: np.zeros(3, np.float32)}
    with pytest.raises(CheckpointError, match=f"1 tensors that this architecture does not have: {left}"):
        convert({"generator": state})


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"mapping.label_weight": np.zeros((10, 24))}, r"takes labels \(10 classes\)"),
        ({"mapping.LabelEmbed.weight": np.zeros((24, 7))}, r"takes labels \(7 classes\)"),
        ({"synthesis.lod": np.array(2.0)}, "synthesis.lod is 2, expected 0: progressive growing"),
        ({"synthesis.layer2.blur.kernel": np.ones((6, 1, 3, 3))}, "layer2.blur.kernel is another filter"),
        ({"mapping.dense0.weight": np.ones((24, 24)) * np.linspace(-1, 1, 24)}, "standard deviation of 0.6.*about 100"),
        ({"synthesis.layer1.weight": np.ones((7, 8, 3, 3))}, r"layer1.weight has shape .*expected .*7, 3, 3"),
        ({"synthesis.layer0.const": np.ones((1, 0, 4, 4))}, r"layer0.const has shape \(1, 0, 4, 4\), no value"),
        ({"synthesis.output2.weight": np.ones((1, 5, 1, 1))}, "output2.weight makes 1 channels, expected RGB"),
        ({"synthesis.layer1.apply_noise.weight": np.ones((4, 4))}, r"apply_noise.weight has shape \(4, 4\)"),
    ],
)
def test_what_cannot_be_converted_is_refused(change: Arrays, message: str) -> None:
    with pytest.raises(CheckpointError, match=message):
        convert({"generator_smooth": stylegan1() | change})


@pytest.mark.parametrize("missing", ["mapping.dense0.weight", "synthesis.upsample.kernel", "synthesis.layer1.noise"])
def test_missing_tensors_of_stylegan2_are_named(tmp_path: Path, missing: str) -> None:
    network = tensorflow.find_generator(read_pickle(write_tensorflow(tmp_path / "net.pkl", random_network((6, 5)))))
    assert network is not None
    state = stylegan2(tensorflow.variables(network, ""))
    del state[missing]
    with pytest.raises(CheckpointError, match=f"lacks the tensor {missing}"):
        convert({"generator_smooth": state})


@pytest.mark.parametrize(
    "tree",
    [None, [], {}, {"generator": {}}, {"generator": {"truncation.w_avg": "x"}}, {"models": 3}, {"g_ema": stylegan1()}],
)
def test_something_else_does_not_match(tree: object) -> None:
    assert not genforce.matches(tree)
