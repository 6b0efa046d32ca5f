"""The files that ``--json``, ``--markdown`` and ``--plot`` name."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

from stylerig_fast.atomic_files import write_atomically
from stylerig_fast.commands.output import check_output

from .files import write
from .gpu_check_results import GpuCheck
from .page import page, section_text
from .plot import draw


class OutputOptions(Protocol):
    """Paths of the files to write, each None for none."""

    json: Path | None
    markdown: Path | None
    plot: Path | None


def check_outputs(options: OutputOptions) -> None:
    """Raises ValueError for files that could not be written: before the measurements, not after them."""
    for path, suffix in ((options.json, ".json"), (options.markdown, ".md"), (options.plot, ".svg")):
        if path is not None:
            check_output(path, suffix)


def write_outputs(report: Mapping[str, Any], options: OutputOptions) -> None:
    """Prints the tables of a report and writes the files that the options name."""
    text = section_text(report)
    print(text)
    write(report, options.json)
    if options.markdown is not None:
        write_atomically(options.markdown, text.encode())
    if options.plot is not None:
        write_atomically(options.plot, draw(report).encode())


def write_page(
    reports: Sequence[Mapping[str, Any]], checks: Sequence[GpuCheck], markdown: Path | None, plot: Path | None
) -> str:
    """Writes the page of benchmarks, and the plot of its first report.

    Args:
        reports: of `all`, one of each machine.
        checks: of GPUs.
        markdown: where the page is written; None writes none.
        plot: where the plot is written; the page shows it. None draws none.

    Returns:
        The page.
    """
    link = ""
    if plot is not None:
        write_atomically(plot, draw(reports[0]).encode())
        if markdown is not None:
            link = Path(os.path.relpath(plot, markdown.parent)).as_posix()
    text = page(reports, link, checks)
    if markdown is not None:
        write_atomically(markdown, text.encode())
    return text
