"""``stylerig demo``: four people, eight edits each, with the face model that was asked for below each picture."""

from __future__ import annotations

import statistics
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from PIL import Image
from torch import Tensor

from stylerig_fast.commands.options import EngineOptions, Stopwatch, sample
from stylerig_fast.commands.output import Pixels, check_output, write_png
from stylerig_fast.commands.sheet import Tile, draw_sheet
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
    "light from the left": lambda params: params.with_light(direction=(-1, 0.2, 0.6), strength=0.6),
    "light from the right": lambda params: params.with_light(direction=(1, 0.2, 0.6), strength=0.6),
}
MODEL_SIZE = 300  # pixels of the rendered face model, before the sheet scales it down


@dataclass(kw_only=True)
class Demo(EngineOptions):
    """Write a contact sheet of people and edits, and say how long an edit takes."""

    seed: tuple[int, ...] = (7, 12, 21, 33)
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
        people = [sample(engine, seed, self.psi) for seed in self.seed]
        headings = ["as is", *REQUESTS, "another's pose"]
        times: dict[str, list[float]] = {heading: [] for heading in headings}
        engine.render(people[0])  # the first picture pays for warming up, and is not counted
        rows = [_row(engine, w, pose_source(engine, people, index), times) for index, w in enumerate(people)]
        edits = [ms for heading in headings[1:] for ms in times[heading]]
        footer = (
            f"Below each picture: the 3D face model as it was asked for.   One edit: {statistics.median(edits):.0f} ms "
            f"at {engine.resolution} px, on {describe_device(engine.device)}."
        )
        write_png(draw_sheet(f"stylerig_fast on {self.model}", footer, headings, rows), self.out)
        figures: dict[str, object] = {f"{name}, ms": statistics.median(ms) for name, ms in times.items()}
        where = {"edit, ms": statistics.median(edits), "resolution": engine.resolution}
        self.report(engine, {"wrote": [str(self.out)], **figures, **where, "ran on": describe_device(engine.device)})


def pose_source(engine: Engine, people: list[Tensor], index: int) -> Tensor:
    """Of the other people, the one whose head is turned most differently: there the transfer is seen best."""
    degrees = torch.cat([engine.params(w).pose_degrees() for w in people])
    distance = (degrees - degrees[index]).norm(dim=-1)
    return people[int(distance.argmax())]


def describe_device(device: torch.device) -> str:
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    threads = torch.get_num_threads()
    return f"{device.type}, {threads} thread{'s' * (threads != 1)}"


def _row(engine: Engine, w: Tensor, source: Tensor, times: dict[str, list[float]]) -> list[Tile]:
    own = engine.params(w)
    tiles = []

    def add(heading: str, request: FaceParams, draw: Callable[[], Pixels], inset: Image.Image | None = None) -> None:
        with Stopwatch(engine.device) as watch:
            pictures = draw()
        times[heading].append(watch.ms)
        tiles.append(Tile(Image.fromarray(pictures[0]), _face_model(engine, request), inset))

    add("as is", own, lambda: engine.render(w))
    for heading, change in REQUESTS.items():
        request = change(own)
        add(heading, request, lambda: engine.edit(w, request))  # noqa: B023, called at once
    inset = Image.fromarray(engine.render(source)[0])
    asked = own.with_controls_from(engine.params(source), ("pose",))
    add("another's pose", asked, lambda: engine.transfer(w, source=source, controls=("pose",)), inset)
    return tiles


def _face_model(engine: Engine, params: FaceParams) -> Image.Image:
    """The rendered face model, transparent where it is not."""
    rendered = engine.render_params(params, MODEL_SIZE)
    rgba = torch.cat([rendered.image[0], rendered.mask[:1].to(rendered.image.dtype)]).clamp(0, 1)
    return Image.fromarray(rgba.mul(255).round().byte().permute(1, 2, 0).cpu().numpy())
