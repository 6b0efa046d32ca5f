"""Whatever a checkpoint says where something else belongs, the answer is a `CheckpointError`, or a whole generator."""

from __future__ import annotations

import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from stylerig_fast.errors import CheckpointError
from stylerig_fast.generators import Generator
from stylerig_fast.generators.formats import rosinality, stylegan2_ada, tensorflow_stylegan2
from stylerig_fast.untrusted import Record, read_pickle
from tests.generators.checkpoints import random_network, write_ada, write_rosinality, write_tensorflow

WRITERS: dict[Any, Any] = {
    stylegan2_ada: write_ada,
    tensorflow_stylegan2: write_tensorflow,
    rosinality: write_rosinality,
}
ODD: list[Any] = [
    *(None, True, 0, -1, 7, 10**12, 0.5, float("nan"), float("inf"), "text", [], [1, 2], {}, {"a": 1}),
    *(np.zeros(shape, np.float32) for shape in ((), (0,), (3,), (1, 1), (0, 0, 3, 3), (2, 2, 3, 3), (1, 2, 2, 3, 3))),
    np.arange(4),
    Record("torch_utils.persistence", "Generator", {}),
]


def places(tree: Any) -> Iterator[tuple[Any, Any]]:
    """Every container of a tree with every key of it."""
    table: Any = tree.fields if isinstance(tree, Record) else tree
    if isinstance(table, (dict, list)):
        keys: Any = list(table) if isinstance(table, dict) else range(len(table))
        for key in keys:
            yield table, key
            yield from places(table[key])


@pytest.mark.parametrize("form", WRITERS, ids=lambda form: form.FORMAT)
def test_odd_values(form: Any, tmp_path: Path) -> None:
    tree = read_pickle(WRITERS[form](tmp_path / "file", random_network((3, 2), w_dim=4, mapping_layers=1)))
    made = 0
    draw = random.Random(0)
    every = list(places(tree))
    for table, key in draw.sample(every, min(60, len(every))):
        kept = table[key]
        for odd in draw.sample(ODD, 5):
            table[key] = odd
            matched = form.matches(tree)
            try:
                generator: Generator = form.convert(tree, "file", "name")
            except CheckpointError as error:
                if not str(error).startswith("file: "):
                    raise
                continue
            assert matched and generator.synthesis(torch.zeros(1, generator.num_ws, 4)).shape[-1] == 8
            made += 1
        table[key] = kept
    assert made  # much of what a file holds does not matter
