from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from stylerig_fast.errors import CheckpointError
from stylerig_fast.generators.formats import tensorflow
from stylerig_fast.untrusted import Record

ONE = np.ones(3, np.float32)


def network(name: str, variables: Any, **fields: Any) -> Record:
    return Record(tensorflow.KIND, "", {"name": name, "variables": variables, **fields})


MAPPING = network("G_mapping", [["Dense0/weight", ONE]])
GS = network(
    "Gs", [["lod", 0.0], ["dlatent_avg", ONE]], components={"mapping": MAPPING}, static_kwargs={"label_size": 0}
)


def test_finds_the_generator() -> None:
    assert tensorflow.find_generator([MAPPING, MAPPING, GS]) is GS
    assert tensorflow.find_generator(GS) is GS
    for tree in ([GS], [GS, GS, 3], {"Gs": GS}, None):
        assert tensorflow.find_generator(tree) is None


def test_variables_of_components_have_their_name_in_front() -> None:
    found = tensorflow.variables(GS, "f")
    assert list(found) == ["lod", "dlatent_avg", "mapping/Dense0/weight"] and tensorflow.names(GS) == set(found)
    assert found["lod"].shape == () and found["lod"].dtype == np.float32
    assert tensorflow.arguments(GS) == {"label_size": 0} and tensorflow.arguments(MAPPING) == {}


@pytest.mark.parametrize("variables", [[["a"]], [[1, ONE]], [["a", "b"]], ["ab"]])
def test_damaged_variables(variables: Any) -> None:
    with pytest.raises(CheckpointError, match="f: a variable of the network 'G' is"):
        tensorflow.variables(network("G", variables), "f")
    assert tensorflow.names(network("G", variables)) == set()
