"""Sessions: secrets, limits, expiry."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

pytest.importorskip("fastapi", reason="needs the extra `studio`")

from stylerig_fast.studio.limits import StudioLimits
from stylerig_fast.studio.sessions import Refused, Sessions


class Clock:
    now = 0.0

    def __call__(self):
        return self.now


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def ended():
    return []


@pytest.fixture
def sessions(clock, ended):
    return Sessions(StudioLimits(sessions=3, people=2, idle_seconds=100), ended.append, clock)


def person_of(session, engine, label="somebody"):
    w = engine.sample(1)
    return session.add(label, {"seed": 1}, w, engine.params(w))


def test_a_session_is_found_by_its_secret(sessions):
    session, resumed = sessions.open(None)
    assert not resumed
    assert len(session.secret) >= 22  # 128 bits in base64
    assert sessions.open(session.secret) == (session, True)
    other, resumed = sessions.open("no such secret")
    assert not resumed
    assert other.secret not in ("no such secret", session.secret)


def test_people_belong_to_their_session(sessions, engine):
    one, other = sessions.open(None)[0], sessions.open(None)[0]
    person = person_of(one, engine)
    assert one.person("p1") is person
    with pytest.raises(Refused) as refused:
        other.person("p1")
    assert refused.value.status == 404


def test_an_id_is_never_given_twice(sessions, engine):
    session, _ = sessions.open(None)
    assert person_of(session, engine).id == "p1"
    session.remove("p1")
    assert person_of(session, engine).id == "p2"
    with pytest.raises(Refused):
        session.remove("p1")


def test_there_is_a_limit_of_people(sessions, engine):
    session, _ = sessions.open(None)
    person_of(session, engine)
    person_of(session, engine)
    with pytest.raises(Refused, match="2 people") as refused:
        person_of(session, engine)
    assert refused.value.status == 409


def test_the_unused_expire_and_the_used_do_not(sessions, clock, ended):
    unused, used, connected = (sessions.open(None)[0] for _ in range(3))
    connected.connections = 1
    clock.now = 90
    sessions.find(used.secret)
    clock.now = 150
    sessions.sweep()
    assert ended == [unused]
    with pytest.raises(Refused, match="expired"):
        sessions.find(unused.secret)
    clock.now = 400
    sessions.left(connected)
    sessions.sweep()
    assert ended == [unused, used]
    assert sessions.find(connected.secret) is connected


def test_a_running_export_keeps_a_session(sessions, clock, ended):
    session, _ = sessions.open(None)
    session.export = SimpleNamespace(state="running")
    clock.now = 1000
    sessions.sweep()
    assert ended == []
    session.export.state = "ready"
    sessions.sweep()
    assert ended == [session]


def test_the_longest_unused_gives_way(sessions, clock, ended):
    first, second, third = (sessions.open(None)[0] for _ in range(3))
    for clock.now, session in ((1, second), (2, first), (3, third)):
        sessions.find(session.secret)
    sessions.open(None)
    assert ended == [second]


def test_nobody_connected_is_thrown_out(sessions):
    for _ in range(3):
        sessions.open(None)[0].connections = 1
    with pytest.raises(Refused) as refused:
        sessions.open(None)
    assert refused.value.status == 503


def test_closing_ends_all(sessions, ended):
    opened = [sessions.open(None)[0] for _ in range(2)]
    sessions.close()
    assert ended == opened
    assert len(sessions) == 0
