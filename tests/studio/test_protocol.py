"""What messages may say, and what the answer is when they say something else."""

from __future__ import annotations

import contextlib
import json
import math
import struct

import numpy as np
import pytest

pytest.importorskip("pydantic", reason="needs the extra `studio`")

from hypothesis import given, settings
from hypothesis import strategies as st

from stylerig_fast.studio import protocol
from stylerig_fast.studio.people import as_params, code_from_text, text_of_code
from stylerig_fast.studio.protocol import LIVE, EditFields, EditMessage, Malformed, Ping, Shown, parse

GAMMA = [[2.5, 2.5, 2.5], *[[0.1, 0.0, -0.1]] * 8]
EDIT = {"type": "edit", "id": 1, "person": "p3", "request": {}, "size": 256}


def edit(**changes):
    return json.dumps({**EDIT, **changes})


def asking(**request):
    return edit(request=request)


def test_a_full_edit_is_read():
    request = {
        "pose": {"yaw": -20, "pitch": 5.5, "roll": 0},
        "expression": {"jawOpen": 0.4, "residual_03": -2},
        "light": {"direction": [1, 0, 1], "strength": 0.5, "colour": [1, 1, 0.9], "ambient": [0.3, 0.3, 0.3]},
    }
    message = parse(LIVE, edit(request=request, format="webp", quality=70))
    assert isinstance(message, EditMessage)
    assert (message.id, message.person, message.size, message.format, message.quality) == (1, "p3", 256, "webp", 70)
    assert message.request.pose.yaw == -20
    assert message.request.expression == {"jawOpen": 0.4, "residual_03": -2}
    assert message.request.light.direction == (1, 0, 1)


def test_what_is_absent_stays():
    message = parse(LIVE, edit())
    assert (message.format, message.quality) == ("jpeg", 85)
    params = as_params(message.request)
    assert params.blocks == {}
    assert params.pending == {}


def test_a_request_becomes_parameters():
    asked = parse(LIVE, asking(pose={"yaw": 10}, expression={"jawOpen": 0.5}, illumination=GAMMA))
    assert isinstance(asked, EditMessage)
    params = as_params(asked.request)
    assert params.pending == {"pose": {"yaw": 10.0}, "expression": {"jawOpen": 0.5}}
    assert params.illumination is not None
    assert params.illumination.shape == (1, 9, 3)
    np.testing.assert_array_equal(params.illumination[0, 0], [2.5] * 3)
    light = as_params(EditFields(light={"direction": (1.0, 0.0, 1.0), "strength": 0.3}))
    assert light.pending == {"light": {"direction": (1.0, 0.0, 1.0), "strength": 0.3}}


def test_the_small_messages():
    assert parse(LIVE, '{"type":"shown","id":4}') == Shown(type="shown", id=4)
    assert parse(LIVE, '{"type":"ping","time":1.5}') == Ping(type="ping", time=1.5)


@pytest.mark.parametrize(
    ("text", "field"),
    [
        ("", "JSON"),
        ("not json", "JSON"),
        ("[]", "object"),
        ("null", "object"),
        ("{}", "type"),
        ('{"type":"draw"}', "type"),
        ("[" * 5000, "recursion"),
        (edit(id=-1), "id"),
        (edit(id=1.5), "id"),
        (edit(id="1"), "id"),
        (edit(id=True), "id"),
        (edit(id=2**60), "id"),
        (edit(person="../../etc/passwd"), "person"),
        (edit(person=3), "person"),
        (edit(size=0), "size"),
        (edit(size="256"), "size"),
        (edit(format="gif"), "format"),
        (edit(quality=0), "quality"),
        (edit(quality=101), "quality"),
        (edit(extra=1), "extra"),
        (asking(pose={"yaw": 181}), "request.pose.yaw"),
        (asking(pose={"yaw": "20"}), "request.pose.yaw"),
        (asking(pose={"yaw": [20]}), "request.pose.yaw"),
        (asking(pose={"tilt": 20}), "request.pose.tilt"),
        (asking(pose=[20, 0, 0]), "request.pose"),
        (asking(pose={"yaw": math.nan}), "request.pose.yaw"),
        (asking(pose={"yaw": math.inf}), "request.pose.yaw"),
        (edit().replace('"request": {}', '"request": {"pose": {"yaw": 1e999}}'), "request.pose.yaw"),
        (asking(expression={"jawOpen": 11}), "request.expression.jawOpen"),
        (asking(expression={"x" * 100: 1}), "request.expression"),
        (asking(expression={f"unit{i}": 0.5 for i in range(300)}), "request.expression"),
        (asking(light={"direction": [0, 0, 0]}), "zero vector"),
        (asking(light={"direction": [1, 0]}), "request.light.direction"),
        (asking(light={"strength": 1.5}), "request.light.strength"),
        (asking(light={"colour": [-1, 1, 1]}), "request.light.colour"),
        (asking(illumination=GAMMA[:8]), "request.illumination"),
        (asking(illumination=[*GAMMA[:8], [1, 2]]), "request.illumination"),
        (asking(illumination=[*GAMMA[:8], [1, 2, 1000]]), "request.illumination"),
        (asking(illumination=GAMMA, light={"direction": [1, 0, 1]}), "exclude"),
        (asking(illumination=GAMMA, rotation=[0, 0, 0]), "request.rotation"),
        ('{"type":"ping","time":NaN}', "time"),
        ('{"type":"shown"}', "id"),
    ],
)
def test_a_mistake_is_named(text, field):
    with pytest.raises(Malformed) as raised:
        parse(LIVE, text)
    assert field in str(raised.value)
    assert len(str(raised.value)) < 400


def test_the_answer_does_not_repeat_what_was_sent():
    with pytest.raises(Malformed) as raised:
        parse(LIVE, edit(format="<script>alert(1)</script>"))
    assert "script" not in str(raised.value)


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=12,
)


@settings(deadline=None, max_examples=300)
@given(st.dictionaries(st.sampled_from([*EDIT, "format", "quality", "time", "x"]), json_values) | json_values)
def test_anything_is_read_or_refused(message):
    for text in (json.dumps(message), json.dumps({**EDIT, "request": message})):
        try:
            parse(LIVE, text)
        except Malformed:
            id = protocol.id_of(text)
            assert id is None or id >= 0


KEYS = st.sampled_from(["seed", "psi", "mix", "latent", "label", "frames", "fps", "size", "format", "request", "x"])


@settings(deadline=None, max_examples=300)
@given(st.dictionaries(KEYS, json_values) | json_values)
def test_any_body_is_read_or_refused(body):
    text = json.dumps(body).encode()
    for read in (
        protocol.parse_recipe,
        lambda text: parse(protocol.PICTURE, text),
        lambda text: parse(protocol.EXPORT, text),
    ):
        with contextlib.suppress(Malformed):
            read(text)


@settings(deadline=None, max_examples=200)
@given(st.binary(max_size=200))
def test_any_bytes_are_read_or_refused(content):
    with pytest.raises(Malformed):
        parse(LIVE, content)
    with pytest.raises(Malformed):
        protocol.parse_recipe(content)
    assert protocol.id_of(content) is None


def test_the_id_of_a_wrong_message_is_found():
    assert protocol.id_of(edit(id=12, size="big")) == 12
    assert protocol.id_of(edit(id="12")) is None
    assert protocol.id_of("[" * 100_000) is None


def test_a_frame_says_what_it_holds():
    frame = protocol.pack_frame({"id": 3, "warnings": ["25°"]}, b"picture")
    assert frame[:4] == b"SRF1"
    (length,) = struct.unpack("<I", frame[4:8])
    assert json.loads(frame[8 : 8 + length]) == {"id": 3, "warnings": ["25°"]}
    assert frame[8 + length :] == b"picture"


@pytest.mark.parametrize(
    ("body", "mistake"),
    [
        ({}, "one of seed"),
        ([], "one of seed"),
        ({"seed": 1, "latent": "AA=="}, "one of seed"),
        ({"seed": -1}, "seed"),
        ({"seed": 1, "psi": 3}, "psi"),
        ({"seed": 1, "file": "/etc/passwd"}, "file"),
        ({"mix": {"person": "p1", "source": "p2"}}, "mix.slots"),
        ({"mix": {"person": "p1", "source": "p2", "slots": [-1]}}, "mix.slots"),
        ({"latent": 5}, "latent"),
        ({"latent": "AA==", "label": ""}, "label"),
        ({"latent": "AA==", "label": "x" * 81}, "label"),
    ],
)
def test_a_wrong_recipe_is_named(body, mistake):
    with pytest.raises(Malformed, match=mistake):
        protocol.parse_recipe(json.dumps(body).encode())


def test_codes_travel_unchanged(engine):
    w = engine.sample(3)
    assert code_from_text(text_of_code(w), 16, 512).equal(w)


@pytest.mark.parametrize(
    ("text", "mistake"),
    [
        ("???", "base64"),
        ("ä", "base64"),
        ("AAAA", "3 bytes, expected 32768"),
    ],
)
def test_a_wrong_code_is_named(text, mistake):
    with pytest.raises(Malformed, match=mistake):
        code_from_text(text, 16, 512)


@pytest.mark.parametrize("value", [math.nan, math.inf, 1e9])
def test_a_code_that_would_overflow_is_refused(engine, value):
    w = engine.sample(3)
    w[0, 3, 5] = value
    with pytest.raises(Malformed, match="not finite or beyond"):
        code_from_text(text_of_code(w), 16, 512)
