"""``metrics.json``: everything that an evaluation found, as plain values; and reading what older versions wrote."""

from __future__ import annotations

import dataclasses
import json
import os
import platform
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch

from stylerig_fast import __version__
from stylerig_fast.atomic_files import write_atomically
from stylerig_fast.engine import Engine
from stylerig_fast.errors import DataError
from stylerig_fast.evaluation.comparison import scores_json
from stylerig_fast.evaluation.iso_identity import comparison_json
from stylerig_fast.evaluation.plan import EvaluationPlan
from stylerig_fast.evaluation.protocol import Evaluation
from stylerig_fast.measurement.range_sweep import sweep_json

FORMAT = 2
# Names of format 1, which had no number, and what they are called since: patterns of whole names, in this order.
RENAMED_METRICS = (
    (r"smile\.smile_width_(.*)", r"smile.\1"),
    (r"(.*)_to_smile_width", r"\1_to_mouth_width"),
    (r"mirror\.smile_width", "mirror.mouth_width"),
    (r"(\w+)\.change_asked", r"\1.change_requested"),
    (r"(\w+)\.change_seen", r"\1.change_measured"),
    (r"light\.asked_side_share", "light.requested_side_share"),
    (r"witness\.(\w+)_by_own", r"reconstructor_agreement.\1_by_training"),
    (r"witness\.(.*)", r"reconstructor_agreement.\1"),
    (r"drift(_mean)?\.(.*)", r"off_target_change\1.\2"),
    (r"outside\.(.*)", r"background.\1"),
    (r"mirror\.(.*)", r"noise_floor.\1"),
)
RENAMED_KEYS = {
    "outside": "background",
    "outside_interval": "background_interval",
    "drift": "off_target_change",
    "drift_interval": "off_target_change_interval",
    "other_drift": "other_off_target_change",
    "more_drift": "more_off_target_change",
    "rig_has_drift": "rig_has_off_target_change",
    "found": "detected",
    "found_interval": "detected_interval",
    "asked": "amount",
}
RENAMED_METHODS = {"direct optimisation": "latent optimization"}


def describe_setup(engine: Engine, plan: EvaluationPlan) -> dict[str, object]:
    """What was evaluated, how much, where and with which versions."""
    return {
        "plan": dataclasses.asdict(plan),
        "rig": dataclasses.asdict(engine.rig_net.config),
        "device": str(engine.device),
        "versions": {
            "stylerig-fast": __version__,
            "python": platform.python_version(),
            "torch": torch.__version__,
            "numpy": np.__version__,
        },
    }


def metrics_json(evaluation: Evaluation, settings: Mapping[str, object]) -> dict[str, object]:
    """Everything that was found, as plain values.

    Args:
        evaluation: what was found.
        settings: how it was made, as it should be written.
    """
    return {
        "format": FORMAT,
        "settings": dict(settings),
        "std": {"origin": evaluation.std.origin, **evaluation.std.values},
        "reconstructor": evaluation.reconstructor.to_json(),
        "rig": evaluation.rig.to_json(),
        "second_rig": None if evaluation.second_rig is None else evaluation.second_rig.to_json(),
        "frechet_network": evaluation.frechet_network,
        "methods": scores_json(evaluation.scores),
        "iso_identity": [comparison_json(comparison) for comparison in evaluation.iso_identity],
        "reach": sweep_json(evaluation.sweeps),
        "layers": {name: values.tolist() for name, values in evaluation.layers.items()},
        "seconds": evaluation.seconds,
    }


def write_metrics(path: Path, content: Mapping[str, object]) -> None:
    """Writes ``metrics.json``, whole or not at all."""
    write_atomically(path, (json.dumps(content, indent=1) + "\n").encode())


def read_metrics(path: str | os.PathLike[str]) -> dict[str, Any]:
    """Reads a ``metrics.json`` of this version or an older one, in today's names.

    Raises:
        DataError: it cannot be read, is no such file, or is of a later format.
    """
    try:
        content = json.loads(Path(path).read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise DataError(f"{path}: cannot be read as metrics.json ({error})") from error
    if not isinstance(content, dict) or "rig" not in content or "reconstructor" not in content:
        raise DataError(
            f"{path}: has no reports of rig and reconstructor; expected metrics.json of `stylerig evaluate --out`"
        )
    version = content.get("format", 1)
    if version == 1:
        return _from_first_format(content)
    if version != FORMAT:
        raise DataError(f"{path}: metrics format {version!r}, this version reads 1 to {FORMAT}; update stylerig-fast")
    return content


def renamed_metric(name: str) -> str:
    """Today's name of a metric of format 1."""
    for pattern, replacement in RENAMED_METRICS:
        if re.fullmatch(pattern, name):
            name = re.sub(pattern, replacement, name)
    return name


def _from_first_format(content: dict[str, Any]) -> dict[str, Any]:
    reports = {name: content.get(name) and _report(content[name]) for name in ("reconstructor", "rig", "second_rig")}
    rest = {name: _renamed(content.get(name), RENAMED_KEYS.get) for name in ("methods", "reach")}
    comparisons = _renamed(content.get("standings"), RENAMED_KEYS.get)
    kept = {name: value for name, value in content.items() if name != "standings"}
    return {"format": FORMAT, **kept, **reports, **rest, "iso_identity": comparisons}


def _report(report: dict[str, Any]) -> dict[str, Any]:
    metrics = {renamed_metric(name): value for name, value in report["figures"].items()}
    kept = {name: value for name, value in report.items() if name != "figures"}
    return {**kept, "metrics": metrics, "missed": [renamed_metric(name) for name in report["missed"]]}


def _renamed(value: Any, new: Callable[[str], str | None]) -> Any:
    """``value`` with the keys of its dicts, and names of methods, as they are today."""
    if isinstance(value, dict):
        return {new(key) or key: _renamed(each, new) for key, each in value.items()}
    if isinstance(value, list):
        return [_renamed(each, new) for each in value]
    return RENAMED_METHODS.get(value, value) if isinstance(value, str) else value
