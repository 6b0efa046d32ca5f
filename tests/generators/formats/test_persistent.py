from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from stylerig_fast.errors import CheckpointError
from stylerig_fast.generators.formats import persistent
from stylerig_fast.untrusted import Record


def module(name: str, **fields: Any) -> Record:
    return Record(persistent.KIND, name, fields)


ONE = np.ones(3, np.float32)
LAYER = module("Layer", _parameters={"weight": ONE, "bias": None}, _buffers={"taps": ONE}, gain=2.5, up=True)
NET = module("Net", _modules={"inner": module("Inner", _modules={"a": LAYER, "b": None}, _parameters={"const": ONE})})


def test_finds_the_generator() -> None:
    assert persistent.find_generator({"G": None, "G_ema": NET}) is NET
    assert persistent.find_generator(NET) is NET
    for tree in ({"G": NET}, {"G_ema": {"weight": ONE}}, [NET], None, Record("argparse.Namespace", "", {})):
        assert persistent.find_generator(tree) is None


def test_walks() -> None:
    assert persistent.child(NET, "inner.a") is LAYER
    assert persistent.child(NET, "inner.b") is None and persistent.child(NET, "inner.a.x") is None
    assert [name for name, _ in persistent.modules(NET)] == ["", "inner", "inner.a"]
    assert list(persistent.flatten(NET)) == ["inner.const", "inner.a.weight", "inner.a.taps"]
    assert persistent.flatten(module("Net", _modules=[NET], _parameters=3)) == {}


def test_attributes() -> None:
    assert persistent.number(LAYER, "gain", "f") == 2.5
    assert persistent.number(module("Layer", gain=np.array(0.5)), "gain", "f") == 0.5
    persistent.expect(LAYER, "up", True, "f")
    with pytest.raises(CheckpointError, match="f: the Layer has no down"):
        persistent.attribute(LAYER, "down", "f")
    with pytest.raises(CheckpointError, match="f: up is True, expected a number"):
        persistent.number(LAYER, "up", "f")
    with pytest.raises(CheckpointError, match=r"f: gain is 2\.5; only 1 can be converted"):
        persistent.expect(LAYER, "gain", 1, "f")
    with pytest.raises(CheckpointError, match="f: gain is array"):
        persistent.expect(module("Layer", gain=ONE), "gain", 1, "f")
