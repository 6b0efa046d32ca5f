"""Reading and writing the JSON file of a report."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from stylerig_fast.atomic_files import write_atomically

from .format import FORMAT


def write(report: Mapping[str, Any], path: Path | None) -> None:
    """Writes a report for `read`; nothing without a path."""
    if path is not None:
        write_atomically(path, (json.dumps(report, indent=1, allow_nan=False) + "\n").encode())


def read(path: Path) -> dict[str, Any]:
    """Reads a report that `write` wrote.

    Raises:
        ValueError: the file cannot be read, or holds something else.
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
