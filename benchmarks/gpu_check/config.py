"""The configuration of a check: folders, device, and the environment of its processes."""

from __future__ import annotations

import os
import sys
from dataclasses import dataclass
from pathlib import Path

PACKAGE = "stylerig_fast.benchmarks"


@dataclass(frozen=True)
class CheckConfig:
    """Where and how a check runs.

    Attributes:
        root: the checkout.
        out: folder of the results.
        store: folder kept between calls: the compiled operations, and what was unpacked of a kit.
        kit: folder that `pack` wrote, on a machine without the project; None where the project is installed.
        device: "cuda", or "cpu" for a dry run.
        small: use tiny sizes, for dry runs.
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
        """Working directory of the steps: the checkout, or its copy with a complete package (see `store.lay_out`)."""
        return self.root if self.kit is None else self.store / "tree"

    @property
    def library(self) -> Path:
        """The compiled operations, if the installed ones do not work."""
        return self.store / "_kernels.so"

    @property
    def commit_file(self) -> Path:
        """File with the commit of the sources that a kit was packed from."""
        return self.store / "commit"

    @property
    def cache(self) -> Path:
        """The user's cache from a kit, with the portrait generator."""
        return self.store / "unpacked" / "generator"

    @property
    def generator(self) -> str:
        """The portrait generator as ``stylerig-bench --generator`` names it; "" is the trained model's own."""
        if self.small:
            return str(self.store / "small" / "mobilestylegan")
        return "" if self.kit is None or self.cache.is_dir() else "untrained-mobilestylegan"

    @property
    def stylegan2(self) -> str:
        """StyleGAN2 as ``stylerig-bench --generator`` names it; untrained, only for its speed."""
        return str(self.store / "small" / "stylegan2") if self.small else "untrained-stylegan2"

    def environment(self) -> dict[str, str]:
        """The environment of every process that a stage starts."""
        variables = os.environ | {
            "PYTHONUNBUFFERED": "1",
            "PYTHONDONTWRITEBYTECODE": "1",
            "STYLERIG_BUILD_ON_FIRST_USE": "0",  # the stage `build` decides what is loaded
        }
        if self.library.is_file():
            variables["STYLERIG_KERNELS"] = str(self.library)
        if self.kit is not None:
            path = [self.tree, self.store / "wheels", self.store / "unpacked" / "tensorrt"]
            variables["PYTHONPATH"] = os.pathsep.join([*map(str, path), *filter(None, [os.environ.get("PYTHONPATH")])])
            if self.commit_file.is_file():
                variables["STYLERIG_COMMIT"] = self.commit_file.read_text()
            if self.cache.is_dir():
                variables["XDG_CACHE_HOME"] = str(self.cache)
        return variables
