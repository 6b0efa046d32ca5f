"""The report's folder: ``index.html``, ``metrics.json`` and ``reach.json``."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

from stylerig_fast.evaluation.html_report.page import write_page
from stylerig_fast.evaluation.metrics_file import metrics_json, write_metrics
from stylerig_fast.evaluation.protocol import Evaluation
from stylerig_fast.measurement.range_sweep import reach_table, write_reach


def write_report(
    folder: str | os.PathLike[str], evaluation: Evaluation, settings: Mapping[str, object] | None = None
) -> dict[str, object]:
    """Writes the page, the numbers and the reach of the controls.

    Args:
        folder: created if needed.
        evaluation: what was found.
        settings: how it was made, shown as it is: model, command, versions.

    Returns:
        The content of ``metrics.json``.
    """
    folder, settings = Path(folder), settings or {}
    content = metrics_json(evaluation, settings)
    write_reach(folder / "reach.json", reach_table(evaluation.sweeps))
    write_page(folder / "index.html", evaluation, settings)
    write_metrics(folder / "metrics.json", content)
    return content
