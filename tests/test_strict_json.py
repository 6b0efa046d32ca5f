from __future__ import annotations

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stylerig_fast import strict_json

VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**64) + 1, 2**64 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=20,
)


@given(VALUES)
@settings(deadline=None)
def test_what_python_writes_is_read(value):
    assert strict_json.loads(json.dumps(value)) == value
    assert strict_json.loads(json.dumps(value).encode()) == value


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{",
        "NaN",
        "[1, Infinity]",
        '{"a": -Infinity}',
        "1e999",
        "-1e999",
        str(2**64),
        str(-(2**64)),
        "9" * 400,
        "9" * 100_000,
        "[" * 100_000,
        '{"a":' * 100_000,
        b"\xff\xfe",
        b"\x80",
    ],
    ids=lambda text: repr(text[:12]),
)
def test_everything_else_is_a_value_error(text):
    with pytest.raises(ValueError):
        strict_json.loads(text)
