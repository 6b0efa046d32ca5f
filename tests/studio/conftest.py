"""A studio around an Engine that answers at once, and a client of it."""

from __future__ import annotations

from contextlib import ExitStack

import pytest


@pytest.fixture
def engine():
    from tests.studio.stand_in import StandIn

    return StandIn()


@pytest.fixture
def serve(engine):
    """Starts servers that end with the test: ``serve(limits=...)`` gives an address, ``serve.studio`` the last one."""
    pytest.importorskip("fastapi", reason="needs the extra `studio`")
    from stylerig_fast.studio.app import create_app
    from stylerig_fast.studio.serve import running

    class Serve:
        studio = None

        def __call__(self, engine=engine, **options):
            app = create_app(engine, **options)
            self.studio = app.state.studio
            return stack.enter_context(running(app))

    with ExitStack() as stack:
        yield Serve()


@pytest.fixture
def client(serve):
    from tests.studio.client import Client

    with Client(serve()) as client:
        yield client
