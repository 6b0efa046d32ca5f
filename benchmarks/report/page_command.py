"""``stylerig-bench page``: the page of benchmarks from files of results."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro

from stylerig_fast.commands.output import check_output

from .files import read
from .gpu_check_results import read_checks
from .output import write_page


@dataclass(kw_only=True)
class PageCommand:
    """Write the page of benchmarks from reports that --json wrote and from checks of GPUs, without measuring."""

    files: Annotated[tuple[Path, ...], tyro.conf.Positional]
    """Reports of `all`, one of each machine; and folders of results of `make gpu-check`, one of each call."""
    markdown: Path
    """File to write."""
    plot: Path | None = None
    """Draw the first report to this file, and show it on the page."""

    def run(self) -> None:
        check_output(self.markdown, ".md")
        reports = [read(path) for path in self.files if not path.is_dir()]
        checks = read_checks([path for path in self.files if path.is_dir()])
        if self.plot is not None:
            check_output(self.plot, ".svg")
            if not reports:
                raise ValueError("--plot draws the first report of `all`, and there is none among the files")
        write_page(reports, checks, self.markdown, self.plot)
