"""Asks editors for edits of people, renders each picture once, and looks at it and at the rendered request."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

from stylerig_fast.data.portraits import PortraitSet
from stylerig_fast.evaluation.editor import Asked, Editor, RigEditor, RigLike
from stylerig_fast.evaluation.heldout_estimators.background import outside_change, small
from stylerig_fast.evaluation.judge import Judge, Observation
from stylerig_fast.evaluation.looking import Looker, LookHere
from stylerig_fast.evaluation.requests import SMILE_UNITS, Kind, Request, standard_requests
from stylerig_fast.measurement.pose import PoseEstimator
from stylerig_fast.params import FaceParams

__all__ = [
    "SMILE_UNITS",
    "Edited",
    "Kind",
    "Measured",
    "Request",
    "choose_people",
    "frontal_people",
    "measure_editors",
    "measure_edits",
    "standard_requests",
]

TRANSFER = Request("pose transfer", "transfer", 0.0, lambda own: own)


@dataclass(frozen=True)
class Edited:
    """One request's outcome.

    Attributes:
        request: what was asked.
        picture: what is seen in the edited pictures.
        rendered: the rendered face model of the request.
        outside: ``(n,)`` change of hair, clothes and background, see `outside_change`; NaN where no face was found.
        witnesses: what each reconstructor sees in the edited codes, rendered, by its name.
    """

    request: Request
    picture: Observation
    rendered: Observation
    outside: Tensor = field(default_factory=lambda: torch.zeros(0))
    witnesses: Mapping[str, Observation] = field(default_factory=dict)


@dataclass(frozen=True)
class Measured:
    """Everything seen of n people and their edits.

    Attributes:
        before: the people as they are. rendered: their rendered face models.
        edits: one entry per request, in the order of the requests.
        source_degrees: ``(n, 3)`` pose of the picture whose pose was transferred; NaN without transfer.
        thumbnails: ``(t, 1 + requests, 256, 256, 3)`` uint8 pictures of the first t people, to be looked at.
        witnesses: what each reconstructor sees in the people's own codes, rendered, by its name.
    """

    before: Observation
    rendered: Observation
    edits: tuple[Edited, ...]
    source_degrees: Tensor
    thumbnails: Tensor
    witnesses: Mapping[str, Observation] = field(default_factory=dict)

    def of(self, kind: Kind) -> list[Edited]:
        return [edit for edit in self.edits if edit.request.kind == kind]


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
    people = frontal_people(portraits, estimator, max_yaw, seed)
    backwards = _shuffled(portraits, seed).flip(0)
    sources = backwards[portraits.detected[backwards]]
    if len(people) < count:
        raise ValueError(f"{count} people within {max_yaw:g} degrees of yaw asked for, the set has {len(people)}")
    return people[:count], sources[:count]


def frontal_people(portraits: PortraitSet, estimator: PoseEstimator, max_yaw: float = 10.0, seed: int = 0) -> Tensor:
    """Everybody who is turned by ``max_yaw`` degrees at most, in random order; indices into ``portraits``.

    Raises:
        ValueError: nobody is.
    """
    yaw = estimator.fit(portraits.landmarks).yaw
    order = _shuffled(portraits, seed)
    people = order[portraits.detected[order] & (yaw[order].abs() <= max_yaw)]
    if not len(people):
        raise ValueError(f"the portraits show nobody within {max_yaw:g} degrees of yaw")
    return people


def _shuffled(portraits: PortraitSet, seed: int) -> Tensor:
    return torch.randperm(len(portraits), generator=torch.Generator().manual_seed(seed))


def measure_edits(
    engine: RigLike,
    judge: Judge,
    codes: Tensor,
    requests: Sequence[Request] | None = None,
    sources: tuple[Tensor, Tensor] | None = None,
    looker: Looker | None = None,
    batch: int = 4,
    resolution: int = 512,
    thumbnails: int = 0,
    progress: Callable[[int], None] | None = None,
) -> Measured:
    """`measure_editors` of the engine's own rig alone."""
    requests = standard_requests(engine.face_model.expression_names) if requests is None else requests
    found = measure_editors(
        engine,
        judge,
        {"rig": RigEditor(engine)},
        codes,
        requests,
        sources,
        looker,
        batch=batch,
        resolution=resolution,
        thumbnails=thumbnails,
        progress=progress,
    )
    return found["rig"]


@torch.no_grad()
def measure_editors(
    engine: RigLike,
    judge: Judge,
    editors: Mapping[str, Editor],
    codes: Tensor,
    requests: Sequence[Request],
    sources: tuple[Tensor, Tensor] | None = None,
    looker: Looker | None = None,
    witnesses: Mapping[str, Callable[[Tensor], FaceParams]] | None = None,
    batch: int = 4,
    resolution: int = 512,
    thumbnails: int = 0,
    progress: Callable[[int], None] | None = None,
) -> dict[str, Measured]:
    """Renders and judges every edit of every person by every editor; each picture is rendered once.

    Args:
        engine: renders codes, and makes the requests from what its F sees.
        judge: looks at rendered face models, and at the pictures unless ``looker`` does.
        editors: by name.
        codes: ``(n, num_ws, 512)`` people.
        requests: edits.
        sources: codes ``(n, num_ws, 512)`` and measured poses ``(n, 3)`` of those whose pose is transferred, one per
            person; no transfer without.
        looker: looks at the pictures.
        witnesses: reconstructors that are asked what they see in the edited codes, by name.
        batch: people rendered at once.
        resolution: of the pictures.
        thumbnails: how many people's pictures to keep for looking at.
        progress: called with the number of pictures rendered so far, after each few.
    """
    asker = _Asker(engine, judge, looker or LookHere(judge), witnesses or {}, resolution, progress)
    collected: dict[str, list[Measured]] = {name: [] for name in editors}
    for rows in torch.arange(len(codes)).split(batch):
        room = max(thumbnails - int(rows[0]), 0)
        people = None if sources is None else (sources[0][rows], sources[1][rows])
        for name, part in asker.batch(editors, codes[rows], requests, people, room).items():
            collected[name].append(part)
    return {name: _joined(parts) for name, parts in collected.items()}


class _Asker:
    """One batch of people after the other; their pictures are looked at while the next ones are rendered."""

    def __init__(
        self,
        engine: RigLike,
        judge: Judge,
        looker: Looker,
        witnesses: Mapping[str, Callable[[Tensor], FaceParams]],
        resolution: int,
        progress: Callable[[int], None] | None,
    ) -> None:
        self.engine, self.judge, self.looker = engine, judge, looker
        self.witnesses, self.resolution, self.progress = witnesses, resolution, progress
        self.done = 0

    def batch(
        self,
        editors: Mapping[str, Editor],
        w: Tensor,
        requests: Sequence[Request],
        sources: tuple[Tensor, Tensor] | None,
        room: int,
    ) -> dict[str, Measured]:
        own = self.engine.params(w)
        rendered = self._rendered(own)
        before, plain = self._show(w)
        asked = [self._asked(request, own, request.apply(own), rendered, None) for request in requests]
        if sources is not None:
            posed = own.with_controls_from(self.engine.params(sources[0]), ("pose",))
            asked.append(self._asked(TRANSFER, own, posed, rendered, sources[0]))
        shown = {}
        for name, editor in editors.items():
            edited = [editor.edit(w, request).to(w) for _, request in asked]
            shown[name] = [(self._show(code), self._testimony(code)) for code in edited]
        seen, first, testimony = before(), small(plain), self._testimony(w)
        degrees = torch.full((len(w), 3), torch.nan).double() if sources is None else sources[1].double()
        result = {}
        for name, pictures in shown.items():
            edits = []
            for (model, request), ((look, image), witnesses) in zip(asked, pictures, strict=True):
                found = look()
                outside = outside_change(first, small(image), seen.landmarks, found.landmarks)
                outside = torch.where(seen.detected & found.detected, outside, torch.nan)
                edits.append(Edited(request.request, found, model, outside, witnesses))
            row = [plain, *(image for (_, image), _ in pictures)]
            thumbnails = torch.stack([_thumbnail(image[:room]) for image in row], dim=1)
            result[name] = Measured(seen, rendered, tuple(edits), degrees, thumbnails, testimony)
        return result

    def _show(self, code: Tensor) -> tuple[Callable[[], Observation], Tensor]:
        image = self.engine.render(code, output="torch", resolution=self.resolution).cpu()
        later = self.looker.submit(image)
        self.done += len(image)
        if self.progress is not None:
            self.progress(self.done)
        return later, image

    def _rendered(self, params: FaceParams) -> Observation:
        return self.judge.look_rendered(self.engine.render_params(params, size=256), params)

    def _testimony(self, code: Tensor) -> dict[str, Observation]:
        return {name: self._rendered(witness(code)) for name, witness in self.witnesses.items()}

    def _asked(
        self, request: Request, own: FaceParams, params: FaceParams, before: Observation, sources: Tensor | None
    ) -> tuple[Observation, Asked]:
        model = self._rendered(params)
        return model, Asked(request, own, params, model.values - before.values, sources)


def _joined(parts: Sequence[Measured]) -> Measured:
    """Batches one after the other."""

    def edit(column: int) -> Edited:
        same = [part.edits[column] for part in parts]
        return Edited(
            same[0].request,
            Observation.cat([e.picture for e in same]),
            Observation.cat([e.rendered for e in same]),
            torch.cat([e.outside for e in same]),
            {name: Observation.cat([e.witnesses[name] for e in same]) for name in same[0].witnesses},
        )

    return Measured(
        Observation.cat([part.before for part in parts]),
        Observation.cat([part.rendered for part in parts]),
        tuple(edit(column) for column in range(len(parts[0].edits))),
        torch.cat([part.source_degrees for part in parts]),
        torch.cat([part.thumbnails for part in parts]),
        {name: Observation.cat([part.witnesses[name] for part in parts]) for name in parts[0].witnesses},
    )


def _thumbnail(images: Tensor) -> Tensor:
    if not len(images):
        return torch.zeros(0, 256, 256, 3, dtype=torch.uint8)
    planes = torch.nn.functional.interpolate(images.permute(0, 3, 1, 2).float(), size=(256, 256), mode="area")
    return planes.round().to(torch.uint8).permute(0, 2, 3, 1)
