"""Building the compiled operations on first use, for installations that could not."""

from __future__ import annotations

import hashlib
import logging
import os
import platform
import tempfile
from pathlib import Path

import platformdirs

from stylerig_fast.ops import _recipe

logger = logging.getLogger(__name__)


def find_sources() -> Path | None:
    """The folder csrc: inside the installed package, or beside it in a checkout."""
    package = Path(__file__).resolve().parents[1]
    for folder in (package / "csrc", package.parent / "csrc"):
        if (folder / "registration.cpp").is_file():
            return folder
    return None


def build_in_cache() -> Path:
    """Builds the library into the user's cache, or finds it there.

    Raises:
        RuntimeError: something is missing, or the compiler failed.
    """
    problem = _recipe.why_not_buildable()
    csrc = find_sources()
    if problem or csrc is None:
        raise RuntimeError(problem or "the C++ sources are not in the installation")
    plan = _recipe.make_plan(csrc)
    digest = hashlib.sha256(repr((plan, _recipe.CXX_FLAGS, _recipe.NVCC_FLAGS, platform.machine())).encode())
    for path in sorted(csrc.rglob("*")):
        if path.is_file():
            digest.update(path.read_bytes())
    folder = Path(platformdirs.user_cache_dir("stylerig_fast")) / "kernels"
    output = folder / f"_kernels-{digest.hexdigest()[:16]}.so"
    if not output.exists():
        logger.warning("building the compiled operations, once: %s", plan.describe())
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=folder) as scratch:
            _recipe.build(plan, Path(scratch), Path(scratch) / output.name)
            os.replace(Path(scratch) / output.name, output)  # whole or not at all, also with two processes at it
    return output
