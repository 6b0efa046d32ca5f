from __future__ import annotations

from importlib import metadata
from pathlib import Path

import pytest

from stylerig_fast.generators import Generator, load_pretrained
from stylerig_fast.generators.pretrained import INSTALL, PACKAGE


@pytest.fixture(scope="session")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A cache that the pretrained generator is converted to once per run of the tests."""
    try:
        metadata.version(PACKAGE)
    except metadata.PackageNotFoundError:
        pytest.skip(f"needs the generator's weights: {INSTALL}")
    folder = tmp_path_factory.mktemp("cache")
    load_pretrained(cache_dir=folder)
    return folder


@pytest.fixture(scope="session")
def pretrained(cache: Path) -> Generator:
    return load_pretrained(cache_dir=cache)
