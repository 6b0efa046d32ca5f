from __future__ import annotations

from pathlib import Path

import pytest


@pytest.fixture
def sentinel(tmp_path: Path):
    """A file that hostile content tries to write; it never may."""
    path = tmp_path / "sentinel"
    yield path
    assert not path.exists(), "something in the file was executed"
