"""A rig and an export folder as version 1 of their formats has them: source and delta had other names."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict
from pathlib import Path

import onnx
from torch import Tensor

from stylerig_fast.checkpoint import save_checkpoint
from stylerig_fast.rignet import RigNet

FORMER = {
    "source_mean": "own_mean",
    "source_std": "own_std",
    "source_factor": "own_factor",
    "delta_factor": "request_factor",
    "std": "deviation",
}


def former_state(rig: RigNet) -> dict[str, Tensor]:
    """A rig's tensors under their former names."""
    return {FORMER.get(name, name): value for name, value in rig.state_dict().items()}


def save_as_format_1(folder: Path, rig: RigNet, more: dict[str, Tensor] | None = None) -> None:
    """Writes a rig's folder, with ``more`` tensors."""
    save_checkpoint(folder, "rig", asdict(rig.config), former_state(rig) | (more or {}))
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**config, "format": 1}))


def export_to_format_1(folder: Path, rig: RigNet) -> None:
    """Rewrites an export folder of today's format, whose graphs were made of ``rig``."""
    manifest = json.loads((folder / "export.json").read_text())
    for name in ("rig", "edit"):
        path = folder / f"{name}.onnx"
        model = onnx.load(path)
        for value in model.graph.input:
            value.name = "own" if value.name == "source" else value.name
        for node in model.graph.node:
            node.input[:] = ["own" if each == "source" else each for each in node.input]
        onnx.checker.check_model(model)
        path.write_bytes(model.SerializeToString())
        manifest["files"][path.name] = hashlib.sha256(path.read_bytes()).hexdigest()
    digest = hashlib.sha256()
    for name, value in sorted(former_state(rig).items()):
        digest.update(f"{name}{tuple(value.shape)}".encode())
        digest.update(value.numpy().tobytes())
    manifest["format"], manifest["rig"]["sha256"] = 1, digest.hexdigest()
    (folder / "export.json").write_text(json.dumps(manifest))
