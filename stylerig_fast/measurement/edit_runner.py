"""Asks editors for edits of people, renders each picture once, and looks at it and at the rendered request."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

from stylerig_fast.data.portraits import PortraitSet
from stylerig_fast.images import area_resize
from stylerig_fast.measurement.analyzer import FaceAnalyzer, Measurements
from stylerig_fast.measurement.edit_method import Asked, EditMethod, RigLike, RigMethod
from stylerig_fast.measurement.edit_suite import Kind, Request, standard_requests
from stylerig_fast.measurement.parallel import InlineAnalyzer, PictureAnalyzer
from stylerig_fast.measurement.pose import PoseEstimator
from stylerig_fast.params import FaceParams

# Change ``(B,)`` beside the face, of uint8 pictures ``(B, H, W, 3)`` before and after, and their landmarks.
BackgroundChange = Callable[[Tensor, Tensor, Tensor, Tensor], Tensor]

TRANSFER = Request("pose transfer", "transfer", 0.0, lambda own: own)


@dataclass(frozen=True)
class Edited:
    """One request's outcome.

    Attributes:
        request: what was asked.
        picture: what is seen in the edited pictures.
        rendered: the rendered face model of the request.
        outside: ``(n,)`` change of hair, clothes and background; NaN where no face was found, or nobody measures it.
        witnesses: what each reconstructor sees in the edited codes, rendered, by its name.
    """

    request: Request
    picture: Measurements
    rendered: Measurements
    outside: Tensor = field(default_factory=lambda: torch.zeros(0))
    witnesses: Mapping[str, Measurements] = field(default_factory=dict)


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

    before: Measurements
    rendered: Measurements
    edits: tuple[Edited, ...]
    source_degrees: Tensor
    thumbnails: Tensor
    witnesses: Mapping[str, Measurements] = field(default_factory=dict)

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
    analyzer: FaceAnalyzer,
    codes: Tensor,
    requests: Sequence[Request] | None = None,
    sources: tuple[Tensor, Tensor] | None = None,
    pool: PictureAnalyzer | None = None,
    batch: int = 4,
    resolution: int = 512,
    thumbnails: int = 0,
    background: BackgroundChange | None = None,
    progress: Callable[[int], None] | None = None,
) -> Measured:
    """`measure_methods` of the engine's own rig alone."""
    requests = standard_requests(engine.face_model.expression_names) if requests is None else requests
    found = measure_methods(
        engine,
        analyzer,
        {"rig": RigMethod(engine)},
        codes,
        requests,
        sources,
        pool,
        batch=batch,
        resolution=resolution,
        thumbnails=thumbnails,
        background=background,
        progress=progress,
    )
    return found["rig"]


@torch.no_grad()
def measure_methods(
    engine: RigLike,
    analyzer: FaceAnalyzer,
    editors: Mapping[str, EditMethod],
    codes: Tensor,
    requests: Sequence[Request],
    sources: tuple[Tensor, Tensor] | None = None,
    pool: PictureAnalyzer | None = None,
    witnesses: Mapping[str, Callable[[Tensor], FaceParams]] | None = None,
    batch: int = 4,
    resolution: int = 512,
    thumbnails: int = 0,
    background: BackgroundChange | None = None,
    progress: Callable[[int], None] | None = None,
) -> dict[str, Measured]:
    """Renders and judges every edit of every person by every editor; each picture is rendered once.

    Args:
        engine: renders codes, and makes the requests from what its F sees.
        analyzer: measures rendered face models, and the pictures unless ``pool`` does.
        editors: by name.
        codes: ``(n, num_ws, 512)`` people.
        requests: edits.
        sources: codes ``(n, num_ws, 512)`` and measured poses ``(n, 3)`` of those whose pose is transferred, one per
            person; no transfer without.
        pool: measures the pictures.
        witnesses: reconstructors that are asked what they see in the edited codes, by name.
        batch: people rendered at once.
        resolution: of the pictures.
        thumbnails: how many people's pictures to keep for looking at.
        background: measures what changes beside the face.
        progress: called with the number of pictures rendered so far, after each few.
    """
    asker = _Asker(
        engine, analyzer, pool or InlineAnalyzer(analyzer), witnesses or {}, resolution, background, progress
    )
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
        analyzer: FaceAnalyzer,
        pool: PictureAnalyzer,
        witnesses: Mapping[str, Callable[[Tensor], FaceParams]],
        resolution: int,
        background: BackgroundChange | None,
        progress: Callable[[int], None] | None,
    ) -> None:
        self.engine, self.analyzer, self.pool = engine, analyzer, pool
        self.witnesses, self.resolution, self.progress = witnesses, resolution, progress
        self.background, self.done = background, 0

    def batch(
        self,
        editors: Mapping[str, EditMethod],
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
        seen, testimony = before(), self._testimony(w)
        degrees = torch.full((len(w), 3), torch.nan).double() if sources is None else sources[1].double()
        result = {}
        for name, pictures in shown.items():
            edits = []
            for (model, request), ((look, image), witnesses) in zip(asked, pictures, strict=True):
                found = look()
                outside = torch.full((len(w),), torch.nan)
                if self.background is not None:
                    outside = self.background(plain, image, seen.landmarks, found.landmarks)
                    outside = torch.where(seen.detected & found.detected, outside, torch.nan)
                edits.append(Edited(request.request, found, model, outside, witnesses))
            row = [plain, *(image for (_, image), _ in pictures)]
            thumbnails = torch.stack([_thumbnail(image[:room]) for image in row], dim=1)
            result[name] = Measured(seen, rendered, tuple(edits), degrees, thumbnails, testimony)
        return result

    def _show(self, code: Tensor) -> tuple[Callable[[], Measurements], Tensor]:
        image = self.engine.render(code, output="torch", resolution=self.resolution).cpu()
        later = self.pool.submit(image)
        self.done += len(image)
        if self.progress is not None:
            self.progress(self.done)
        return later, image

    def _rendered(self, params: FaceParams) -> Measurements:
        return self.analyzer.analyze_rendered(self.engine.render_params(params, size=256), params)

    def _testimony(self, code: Tensor) -> dict[str, Measurements]:
        return {name: self._rendered(witness(code)) for name, witness in self.witnesses.items()}

    def _asked(
        self, request: Request, own: FaceParams, params: FaceParams, before: Measurements, sources: Tensor | None
    ) -> tuple[Measurements, Asked]:
        model = self._rendered(params)
        return model, Asked(request, own, params, model.values - before.values, sources)


def _joined(parts: Sequence[Measured]) -> Measured:
    """Batches one after the other."""

    def edit(column: int) -> Edited:
        same = [part.edits[column] for part in parts]
        return Edited(
            same[0].request,
            Measurements.cat([e.picture for e in same]),
            Measurements.cat([e.rendered for e in same]),
            torch.cat([e.outside for e in same]),
            {name: Measurements.cat([e.witnesses[name] for e in same]) for name in same[0].witnesses},
        )

    return Measured(
        Measurements.cat([part.before for part in parts]),
        Measurements.cat([part.rendered for part in parts]),
        tuple(edit(column) for column in range(len(parts[0].edits))),
        torch.cat([part.source_degrees for part in parts]),
        torch.cat([part.thumbnails for part in parts]),
        {name: Measurements.cat([part.witnesses[name] for part in parts]) for name in parts[0].witnesses},
    )


def _thumbnail(images: Tensor) -> Tensor:
    if not len(images):
        return torch.zeros(0, 256, 256, 3, dtype=torch.uint8)
    planes = area_resize(images.permute(0, 3, 1, 2).float(), 256)
    return planes.round().to(torch.uint8).permute(0, 2, 3, 1)
