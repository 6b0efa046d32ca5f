"""People: seeds, the gallery, transfer, style mixing, the conditional grid; and whose they are."""

from __future__ import annotations

import json
import urllib.error
import urllib.request

import numpy as np
import pytest

from tests.studio.browser.hands import add_person, current, move, own, people, press, rests, state, tab, until, value


def test_a_seed_is_always_the_same_person(page):
    add_person(page, 1234)
    first = rests(page)
    add_person(page, 99)
    assert np.abs(rests(page) - first).max() > 20
    add_person(page, 1234)
    assert (rests(page) == first).all()


def test_truncation_of_nothing_is_the_average(page):
    tab(page, "people")
    page.get_by_test_id("psi").fill("0")
    pictures = []
    for seed in (5, 6):
        add_person(page, seed)
        pictures.append(rests(page))
    assert (pictures[0] == pictures[1]).all()


def test_arrow_keys_go_through_people(page):
    rests(page)
    everybody = people(page)
    assert len(everybody) >= 3
    page.locator("body").click(position={"x": 5, "y": 5})
    first = current(page)
    page.keyboard.press("ArrowRight")
    assert current(page) == everybody[(everybody.index(first) + 1) % len(everybody)]
    page.keyboard.press("ArrowLeft")
    page.keyboard.press("ArrowLeft")
    assert current(page) == everybody[(everybody.index(first) - 1) % len(everybody)]


def test_everybody_keeps_their_own_edits(page):
    rests(page)
    tab(page, "rig")
    move(page, "yaw", 22)
    press(page, "person-next")
    assert value(page, "yaw") == pytest.approx(own(page, "yaw"), abs=0.5)
    press(page, "person-prev")
    assert value(page, "yaw") == 22


def test_removing_a_person(page):
    rests(page)
    before = people(page)
    tab(page, "people")
    press(page, "person-remove")
    until(page, f"window.studio.store.state.people.length === {len(before) - 1}")
    assert len(people(page)) == len(before) - 1
    rests(page)


@pytest.mark.parametrize("control", ["pose", "expression", "light"])
def test_transfer(page, control):
    """The request then holds what the other person has, and the portrait follows."""
    before = rests(page)
    tab(page, "combine")
    other = page.evaluate("""() => {
      const { people, person } = window.studio.store.state;
      const jaw = window.studio.studio.unitIndex.jawOpen;
      const others = people.filter((other) => other.id !== person);
      return others.sort((a, b) => b.params.expression[jaw] - a.params.expression[jaw])[0].id;
    }""")
    press(page, f"source-{other}")
    press(page, f"transfer-{control}")
    source = page.evaluate("""() => {
      const { people, person } = window.studio.store.state;
      const chosen = document.querySelector('[data-testid=source] [aria-checked=true]');
      const id = chosen.dataset.testid.replace('source-', '');
      return people.find((other) => other.id === id && other.id !== person).params;
    }""")
    asked = state(page, "request")
    if control == "pose":
        assert asked == {"pose": source["pose"]}
    elif control == "light":
        assert asked == {"illumination": source["illumination"]}
    else:
        names = page.evaluate("window.studio.studio.unitIndex")
        assert asked["expression"] == {name: source["expression"][index] for name, index in names.items()}
    assert (np.abs(rests(page) - before).max(-1) > 4).mean() > 1e-4
    press(page, "undo")
    assert (rests(page) == before).all()


def test_taking_everything(page):
    tab(page, "combine")
    press(page, "transfer-all")
    assert set(state(page, "request")) == {"pose", "expression", "illumination"}
    rests(page)


def test_style_mixing(page):
    """All slots make the other person; some make somebody new."""
    before = rests(page)
    names = people(page)
    tab(page, "combine")
    press(page, "mix-apply")
    until(page, f"window.studio.store.state.people.length === {len(names) + 1}")
    mixed = rests(page)
    assert (np.abs(mixed - before).max(-1) > 4).mean() > 0.001
    recipe = page.evaluate("window.studio.store.state.people.at(-1).params.pose.yaw")
    assert recipe == pytest.approx(page.evaluate("window.studio.store.state.people[1].params.pose.yaw"), abs=1e-3)
    assert page.evaluate("window.studio.store.state.people.at(-1).params.identity[0]") == pytest.approx(
        page.evaluate("window.studio.store.state.people[0].params.identity[0]"), abs=1e-4
    )


def test_the_grid(page):
    """New people who all do what this one is asked for; one of them is taken over."""
    tab(page, "rig")
    move(page, "yaw", -20)
    rests(page)
    count = len(people(page))
    tab(page, "grid")
    page.get_by_test_id("grid-n").select_option("6")
    page.get_by_test_id("grid-seed").fill("300")
    press(page, "grid-make")
    items = page.locator("[data-testid^=grid-item-] img")
    until(page, "document.querySelectorAll('[data-testid^=grid-item-] img').length === 6")
    assert items.count() == 6
    assert len(people(page)) == count  # looking at them keeps nobody
    press(page, "grid-item-2")
    until(page, f"window.studio.store.state.people.length === {count + 1}")
    assert current(page) == "Person 302, edited"
    assert state(page, "request.pose.yaw") == -20
    rests(page)


def test_holding_the_controls(page):
    tab(page, "rig")
    move(page, "yaw", 18)
    press(page, "person-hold")
    press(page, "person-next")
    assert value(page, "yaw") == 18
    rests(page)


def test_people_are_their_session_s_own(tabs, server):
    """Two profiles: neither page shows the other's people, and knowing an id is of no use."""
    one, two = tabs(server), tabs(server)
    first, second = one.open(), two.open()
    add_person(first, 4711)
    rests(first)
    rests(second)
    assert "Person 4711" in people(first)
    assert "Person 4711" not in people(second)
    secrets = [page.evaluate("window.studio.api.session") for page in (first, second)]
    assert secrets[0] != secrets[1] and all(len(secret) >= 22 for secret in secrets)  # 128 bits
    theirs = first.evaluate("window.studio.store.state.people.at(-1).remote")
    ids = second.evaluate("window.studio.store.state.people.map((person) => person.remote)")
    if theirs not in ids:
        with pytest.raises(urllib.error.HTTPError) as refused:
            urllib.request.urlopen(f"{server.origin}/api/sessions/{secrets[1]}/people/{theirs}/latent")
        assert refused.value.code == 404
        assert "message" in json.loads(refused.value.read())
    with pytest.raises(urllib.error.HTTPError) as refused:
        urllib.request.urlopen(f"{server.origin}/api/sessions/{'x' * 22}/people/{theirs}/latent")
    assert refused.value.code == 404
