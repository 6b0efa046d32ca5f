"""What becomes of a report: printed, and written as JSON, Markdown and a picture."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from stylerig_fast.checkpoint import write_atomically

FORMAT = "stylerig-bench 1"


def finish(report: Mapping[str, Any], options: Any) -> None:
    """Prints the tables and writes the files that the options name.

    Args:
        report: of one command.
        options: with the paths ``json``, ``markdown`` and ``plot``, or None for each.
    """
    from .page import section_text
    from .plot import draw

    text = section_text(report)
    print(text)
    write(report, options.json)
    if options.markdown is not None:
        write_atomically(options.markdown, text.encode())
    if options.plot is not None:
        write_atomically(options.plot, draw(report).encode())


def write(report: Mapping[str, Any], path: Path | None) -> None:
    """Writes a report for `read`; nothing without a path."""
    if path is not None:
        write_atomically(path, (json.dumps(report, indent=1, allow_nan=False) + "\n").encode())


def read(path: Path) -> dict[str, Any]:
    """A report that `finish` wrote.

    Raises:
        ValueError: it is none.
    """
    try:
        report = json.loads(path.read_bytes())
    except OSError as error:
        raise ValueError(f"{path}: cannot be read ({error.strerror})") from error
    except ValueError as error:
        raise ValueError(
            f"{path}: no JSON ({error}); expected what `stylerig-bench ... --json {path}` writes"
        ) from error
    found = report.get("format") if isinstance(report, dict) else None
    if found != FORMAT:
        raise ValueError(f"{path}: format {found!r}, expected {FORMAT!r}; measure again with this version")
    return report
