"""The paper's figures from our data: layers, transfer against style mixing, strips, conditional generation, ranges."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from stylerig_fast.engine import Engine
from stylerig_fast.evaluation.methods import Sample, StyleMixing
from stylerig_fast.measurement.edit_suite import BROWS_UNITS, EYES_UNITS, SMILE_UNITS, standard_requests
from stylerig_fast.params import CONTROLS, FaceParams

TILE = 192  # pixels of a picture on the page
STRIP = 7
_RENDER = 256
CONTROL_OF = {"yaw": "pose", "pitch": "pose", "light": "illumination"}
# Which measure's mixing range stands for a control in the transfer grid.
_MIXED_AS = {"pose": "yaw", "expression": "mouth_opening", "illumination": "light"}


@dataclass(frozen=True)
class Grid:
    """Pictures in rows and columns.

    Attributes:
        pictures: ``(R, C, TILE, TILE, 3)`` uint8.
        columns, rows: their headings.
    """

    pictures: Tensor
    columns: tuple[str, ...]
    rows: tuple[str, ...]


@torch.no_grad()
def layer_influence(engine: Engine, codes: Tensor, sample: Sample) -> dict[str, Tensor]:
    """How far each slot of the code moves, the paper's Fig. 4: by control, ``(num_ws,)``.

    The root mean square over people and edits of the slot's offset, over that of the slot's own deviation from the
    mean code.
    """
    own = engine.params(codes)
    scale = (sample.codes - sample.codes.mean(0)).square().sum(-1).mean(0).sqrt()
    found: dict[str, list[Tensor]] = {control: [] for control in CONTROLS}
    for request in standard_requests(engine.face_model.expression_names, quick=True):
        edited = engine.rig(codes, request.apply(own)).cpu()
        moved = (edited - codes.cpu()).square().sum(-1).mean(0)
        found[CONTROL_OF.get(request.kind, "expression")].append(moved)
    return {control: torch.stack(parts).mean(0).sqrt() / scale for control, parts in found.items() if parts}


def transfer_grid(engine: Engine, targets: Tensor, sources: Tensor, mixing: StyleMixing) -> Grid:
    """Control by control, the rig's transfer beside style mixing's, the paper's Fig. 5."""
    columns: list[tuple[str, Tensor]] = [("person", targets), ("source", sources)]
    for control in CONTROLS:
        columns.append((f"{control}: rig", engine.rig(targets, engine.transferred(targets, sources, (control,)))))
        first, end = mixing.ranges[_MIXED_AS[control]]
        columns.append(
            (f"{control}: mixing, slots {first}-{end - 1}", engine.mixed(targets, sources, range(first, end)))
        )
    pictures = torch.stack([show(engine, code) for _, code in columns], dim=1)
    return Grid(pictures, tuple(name for name, _ in columns), tuple("" for _ in targets))


def strips(engine: Engine, w: Tensor) -> Grid:
    """One person along every control."""
    own, units = engine.params(w), engine.face_model.expression_names
    line = torch.linspace(-1, 1, STRIP)
    asked: list[tuple[str, FaceParams]] = [
        ("yaw -30° to 30°", own.with_pose(yaw=line * 30)),
        ("pitch -15° to 15°", own.with_pose(pitch=line * 15)),
    ]
    level = (line + 1) / 2
    for label, names in (
        ("jawOpen", ("jawOpen",)),
        ("smile", SMILE_UNITS),
        ("eyes closing", EYES_UNITS),
        ("brow raise", BROWS_UNITS),
    ):
        if all(name in units for name in names):
            asked.append((f"{label} 0 to 1", own.with_expression(**dict.fromkeys(names, level))))
    angle = line * torch.pi / 2
    direction = torch.stack([angle.sin(), torch.zeros_like(angle), angle.cos().clamp_min(0.05)], dim=1)
    asked.append(("light, left to right", own.with_light(direction=direction)))
    pictures = torch.stack([show(engine, engine.rig(w, params)) for _, params in asked])
    return Grid(pictures, tuple("" for _ in line), tuple(label for label, _ in asked))


def conditional(engine: Engine, seed: int, people: int = 6) -> Grid:
    """Random people who all get the same control."""
    w = engine.sample(seed=seed, n=people, psi=0.7)
    own, units = engine.params(w), engine.face_model.expression_names
    asked: list[tuple[str, FaceParams]] = [("as drawn", own), ("yaw -20°", own.with_pose(yaw=-20.0))]
    if all(name in units for name in SMILE_UNITS):
        asked.append(("smile 0.8", own.with_expression(**dict.fromkeys(SMILE_UNITS, 0.8))))
    asked.append(("light from the right", own.with_light(direction=(1.0, 0.0, 1.0))))
    codes = [w if label == "as drawn" else engine.rig(w, params) for label, params in asked]
    pictures = torch.stack([show(engine, code) for code in codes])
    return Grid(pictures, tuple("" for _ in range(people)), tuple(label for label, _ in asked))


def distributions(sample: Sample) -> dict[str, Tensor]:
    """Measures of the training portraits, ``(N,)`` each, by their label."""
    labels = {
        "yaw": "yaw, degrees",
        "pitch": "pitch, degrees",
        "mouth_opening": "mouth opening, eye distances",
        "smile_width": "mouth width, eye distances",
        "eye_opening": "eye opening, eye distances",
        "brow_height": "brow height, eye distances",
        "light": "light, right over left cheek (log)",
    }
    return {label: sample.column(name) for name, label in labels.items()}


def show(engine: Engine, codes: Tensor, batch: int = 4) -> Tensor:
    """Pictures ``(B, TILE, TILE, 3)`` uint8 on the CPU."""
    size = min(_RENDER, engine.generator.resolution)
    parts: Sequence[Tensor] = [
        engine.render(part, output="torch", resolution=size).cpu() for part in codes.split(batch)
    ]
    planes = torch.cat(list(parts)).permute(0, 3, 1, 2).float()
    tiles = torch.nn.functional.interpolate(planes, size=(TILE, TILE), mode="bilinear", antialias=True)
    return tiles.round().clamp(0, 255).to(torch.uint8).permute(0, 2, 3, 1)
