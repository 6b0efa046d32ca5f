"""The paper's figures from our data: layers, transfer against style mixing, strips, conditional generation, ranges."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from stylerig_fast.engine import Engine
from stylerig_fast.evaluation.methods.style_mixing import StyleMixing
from stylerig_fast.evaluation.methods.training_sample import TrainingSample
from stylerig_fast.measurement.edit_kinds import EDIT_KINDS, core_kinds, evaluated_kinds
from stylerig_fast.measurement.edit_suite import ANGLES, edits_of
from stylerig_fast.measurement.measurements import MEASURE_LABELS
from stylerig_fast.param_layout import CONTROLS
from stylerig_fast.params import FaceParams

TILE = 192  # pixels of a picture on the page
STRIP = 7
_RENDER = 256


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
def layer_influence(engine: Engine, codes: Tensor, sample: TrainingSample) -> dict[str, Tensor]:
    """How far each slot of the code moves, the paper's Fig. 4: by control, ``(num_ws,)``.

    The root mean square over people and edits of the slot's offset, over that of the slot's own distance from the
    mean code.
    """
    source = engine.params(codes)
    scale = (sample.codes - sample.codes.mean(0)).square().sum(-1).mean(0).sqrt()
    found: dict[str, list[Tensor]] = {control: [] for control in CONTROLS}
    for edit in edits_of(core_kinds(), engine.face_model.expression_names, quick=True):
        edited = engine.rig(codes, edit.apply(source)).cpu()
        moved = (edited - codes.cpu()).square().sum(-1).mean(0)
        found[edit.kind.control].append(moved)
    return {control: torch.stack(parts).mean(0).sqrt() / scale for control, parts in found.items() if parts}


def transfer_grid(engine: Engine, people: Tensor, donors: Tensor, mixing: StyleMixing) -> Grid:
    """Control by control, the rig's transfer beside style mixing's, the paper's Fig. 5.

    Args:
        engine: the rig.
        people: codes ``(R, num_ws, 512)`` of those who are edited.
        donors: codes ``(R, num_ws, 512)`` of those whose controls they get.
        mixing: its range of slots of the control's first measure stands for the control.
    """
    columns: list[tuple[str, Tensor]] = [("person", people), ("donor", donors)]
    for control in CONTROLS:
        columns.append((f"{control}: rig", engine.rig(people, engine.transfer_params(people, donors, (control,)))))
        first, end = mixing.ranges[next(kind.measure for kind in core_kinds() if kind.control == control)]
        columns.append(
            (f"{control}: mixing, slots {first}-{end - 1}", engine.mix_codes(people, donors, range(first, end)))
        )
    pictures = torch.stack([show(engine, code) for _, code in columns], dim=1)
    return Grid(pictures, tuple(name for name, _ in columns), tuple("" for _ in people))


def strips(engine: Engine, w: Tensor) -> Grid:
    """One person ``(1, num_ws, 512)`` along every control, from the lowest to the highest amount that is shown."""
    source, line = engine.params(w), torch.linspace(-1, 1, STRIP)
    rows: list[tuple[str, FaceParams]] = []
    for kind in evaluated_kinds():
        low, high = kind.shown
        amounts = low + (line + 1) / 2 * (high - low)
        if kind.name in ANGLES:
            rows.append((f"{kind.label} {low:g}° to {high:g}°", source.with_pose(**{kind.name: amounts})))
        elif kind.control == "illumination":
            angle = amounts * torch.pi / 2
            direction = torch.stack([angle.sin(), torch.zeros_like(angle), angle.cos().clamp_min(0.05)], dim=1)
            rows.append((kind.label, source.with_light(direction=direction)))
        elif kind.available(engine.face_model.expression_names):
            levels = dict.fromkeys(kind.units, amounts)
            rows.append((f"{kind.label} {low:g} to {high:g}", source.with_expression(**levels)))
    pictures = torch.stack([show(engine, engine.rig(w, params)) for _, params in rows])
    return Grid(pictures, tuple("" for _ in line), tuple(label for label, _ in rows))


def conditional(engine: Engine, seed: int, people: int = 6) -> Grid:
    """Random people who all get the same control."""
    w = engine.sample(seed=seed, n=people, psi=0.7)
    source, smile = engine.params(w), EDIT_KINDS["smile"]
    rows: list[tuple[str, FaceParams]] = [("as drawn", source), ("yaw -20°", source.with_pose(yaw=-20.0))]
    if smile.available(engine.face_model.expression_names):
        rows.append(("smile 0.8", source.with_expression(**dict.fromkeys(smile.units, 0.8))))
    rows.append(("light from the right", source.with_light(direction=(1.0, 0.0, 1.0))))
    codes = [w if label == "as drawn" else engine.rig(w, params) for label, params in rows]
    pictures = torch.stack([show(engine, code) for code in codes])
    return Grid(pictures, tuple("" for _ in range(people)), tuple(label for label, _ in rows))


def distributions(sample: TrainingSample) -> dict[str, Tensor]:
    """Measures of the training portraits, ``(N,)`` each, by their label."""
    return {MEASURE_LABELS[name]: sample.column(name) for name in sample.names}


def show(engine: Engine, codes: Tensor, batch: int = 4) -> Tensor:
    """Pictures ``(B, TILE, TILE, 3)`` uint8 on the CPU."""
    size = min(_RENDER, engine.generator.resolution)
    parts: Sequence[Tensor] = [
        engine.render(part, output="torch", resolution=size).cpu() for part in codes.split(batch)
    ]
    planes = torch.cat(list(parts)).permute(0, 3, 1, 2).float()
    tiles = torch.nn.functional.interpolate(planes, size=(TILE, TILE), mode="bilinear", antialias=True)
    return tiles.round().clamp(0, 255).to(torch.uint8).permute(0, 2, 3, 1)
