"""``stylerig demo``: four people, eight edits each, with the face model that was asked for below each picture."""

from __future__ import annotations

import statistics
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from PIL import Image
from torch import Tensor

from stylerig_fast.commands.contact_sheet import Tile, draw_sheet
from stylerig_fast.commands.options import CallTimer, EngineOptions, sample
from stylerig_fast.commands.output import Pixels, check_output, write_png
from stylerig_fast.params import FaceParams

if TYPE_CHECKING:
    from stylerig_fast.engine import Engine

# What is asked of everybody. Angles are absolute, as the head is then seen; expressions are added to the person's own.
REQUESTS: dict[str, Callable[[FaceParams], FaceParams]] = {
    "yaw -25°": lambda params: params.with_pose(yaw=-25),
    "yaw +25°": lambda params: params.with_pose(yaw=25),
    "pitch +15°": lambda params: params.with_pose(pitch=15),
    "smile": lambda params: params.with_expression(mouthSmileLeft=0.8, mouthSmileRight=0.8),
    "jaw open": lambda params: params.with_expression(jawOpen=0.6),
    "light from the left": lambda params: params.with_light(direction=(-1, 0, 1)),
    "light from the right": lambda params: params.with_light(direction=(1, 0, 1)),
}
# Expression units that a request needs; a face model without them is not asked.
NEEDS = {"smile": "mouthSmileLeft", "jaw open": "jawOpen"}
TRANSFER = "another's pose"
MODEL_SIZE = 300  # pixels of the rendered face model, before the sheet scales it down


@dataclass(kw_only=True)
class DemoCommand(EngineOptions):
    """Write a contact sheet of people and edits, and say how long an edit takes."""

    # Of the first sixty, people with closed lips and heads turned differently: there edits are seen best.
    seed: tuple[int, ...] = (15, 25, 29, 17)
    """Seeds of the people, a row each; at least two, for the pose that is transferred."""
    psi: float = 0.6
    """Truncation: 0 is the average face, 1 the generator's full variety."""
    out: Path = Path("out/demo.png")
    """PNG file to write."""

    def run(self) -> None:
        check_output(self.out)
        if len(self.seed) < 2:
            raise ValueError(f"--seed names {len(self.seed)} people, expected at least 2")
        engine = self.open_engine()
        people = torch.cat([sample(engine, seed, self.psi) for seed in self.seed])
        units = engine.params(people).expression_names
        requests = {name: change for name, change in REQUESTS.items() if NEEDS.get(name) in (None, *units)}
        times: dict[str, list[float]] = {heading: [] for heading in (*requests, TRANSFER)}
        rows = _rows(engine, people, requests, times)
        ms = statistics.median(value for column in times.values() for value in column)
        where = describe_device(engine.device)
        footer = (
            f"Below each picture: the 3D face model as it was asked for.   "
            f"One edit: {ms:.0f} ms at {engine.resolution} px, on {where}."
        )
        write_png(draw_sheet(f"stylerig_fast on {self.model}", footer, ["as is", *times], rows), self.out)
        figures: dict[str, object] = {f"{name}, ms": statistics.median(column) for name, column in times.items()}
        figures |= {"any edit, ms": ms, "resolution": engine.resolution, "ran on": where}
        self.report(engine, {"wrote": [str(self.out)], **figures})


def pose_donors(params: FaceParams) -> list[int]:
    """For each person the one whose head is turned most differently: there a transferred pose is seen best."""
    degrees = params.pose_degrees()
    return torch.cdist(degrees, degrees).argmax(1).tolist()


def describe_device(device: torch.device) -> str:
    """Name of the GPU, or the CPU's number of threads."""
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    threads = torch.get_num_threads()
    return f"{device.type}, {threads} thread{'s' * (threads != 1)}"


def _rows(
    engine: Engine,
    people: Tensor,
    requests: dict[str, Callable[[FaceParams], FaceParams]],
    times: dict[str, list[float]],
) -> list[list[Tile]]:
    """A row of tiles for each person, a tile for each request; what edits took is added to ``times``, milliseconds."""

    def timed(heading: str, draw: Callable[..., Pixels], *arguments: Any) -> Image.Image:
        with CallTimer(engine.device) as watch:
            pictures = draw(*arguments)
        times[heading].append(watch.ms)
        return Image.fromarray(pictures[0])

    portraits = engine.render(people)  # it also pays for warming up, so that the edits are timed warm
    params = engine.params(people)
    rows = []
    for index, donor in enumerate(pose_donors(params)):
        w, source = people[index : index + 1], params[index]
        row = [Tile(Image.fromarray(portraits[index]), _face_model(engine, source))]
        for heading, change in requests.items():
            request = change(source)
            row.append(Tile(timed(heading, engine.edit, w, request), _face_model(engine, request)))
        picture = timed(TRANSFER, engine.transfer, w, people[donor : donor + 1], ("pose",))
        request = source.with_controls_from(params[donor], ("pose",))
        row.append(Tile(picture, _face_model(engine, request), inset=Image.fromarray(portraits[donor])))
        rows.append(row)
    return rows


def _face_model(engine: Engine, params: FaceParams) -> Image.Image:
    """The rendered face model, transparent where it is not."""
    rendered = engine.render_params(params, MODEL_SIZE)
    rgba = torch.cat([rendered.image[0], rendered.mask[:1].to(rendered.image.dtype)]).clamp(0, 1)
    return Image.fromarray(rgba.mul(255).round().byte().permute(1, 2, 0).cpu().numpy())
