"""Fixtures that several parts of the tests need, and how the cores are shared."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

# Before torch is imported: processes that run side by side share the cores, and so do those that they start.
if "PYTEST_XDIST_WORKER_COUNT" in os.environ:
    threads = (os.cpu_count() or 1) // int(os.environ["PYTEST_XDIST_WORKER_COUNT"])
    os.environ.setdefault("OMP_NUM_THREADS", str(max(threads, 1)))


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """A file's tests stay in one process, which makes their fixtures once.

    All tests with a browser do, for two of them that draw in software starve everything else on two cores.
    """
    for item in items:
        file = item.nodeid.partition("::")[0]
        item.add_marker(pytest.mark.xdist_group("browser" if "/browser/" in file else file))


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder of shared data and golden outputs beside the checkout; tests that need it skip without it."""
    folder = Path(__file__).resolve().parents[2] / "shared"
    if not folder.is_dir():
        pytest.skip("needs the folder ../shared (data and golden outputs), which is not there")
    return folder
