"""Where a check runs: the sources, what is kept between calls, the device, and the environment of its processes."""

from __future__ import annotations

import os
import sys
from dataclasses import dataclass
from pathlib import Path

PACKAGE = "stylerig_fast.benchmarks"


@dataclass(frozen=True)
class Setting:
    """One check.

    Attributes:
        root: the checkout.
        out: results are written here.
        store: what stays between calls: the compiled operations, and what was unpacked of a kit.
        kit: the folder that `pack` wrote, on a machine that has nothing installed; None where the project is installed.
        device: "cuda", or "cpu" for a dry run.
        small: tiny sizes, for dry runs.
        python: the interpreter.
    """

    root: Path
    out: Path
    store: Path
    kit: Path | None = None
    device: str = "cuda"
    small: bool = False
    python: str = sys.executable

    @property
    def tree(self) -> Path:
        """Where processes start: the checkout, or its copy in which the package is complete (see `store.lay_out`)."""
        return self.root if self.kit is None else self.store / "tree"

    @property
    def library(self) -> Path:
        """The compiled operations, where the installed ones do not serve."""
        return self.store / "_kernels.so"

    @property
    def commit_file(self) -> Path:
        """Which commit the sources of a kit are of."""
        return self.store / "commit"

    @property
    def cache(self) -> Path:
        """The user's cache as a kit brings it: the portrait generator."""
        return self.store / "unpacked" / "generator"

    @property
    def generator(self) -> str:
        """The portrait generator as ``stylerig-bench --generator`` names it; "" is the trained model's own."""
        if self.small:
            return str(self.store / "small" / "mobilestylegan")
        return "" if self.kit is None or self.cache.is_dir() else "untrained-mobilestylegan"

    @property
    def stylegan2(self) -> str:
        """StyleGAN2, likewise: of its speed only."""
        return str(self.store / "small" / "stylegan2") if self.small else "untrained-stylegan2"

    def environment(self) -> dict[str, str]:
        """Of every process that a stage starts."""
        found = os.environ | {
            "PYTHONUNBUFFERED": "1",
            "PYTHONDONTWRITEBYTECODE": "1",
            "STYLERIG_BUILD_ON_FIRST_USE": "0",  # the stage `build` decides what is loaded
        }
        if self.library.is_file():
            found["STYLERIG_KERNELS"] = str(self.library)
        if self.kit is not None:
            path = [self.tree, self.store / "wheels", self.store / "unpacked" / "tensorrt"]
            found["PYTHONPATH"] = os.pathsep.join([*map(str, path), *filter(None, [os.environ.get("PYTHONPATH")])])
            if self.commit_file.is_file():
                found["STYLERIG_COMMIT"] = self.commit_file.read_text()
            if self.cache.is_dir():
                found["XDG_CACHE_HOME"] = str(self.cache)
        return found
