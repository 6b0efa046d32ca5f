"""Whatever stands where something else belongs, the answer is a `CheckpointError`, or a whole generator."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import pytest
import torch

from stylerig_fast.errors import CheckpointError
from stylerig_fast.generators.formats import genforce, tensorflow, tensorflow_stylegan1
from stylerig_fast.untrusted import read_pickle
from tests.generators.checkpoints import random_network, write_tensorflow
from tests.generators.formats.test_damaged_trees import ODD, places
from tests.generators.formats.test_genforce import stylegan2
from tests.generators.stylegan1_checkpoints import genforce_state, tensorflow_tree
from tests.generators.stylegan1_reference import random_variables


def trees(folder: Path) -> dict[str, Any]:
    variables = random_variables((3, 2), w_dim=4, mapping_layers=1)
    arguments = {"mapping_lrmul": 0.01, "fused_scale": "auto", "use_wscale": True, "label_size": 0}
    second = tensorflow.find_generator(
        read_pickle(write_tensorflow(folder / "net.pkl", random_network((3, 2), w_dim=4, mapping_layers=1)))
    )
    assert second is not None
    return {
        "tensorflow": tensorflow_tree(variables, **arguments),
        "genforce": {
            "models": {"generator": {name: value.numpy() for name, value in genforce_state(variables).items()}}
        },
        "genforce stylegan2": {"generator_smooth": stylegan2(tensorflow.variables(second, ""))},
    }


@pytest.mark.parametrize("kind", ["tensorflow", "genforce", "genforce stylegan2"])
def test_odd_values(kind: str, tmp_path: Path) -> None:
    tree = trees(tmp_path)[kind]
    form = tensorflow_stylegan1 if kind == "tensorflow" else genforce
    draw, every = random.Random(0), list(places(tree))
    for table, key in draw.sample(every, min(60, len(every))):
        kept = table[key]
        for odd in draw.sample(ODD, 5):
            table[key] = odd
            matched = form.matches(tree)
            try:
                generator = form.convert(tree, "file", "name")
            except CheckpointError as error:
                if not str(error).startswith("file: "):
                    raise
                continue
            assert matched
            assert generator.synthesis(torch.zeros(1, generator.num_ws, 4)).shape[-1] == 8
        table[key] = kept
    assert form.convert(tree, "file", "name").resolution == 8
