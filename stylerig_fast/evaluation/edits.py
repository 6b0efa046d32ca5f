"""Asks a rig for standard edits of people, renders each picture once, and looks at it and at the rendered request."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from typing import Any, Literal, Protocol

import torch
from torch import Tensor

from stylerig_fast.data.portraits import PortraitSet
from stylerig_fast.evaluation.judge import Judge, Observation
from stylerig_fast.evaluation.pose import PoseEstimator
from stylerig_fast.face import Camera, FaceModel
from stylerig_fast.params import FaceParams
from stylerig_fast.render import Rendered

YAW_STEPS = (-20.0, -15.0, -10.0, 10.0, 15.0, 20.0)
PITCH_STEPS = (-10.0, 10.0)
JAW_LEVELS = (0.0, 0.25, 0.5, 0.75, 1.0)
SMILE_LEVELS = (0.0, 0.8)
LIGHT_SIDES = {"left": (-1.0, 0.0, 1.0), "right": (1.0, 0.0, 1.0)}
SMILE_UNITS = ("mouthSmileLeft", "mouthSmileRight")

Kind = Literal["yaw", "pitch", "jaw", "smile", "light", "transfer"]


class RigLike(Protocol):
    """What is measured: an `Engine`, or anything that edits codes and renders them."""

    face_model: FaceModel

    @property
    def camera(self) -> Camera: ...

    def params(self, w: Tensor) -> FaceParams: ...

    def rig(self, w: Tensor, params: FaceParams) -> Tensor: ...

    def render(self, w: Tensor, output: Literal["torch"], resolution: int | None) -> Any: ...

    def render_params(self, params: FaceParams, size: int) -> Rendered: ...


@dataclass(frozen=True)
class Request:
    """One edit asked of everybody.

    Attributes:
        name: unique, for example ``yaw+20``.
        kind: what it changes.
        amount: degrees of change, level of the expression unit, or -1 and 1 for light from left and right.
        apply: a person's own parameters to the requested ones.
    """

    name: str
    kind: Kind
    amount: float
    apply: Callable[[FaceParams], FaceParams]


@dataclass(frozen=True)
class Edited:
    """One request's outcome: in the picture, and in the rendered face model of the request."""

    request: Request
    picture: Observation
    rendered: Observation


@dataclass(frozen=True)
class Measured:
    """Everything seen of n people and their edits.

    Attributes:
        before: the people as they are. rendered: their rendered face models.
        edits: one entry per request, in the order of the requests.
        source_degrees: ``(n, 3)`` pose of the picture whose pose was transferred; NaN without transfer.
        thumbnails: ``(t, 1 + requests, 256, 256, 3)`` uint8 pictures of the first t people, to be looked at.
    """

    before: Observation
    rendered: Observation
    edits: tuple[Edited, ...]
    source_degrees: Tensor
    thumbnails: Tensor

    def of(self, kind: Kind) -> list[Edited]:
        return [edit for edit in self.edits if edit.request.kind == kind]


def standard_requests(units: Collection[str], quick: bool = False) -> list[Request]:
    """The edits that the report is about.

    Args:
        units: names of the face model's expressions; what they do not hold is not asked for.
        quick: leave out every second step.
    """

    def turn(angle: str, column: int, step: float) -> Callable[[FaceParams], FaceParams]:
        return lambda own: own.with_pose(**{angle: own.pose_degrees()[:, column] + step})

    def express(kind: Kind, names: Sequence[str], levels: Sequence[float]) -> list[Request]:
        def at(level: float) -> Callable[[FaceParams], FaceParams]:
            return lambda own: own.with_expression(**dict.fromkeys(names, level))

        label = names[0] if len(names) == 1 else kind
        known = all(name in units for name in names)
        return [Request(f"{label}={level:g}", kind, level, at(level)) for level in levels] if known else []

    def relight(direction: tuple[float, float, float]) -> Callable[[FaceParams], FaceParams]:
        return lambda own: own.with_light(direction=direction)

    yaws = [step for step in YAW_STEPS if not quick or abs(step) == 15]
    jaws = JAW_LEVELS[::2] if quick else JAW_LEVELS
    return [
        *(Request(f"yaw{step:+g}", "yaw", step, turn("yaw", 0, step)) for step in yaws),
        *(Request(f"pitch{step:+g}", "pitch", step, turn("pitch", 1, step)) for step in PITCH_STEPS),
        *express("jaw", ("jawOpen",), jaws),
        *express("smile", SMILE_UNITS, SMILE_LEVELS),
        *(Request(f"light {side}", "light", toward[0], relight(toward)) for side, toward in LIGHT_SIDES.items()),
    ]


def choose_people(
    portraits: PortraitSet, estimator: PoseEstimator, count: int, max_yaw: float = 10.0, seed: int = 0
) -> tuple[Tensor, Tensor]:
    """People to edit, and people to take a pose from.

    Args:
        portraits: held-out ones.
        estimator: judges the pose of the stored landmarks.
        count: how many of each.
        max_yaw: widest turn of the people to edit, degrees; the sources may have any pose.
        seed: of the choice.

    Returns:
        Two index tensors ``(count,)`` into ``portraits``.

    Raises:
        ValueError: there are not as many.
    """
    yaw = estimator.fit(portraits.landmarks).yaw
    order = torch.randperm(len(portraits), generator=torch.Generator().manual_seed(seed))
    people = order[portraits.detected[order] & (yaw[order].abs() <= max_yaw)]
    sources = order.flip(0)[portraits.detected[order.flip(0)]]
    if len(people) < count:
        raise ValueError(f"{count} people within {max_yaw:g} degrees of yaw asked for, the set has {len(people)}")
    return people[:count], sources[:count]


@torch.no_grad()
def measure_edits(
    engine: RigLike,
    judge: Judge,
    codes: Tensor,
    requests: Sequence[Request] | None = None,
    sources: tuple[Tensor, Tensor] | None = None,
    batch: int = 4,
    resolution: int = 512,
    thumbnails: int = 0,
    progress: Callable[[int], None] | None = None,
) -> Measured:
    """Renders and judges every edit of every person; each picture is rendered once.

    Args:
        engine: the rig.
        judge: looks at the pictures.
        codes: ``(n, num_ws, 512)`` people.
        requests: edits; `standard_requests` of the engine's face model by default.
        sources: codes ``(n, num_ws, 512)`` and measured poses ``(n, 3)`` of those whose pose is transferred, one per
            person; no transfer without.
        batch: people rendered at once.
        resolution: of the pictures.
        thumbnails: how many people's pictures to keep for looking at.
        progress: called with the number of pictures judged so far, after each batch.
    """
    requests = list(standard_requests(engine.face_model.expression_names) if requests is None else requests)
    before: list[Observation] = []
    rendered: list[Observation] = []
    pictures: list[list[Observation]] = [[] for _ in range(len(requests) + (sources is not None))]
    models: list[list[Observation]] = [[] for _ in pictures]
    kept: list[Tensor] = []
    done = 0
    for rows in torch.arange(len(codes)).split(batch):
        w = codes[rows]
        own = engine.params(w)
        asked = [request.apply(own) for request in requests]
        if sources is not None:
            asked.append(own.with_controls_from(engine.params(sources[0][rows]), ("pose",)))
        seen: list[Tensor] = []

        def show(code: Tensor, judged: list[Observation], row: list[Tensor] = seen) -> None:
            image = engine.render(code, output="torch", resolution=resolution).cpu()
            judged.append(judge.look(image))
            row.append(image)
            nonlocal done
            done += len(image)
            if progress is not None:
                progress(done)

        show(w, before)
        rendered.append(judge.look_rendered(engine.render_params(own, size=256), own))
        for i, params in enumerate(asked):
            show(engine.rig(w, params), pictures[i])
            models[i].append(judge.look_rendered(engine.render_params(params, size=256), params))
        room = max(thumbnails - sum(len(part) for part in kept), 0)
        if room:
            kept.append(torch.stack([_thumbnail(image[:room]) for image in seen], dim=1))
    if sources is not None:
        requests.append(Request("pose transfer", "transfer", 0.0, lambda own: own))
    edits = [
        Edited(request, Observation.cat(found), Observation.cat(model))
        for request, found, model in zip(requests, pictures, models, strict=True)
    ]
    degrees = torch.full((len(codes), 3), torch.nan) if sources is None else sources[1]
    empty = torch.zeros(0, 1 + len(requests), 256, 256, 3, dtype=torch.uint8)
    return Measured(
        Observation.cat(before), Observation.cat(rendered), tuple(edits), degrees.double(), torch.cat([empty, *kept])
    )


def _thumbnail(images: Tensor) -> Tensor:
    planes = torch.nn.functional.interpolate(images.permute(0, 3, 1, 2).float(), size=(256, 256), mode="area")
    return planes.round().to(torch.uint8).permute(0, 2, 3, 1)
