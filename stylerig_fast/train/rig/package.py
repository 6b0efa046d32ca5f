"""The folder that `Engine.from_pretrained` reads: the rig, F, and the range that edits can reach."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import torch
from torch import Tensor

from stylerig_fast.atomic_files import write_atomically
from stylerig_fast.data.portraits import PortraitSet
from stylerig_fast.engine.roll import MOST
from stylerig_fast.face import FaceModel
from stylerig_fast.face.rotation import axis_angle_to_degrees
from stylerig_fast.measurement.expression import measure_face
from stylerig_fast.params import FaceParams
from stylerig_fast.render import evaluate
from stylerig_fast.rignet import RigNet, SubspaceRigNet
from stylerig_fast.train.rig.dataset_statistics import DatasetStatistics

# Quantiles of the training portraits between which a control counts as reachable.
LOWEST, HIGHEST = 0.005, 0.995


def package(
    folder: Path,
    rig: RigNet,
    stats: DatasetStatistics,
    face_model_file: Path | None = None,
    generator_folder: Path | None = None,
) -> None:
    """Writes ``rig/``, ``reconstructor/`` and ``reach.json``, weights in float16.

    Args:
        folder: created if needed.
        rig: trained.
        stats: of the training set, with the F that the rig was trained against and their face model.
        face_model_file: copied along where it is not the package's own.
        generator_folder: likewise.
    """
    compact = rig.compact() if isinstance(rig, SubspaceRigNet) else rig
    compact.save_pretrained(folder / "rig", torch.float16)
    stats.reconstructor.save_pretrained(folder / "reconstructor", torch.float16)
    if face_model_file is not None:
        shutil.copyfile(face_model_file, folder / "face_model.safetensors")
    if generator_folder is not None:
        shutil.copytree(generator_folder, folder / "generator", dirs_exist_ok=True)
    reach = reach_of(stats.model, stats.portraits, stats.source)
    write_atomically(folder / "reach.json", (json.dumps(reach, indent=2) + "\n").encode())


def reach_of(model: FaceModel, portraits: PortraitSet, source: Tensor) -> dict[str, dict[str, list[float]]]:
    """What the portraits show: the range of the head's angles, and how far the jaw opens.

    Args:
        model: the face model.
        portraits: N portraits.
        source: ``(N, P)`` F of them.

    Returns:
        The content of ``reach.json``, see `engine.Reach`.
    """
    params = FaceParams.from_vector(source, model.sizes, model.expression_names)
    degrees = axis_angle_to_degrees(params.blocks["rotation"])
    ends = torch.tensor([LOWEST, HIGHEST], device=degrees.device)
    angles = {
        name: [round(float(end), 1) for end in degrees[:, column].quantile(ends)]
        for column, name in enumerate(("yaw", "pitch"))
    }
    angles["roll"] = [-MOST, MOST]
    if "jawOpen" not in model.expression_names:
        return {"angles": angles, "expression": {}}
    # The expression jawOpen at 1 opens the mouth wider than portraits do.
    shown = measure_face(portraits.landmarks[portraits.detected]).mouth_opening.quantile(HIGHEST)
    mean = FaceParams.from_vector(source.mean(0, keepdim=True), model.sizes, model.expression_names).with_pose(0, 0, 0)
    rest = mean.with_blocks(expression=torch.zeros_like(mean.blocks["expression"]))
    closed, opened = (
        measure_face(evaluate(model, rest.with_expression(jawOpen=value)).landmarks.cpu()).mouth_opening[0]
        for value in (0.0, 1.0)
    )
    widest = float(((shown - closed) / (opened - closed)).clamp(0.1, 1.0))
    return {"angles": angles, "expression": {"jawOpen": [0.0, round(widest, 2)]}}
