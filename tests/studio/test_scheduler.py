"""One thread for the Engine; turns that are fair."""

from __future__ import annotations

import threading
from concurrent.futures import CancelledError

import pytest

pytest.importorskip("fastapi", reason="needs the extra `studio`")

from stylerig_fast.studio.scheduler import LIVE_TURNS, Closed, Scheduler


@pytest.fixture
def scheduler():
    scheduler = Scheduler("engine")
    yield scheduler
    scheduler.close()


@pytest.fixture
def held(scheduler):
    """A scheduler whose thread waits until ``held.set()``: what is submitted before stands in line."""
    go, busy = threading.Event(), threading.Event()

    def hold(_):
        busy.set()
        assert go.wait(10)

    scheduler.submit("holder", hold)
    assert busy.wait(10)
    yield go
    go.set()


def test_work_gets_the_engine_on_one_thread(scheduler):
    threads = {scheduler.submit(f"c{i}", lambda engine: (engine, threading.get_ident())).result(5) for i in range(5)}
    assert len(threads) == 1
    [(engine, thread)] = threads
    assert engine == "engine"
    assert thread != threading.get_ident()


def test_an_error_reaches_its_client_alone(scheduler):
    failing = scheduler.submit("a", lambda engine: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        failing.result(5)
    assert scheduler.submit("a", lambda engine: 3).result(5) == 3


def order(scheduler, held, work):
    """In which order ``(client, line)`` pairs get their turns."""
    done = []
    futures = [
        scheduler.submit(client, lambda engine, name=f"{client}{number}": done.append(name), line)
        for number, (client, line) in enumerate(work)
    ]
    held.set()
    for future in futures:
        future.result(5)
    return done


def test_clients_take_turns(scheduler, held):
    work = [("a", "job")] * 4 + [("b", "job")] * 2 + [("c", "job")]
    assert order(scheduler, held, work) == ["a0", "b4", "c6", "a1", "b5", "a2", "a3"]


def test_live_goes_first_but_never_alone(scheduler, held):
    work = [("a", "job")] * 2 + [("b", "live")] * (LIVE_TURNS + 2)
    done = order(scheduler, held, work)
    assert [name[0] for name in done] == ["b"] * LIVE_TURNS + ["a", "b", "b", "a"]


def test_what_is_cancelled_is_skipped(scheduler, held):
    done = []
    gone = scheduler.submit("a", lambda engine: done.append("gone"))
    kept = scheduler.submit("a", lambda engine: done.append("kept"))
    assert gone.cancel()
    assert scheduler.waiting("a") == 1
    held.set()
    kept.result(5)
    assert done == ["kept"]


def test_a_client_is_forgotten(scheduler, held):
    mine = [scheduler.submit("a", lambda engine: None, line) for line in ("live", "job", "job")]
    other = scheduler.submit("b", lambda engine: "b")
    scheduler.forget("a")
    held.set()
    assert other.result(5) == "b"
    assert all(future.cancelled() for future in mine)


def test_closing_cancels_what_waits(scheduler, held):
    waiting = scheduler.submit("a", lambda engine: None)
    closer = threading.Thread(target=scheduler.close)
    closer.start()
    with pytest.raises(CancelledError):
        waiting.result(5)
    held.set()
    closer.join(5)
    assert not closer.is_alive()
    with pytest.raises(Closed):
        scheduler.submit("a", lambda engine: None)


def test_closing_what_never_ran_is_fine():
    Scheduler("engine").close()
