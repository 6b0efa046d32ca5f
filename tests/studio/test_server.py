"""The server as a page meets it: its facts, people and pictures over HTTP."""

from __future__ import annotations

import base64
import io
import json
import threading

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.numpy import load

pytest.importorskip("fastapi", reason="needs the extra `studio`")

from stylerig_fast.studio.capabilities import describe
from stylerig_fast.studio.limits import StudioLimits
from stylerig_fast.studio.people import light_strength, text_of_code
from tests.studio.client import Client, call
from tests.studio.stand_in import StandIn


def pixels(content):
    return np.asarray(Image.open(io.BytesIO(content)).convert("RGB"))


# ---- facts ----------------------------------------------------------------------------------------


def test_the_page_learns_what_the_engine_is(serve):
    facts = call(serve(), "GET", "/api/studio").body
    assert facts["num_ws"] == 16
    assert facts["sizes"] == [64, 128, 256, 512]
    assert (facts["preview_size"], facts["full_size"], facts["resolution"]) == (256, 512, 512)
    assert (facts["backend"], facts["device"], facts["dtype"]) == ("stand-in", "cpu", "float32")
    assert facts["reach"]["angles"]["yaw"] == [-35, 35]
    assert facts["limits"] == {"people": 128, "frames": 600, "message_bytes": 65536, "grid": 36}
    assert "gif" in facts["formats"]["video"]
    assert facts["focal"] == 4.26
    units = {unit["name"]: unit for unit in facts["expressions"]}
    assert list(units) == list(StandIn().face_model.expression_names)
    smile, jaw, residual = units["mouthSmileLeft"], units["jawOpen"], units["residual_03"]
    assert (smile["label"], smile["group"], smile["side"]) == ("Smile", "mouth", "left")
    assert (smile["mirror"], smile["low"], smile["high"]) == ("mouthSmileRight", 0, 1)
    assert (jaw["side"], jaw["mirror"], jaw["reach"]) == ("both", None, [0, 0.6])
    assert (residual["group"], residual["label"], residual["reach"]) == ("other", "Residual 03", None)
    assert (units["jawLeft"]["side"], units["jawLeft"]["mirror"], units["jawLeft"]["label"]) == ("both", None, "Left")
    assert units["eyeLookInLeft"]["label"] == "Look in"
    for unit in units.values():
        assert unit["mirror"] is None or units[unit["mirror"]]["mirror"] == unit["name"]
    for preset in facts["presets"]["expressions"].values():
        assert preset
        assert set(preset) <= set(units)


def test_without_a_report_nothing_is_said_of_reach(serve):
    facts = call(serve(StandIn(reach=False)), "GET", "/api/studio").body
    assert facts["reach"] is None
    assert {str(unit["reach"]) for unit in facts["expressions"]} == {"None"}


def test_previews_are_as_large_as_the_device_allows():
    engine = StandIn()
    assert describe(engine, StudioLimits(), preview=128)["preview_size"] == 128
    with pytest.raises(ValueError, match="preview size is 100"):
        describe(engine, StudioLimits(), preview=100)
    engine.device = torch.device("cuda")
    assert describe(engine, StudioLimits())["preview_size"] == 512
    assert describe(StandIn(resolution=128), StudioLimits())["preview_size"] == 128


def test_the_face_model_is_sent_once(serve):
    address = serve()
    first = call(address, "GET", "/api/face-model")
    tensors, model = load(first.body), StandIn().face_model
    assert {name: value.dtype.name for name, value in tensors.items()} == {
        **dict.fromkeys(("mean", "albedo_mean"), "float32"),
        **dict.fromkeys(("identity", "expression", "albedo"), "float16"),
        **dict.fromkeys(("triangles", "landmarks"), "int32"),
    }
    np.testing.assert_array_equal(tensors["mean"], model.mean.numpy())
    np.testing.assert_array_equal(tensors["landmarks"], model.landmarks.numpy())
    np.testing.assert_allclose(tensors["identity"], model.identity.numpy(), atol=2e-3)
    (length,) = np.frombuffer(first.body[:8], "<u8")
    names = json.loads(json.loads(first.body[8 : 8 + int(length)])["__metadata__"]["expression_names"])
    assert tuple(names) == model.expression_names
    again = call(address, "GET", "/api/face-model", headers={"If-None-Match": first.headers["ETag"]})
    assert (again.status, again.body) == (304, b"")


def test_the_page_is_served_with_its_types(serve, tmp_path):
    for name in ("index.html", "js/main.js", "style/main.css", "icon.svg"):
        path = tmp_path / "static" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(name)
    (tmp_path / "secret.txt").write_text("secret")
    address = serve(static=tmp_path / "static")
    page = call(address, "GET", "/")
    assert (page.status, page.body) == (200, b"index.html")
    assert page.headers["Cache-Control"] == "no-cache"
    types = {"js/main.js": "text/javascript", "style/main.css": "text/css", "icon.svg": "image/svg+xml"}
    for name, kind in types.items():
        found = call(address, "GET", f"/{name}")
        assert found.headers.get_content_type() == kind
        assert call(address, "GET", f"/{name}", headers={"If-None-Match": found.headers["ETag"]}).status == 304
    for path in ("/../secret.txt", "/%2e%2e/secret.txt", "/..%2fsecret.txt", "/js/../../secret.txt", "//etc/passwd"):
        assert call(address, "GET", path).status == 404


# ---- people ---------------------------------------------------------------------------------------


def test_a_person_from_a_seed(client, engine):
    person = client.make(seed=7, psi=0.5)
    assert (person["id"], person["label"], person["recipe"]) == ("p1", "Seed 7", {"seed": 7, "psi": 0.5})
    own = engine.params(engine.sample(7, psi=0.5))
    for name, block in own.blocks.items():
        np.testing.assert_allclose(person["params"][name], block[0].numpy(), rtol=1e-6)
    np.testing.assert_allclose(list(person["params"]["pose"].values()), own.pose_degrees()[0].numpy(), rtol=1e-4)
    np.testing.assert_allclose(person["params"]["light"]["direction"], own.light_direction()[0].numpy(), rtol=1e-5)


def test_the_strength_of_a_light_is_what_made_it(engine):
    own = engine.params(engine.sample(7))
    for strength in (0.1, 0.4):
        turned = own.with_light(direction=(1, 0, 1), strength=strength)
        # Exact for a grey light; of a tinted one the linear band takes the constant's tint.
        assert light_strength(turned.illumination) == pytest.approx(strength, abs=1e-4)
    dark = own.with_blocks(illumination=own.illumination * 0)
    assert light_strength(dark.illumination) == 1


def test_a_person_from_a_mix(client, engine):
    client.make(seed=1)
    client.make(seed=2)
    mixed = client.make(mix={"person": "p1", "source": "p2", "slots": [0, 1, 5]}, label="Both")
    assert (mixed["id"], mixed["label"]) == ("p3", "Both")
    latent = client.call("GET", "people/p3/latent").body["latent"]
    assert latent == text_of_code(engine.mix_codes(engine.sample(1), engine.sample(2), [0, 1, 5]))


def test_a_person_survives_saving(client):
    client.make(seed=4)
    latent = client.call("GET", "people/p1/latent").body["latent"]
    assert len(base64.b64decode(latent)) == 16 * 512 * 4
    again = client.make(latent=latent, label="Me")
    assert again["label"] == "Me"
    assert again["params"] == client.make(seed=4)["params"]


def test_people_are_listed(client):
    made = [client.make(seed=seed) for seed in (3, 1)]
    assert client.call("GET", "people").body == {"people": made}


def test_a_person_can_be_removed(client):
    client.make()
    assert client.call("DELETE", "people/p1").status == 204
    assert client.call("GET", "people/p1/latent").status == 404
    assert client.call("DELETE", "people/p1").status == 404
    client.edit("p1")
    assert "no such person" in client.receive()["message"]


@pytest.mark.parametrize(
    ("body", "status", "message"),
    [
        (b"{", 400, "JSON"),
        ({"seed": "7"}, 400, "seed"),
        ({"mix": {"person": "p1", "source": "p9", "slots": [0]}}, 404, "no such person"),
        ({"mix": {"person": "p1", "source": "p1", "slots": [16]}}, 400, "0 … 15"),
        ({"latent": "AAAA"}, 400, "3 bytes"),
        (b"x" * (5 << 20), 413, "longer"),
    ],
)
def test_a_wrong_person_is_refused(client, body, status, message):
    client.make()
    refused = client.call("POST", "people", body)
    assert refused.status == status
    assert message in refused.body["message"]


def test_there_is_a_limit_of_people(serve):
    with Client(serve(limits=StudioLimits(people=2))) as client:
        client.make()
        client.make()
        refused = client.call("POST", "people", {"seed": 1})
        assert (refused.status, "2 people" in refused.body["message"]) == (409, True)
        client.call("DELETE", "people/p1")
        client.make()


def test_clients_do_not_see_each_others_people(serve):
    address = serve()
    with Client(address) as one, Client(address) as other:
        assert one.session != other.session
        one.make()
        assert other.call("GET", "people/p1/picture").status == 404
        other.edit("p1")
        assert "no such person" in other.receive()["message"]
        other.make(seed=99)
        latents = [client.call("GET", "people/p1/latent").body["latent"] for client in (one, other)]
        assert latents[0] != latents[1]
        assert call(address, "GET", "/api/sessions/guess/people/p1/latent").status == 404


# ---- pictures -------------------------------------------------------------------------------------


def test_thumbnails_are_the_people(client, engine):
    client.make(seed=5)
    for size in (64, 128):
        found = client.call("GET", f"people/p1/picture?size={size}")
        assert found.headers["Content-Type"] == "image/jpeg"
        assert found.headers["Cache-Control"].startswith("private")
        expected = engine.render(engine.sample(5), resolution=size)[0]
        assert np.abs(pixels(found.body).astype(int) - expected).mean() < 3
    for wrong in ("100", "-1", "x", "1e3", "%EF%BC%94"):
        assert client.call("GET", f"people/p1/picture?size={wrong}").status == 400


def test_a_picture_as_png_is_exact(client, engine):
    client.make(seed=5)
    request = {"pose": {"yaw": 15}, "expression": {"jawOpen": 0.5}}
    body = {"request": request, "size": 256, "format": "png"}
    found = client.call("POST", "people/p1/picture", body)
    assert found.headers["Content-Type"] == "image/png"
    assert found.headers["Server-Timing"].startswith("render;dur=")
    w = engine.sample(5)
    expected = engine.edit(w, engine.params(w).with_pose(yaw=15).with_expression(jawOpen=0.5), resolution=256)
    np.testing.assert_array_equal(pixels(found.body), expected[0])
    for changed, message in (
        ({"size": 100}, "not one of"),
        ({"request": {"expression": {"jawOpne": 1}}}, "jawOpen"),
        ({"path": "/tmp/x"}, "path"),
    ):
        refused = client.call("POST", "people/p1/picture", {**body, **changed})
        assert refused.status == 400
        assert message in refused.body["message"]


def test_an_engine_that_fails_is_an_answer(serve, engine, caplog):
    engine.edit = lambda w, params, *, resolution=None: 1 / 0
    with Client(serve()) as client:
        client.make()
        failed = client.call("POST", "people/p1/picture", {"size": 64})
        assert (failed.status, "ZeroDivisionError" in failed.body["message"]) == (500, True)
        client.edit()
        failed = client.receive()
        assert (failed["id"], "ZeroDivisionError" in failed["message"]) == (1, True)
        del engine.edit
        assert client.call("POST", "people/p1/picture", {"size": 64}).status == 200
        client.edit()
        assert client.frame().header["id"] == 2


def test_a_session_has_so_much_waiting_and_no_more(serve):
    engine = StandIn(delay=0.05)
    with Client(serve(engine, limits=StudioLimits(jobs=3))) as client:
        client.make()
        statuses = []
        threads = [
            threading.Thread(target=lambda: statuses.append(client.call("GET", "people/p1/picture").status))
            for _ in range(8)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert set(statuses) == {200, 429}
        assert client.call("GET", "people/p1/picture").status == 200


def test_a_picture_that_nobody_waits_for_is_not_drawn(serve):
    engine = StandIn(delay=0.3)
    with Client(serve(engine)) as client:
        client.make()
        for _ in range(6):
            with pytest.raises(TimeoutError):
                impatient(client, timeout=0.05)
        client.call("GET", "people/p1/picture?size=64")
        assert engine.drawn <= 4


def impatient(client, timeout):
    import http.client
    from urllib.parse import urlsplit

    parts = urlsplit(client.address.url)
    connection = http.client.HTTPConnection(parts.hostname, parts.port, timeout=timeout)
    try:
        connection.request("GET", f"/api/sessions/{client.session}/people/p1/picture?size=64")
        connection.getresponse()
    finally:
        connection.close()
