"""Runs edits: has methods perform them on people, renders each picture once, measures it and the rendered target."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

from stylerig_fast.images import area_resize
from stylerig_fast.measurement.analyzer import FaceAnalyzer
from stylerig_fast.measurement.edit_kinds import TRANSFER, EditKind
from stylerig_fast.measurement.edit_method import EditBatch, EditMethod, RigLike, RigMethod
from stylerig_fast.measurement.edit_suite import Edit, standard_edits
from stylerig_fast.measurement.measurements import Measurements
from stylerig_fast.measurement.parallel import InlineAnalyzer, PictureAnalyzer
from stylerig_fast.params import FaceParams

# Change ``(B,)`` beside the face, of uint8 pictures ``(B, H, W, 3)`` before and after, and their landmarks.
BackgroundChange = Callable[[Tensor, Tensor, Tensor, Tensor], Tensor]

TRANSFER_POSE = Edit("pose transfer", TRANSFER, 0.0, lambda source: source)


@dataclass(frozen=True)
class EditResult:
    """The outcome of one edit of n people.

    Attributes:
        edit: the edit.
        picture: measures of the edited pictures.
        rendered: measures of the face model, rendered with the target parameters.
        background: ``(n,)`` change of hair, clothes and background; NaN where no face was found, or nobody measures it.
        by_reconstructor: measures of the face model as each reconstructor reads it off the edited codes, by its name.
    """

    edit: Edit
    picture: Measurements
    rendered: Measurements
    background: Tensor = field(default_factory=lambda: torch.zeros(0))
    by_reconstructor: Mapping[str, Measurements] = field(default_factory=dict)


@dataclass(frozen=True)
class MeasuredEdits:
    """Everything measured on n people and their edits.

    Attributes:
        before: measures of their unedited pictures.
        rendered: measures of the face model, rendered with their source parameters.
        results: one per edit, in the order of the edits.
        donor_degrees: ``(n, 3)`` pose of the picture whose pose was transferred; NaN without transfer.
        thumbnails: ``(t, 1 + edits, 256, 256, 3)`` uint8 pictures of the first t people.
        by_reconstructor: measures of the face model as each reconstructor reads it off the people's own codes.
    """

    before: Measurements
    rendered: Measurements
    results: tuple[EditResult, ...]
    donor_degrees: Tensor
    thumbnails: Tensor
    by_reconstructor: Mapping[str, Measurements] = field(default_factory=dict)

    @property
    def core(self) -> list[EditResult]:
        """The edits that figures over several kinds count, see `EditKind.core`."""
        return [result for result in self.results if result.edit.kind.core]

    def of(self, kind: EditKind) -> list[EditResult]:
        """The edits of one kind."""
        return [result for result in self.results if result.edit.kind == kind]


def measure_edits(
    engine: RigLike,
    analyzer: FaceAnalyzer,
    codes: Tensor,
    edits: Sequence[Edit] | None = None,
    donors: tuple[Tensor, Tensor] | None = None,
    pool: PictureAnalyzer | None = None,
    batch: int = 4,
    resolution: int = 512,
    thumbnails: int = 0,
    background: BackgroundChange | None = None,
    progress: Callable[[int], None] | None = None,
) -> MeasuredEdits:
    """`measure_methods` of the engine's own rig alone; ``edits`` are the standard ones by default."""
    edits = standard_edits(engine.face_model.expression_names) if edits is None else edits
    found = measure_methods(
        engine,
        analyzer,
        {"rig": RigMethod(engine)},
        codes,
        edits,
        donors,
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
    methods: Mapping[str, EditMethod],
    codes: Tensor,
    edits: Sequence[Edit],
    donors: tuple[Tensor, Tensor] | None = None,
    pool: PictureAnalyzer | None = None,
    reconstructors: Mapping[str, Callable[[Tensor], FaceParams]] | None = None,
    batch: int = 4,
    resolution: int = 512,
    thumbnails: int = 0,
    background: BackgroundChange | None = None,
    progress: Callable[[int], None] | None = None,
) -> dict[str, MeasuredEdits]:
    """Renders and measures every edit of every person by every method; each picture is rendered once.

    Args:
        engine: renders codes, and gives the source parameters from which targets are made.
        analyzer: measures rendered face models, and the pictures unless ``pool`` does.
        methods: by name.
        codes: ``(n, num_ws, 512)`` people.
        edits: what each method performs on each person.
        donors: codes ``(n, num_ws, 512)`` and measured poses ``(n, 3)`` in degrees of those whose pose is transferred,
            one per person; no transfer without.
        pool: measures the pictures.
        reconstructors: read parameters off the edited codes, by name.
        batch: people rendered at once.
        resolution: of the pictures.
        thumbnails: how many people's pictures to keep.
        background: measures what changes beside the face.
        progress: called with the number of pictures rendered so far, after each few.

    Returns:
        What was measured, by the method's name.
    """
    runner = _Runner(
        engine, analyzer, pool or InlineAnalyzer(analyzer), reconstructors or {}, resolution, background, progress
    )
    collected: dict[str, list[MeasuredEdits]] = {name: [] for name in methods}
    for rows in torch.arange(len(codes)).split(batch):
        kept = max(thumbnails - int(rows[0]), 0)
        others = None if donors is None else (donors[0][rows], donors[1][rows])
        for name, part in runner.run(methods, codes[rows], edits, others, kept).items():
            collected[name].append(part)
    return {name: _joined(parts) for name, parts in collected.items()}


class _Runner:
    """One batch of people after the other; their pictures are measured while the next ones are rendered."""

    def __init__(
        self,
        engine: RigLike,
        analyzer: FaceAnalyzer,
        pool: PictureAnalyzer,
        reconstructors: Mapping[str, Callable[[Tensor], FaceParams]],
        resolution: int,
        background: BackgroundChange | None,
        progress: Callable[[int], None] | None,
    ) -> None:
        self.engine, self.analyzer, self.pool = engine, analyzer, pool
        self.reconstructors, self.resolution, self.progress = reconstructors, resolution, progress
        self.background, self.done = background, 0

    def run(
        self,
        methods: Mapping[str, EditMethod],
        w: Tensor,
        edits: Sequence[Edit],
        donors: tuple[Tensor, Tensor] | None,
        thumbnails: int,
    ) -> dict[str, MeasuredEdits]:
        """The methods' edits of a few people; the first ``thumbnails`` of them keep their pictures."""
        source = self.engine.params(w)
        rendered = self._rendered(source)
        pending_before, plain = self._show(w)
        batches = [self._batch(edit, source, edit.apply(source), rendered, None) for edit in edits]
        if donors is not None:
            posed = source.with_controls_from(self.engine.params(donors[0]), ("pose",))
            batches.append(self._batch(TRANSFER_POSE, source, posed, rendered, donors[0]))
        shown = {}
        for name, method in methods.items():
            edited = [method.edit(w, each).to(w) for each in batches]
            shown[name] = [(self._show(code), self._read(code)) for code in edited]
        before, by_reconstructor = pending_before(), self._read(w)
        degrees = torch.full((len(w), 3), torch.nan).double() if donors is None else donors[1].double()
        found = {}
        for name, pictures in shown.items():
            results = []
            for each, ((pending, image), read) in zip(batches, pictures, strict=True):
                after = pending()
                background = torch.full((len(w),), torch.nan)
                if self.background is not None:
                    background = self.background(plain, image, before.landmarks, after.landmarks)
                    background = torch.where(before.detected & after.detected, background, torch.nan)
                results.append(EditResult(each.edit, after, each.target_rendered, background, read))
            row = [plain, *(image for (_, image), _ in pictures)]
            kept = torch.stack([_thumbnail(image[:thumbnails]) for image in row], dim=1)
            found[name] = MeasuredEdits(before, rendered, tuple(results), degrees, kept, by_reconstructor)
        return found

    def _show(self, code: Tensor) -> tuple[Callable[[], Measurements], Tensor]:
        image = self.engine.render(code, output="torch", resolution=self.resolution).cpu()
        pending = self.pool.submit(image)
        self.done += len(image)
        if self.progress is not None:
            self.progress(self.done)
        return pending, image

    def _rendered(self, params: FaceParams) -> Measurements:
        return self.analyzer.analyze_rendered(self.engine.render_params(params, size=256), params)

    def _read(self, code: Tensor) -> dict[str, Measurements]:
        return {name: self._rendered(reconstructor(code)) for name, reconstructor in self.reconstructors.items()}

    def _batch(
        self, edit: Edit, source: FaceParams, target: FaceParams, rendered: Measurements, donors: Tensor | None
    ) -> EditBatch:
        return EditBatch(edit, source, target, rendered, self._rendered(target), donors)


def _joined(parts: Sequence[MeasuredEdits]) -> MeasuredEdits:
    """Batches one after the other."""

    def result(column: int) -> EditResult:
        same = [part.results[column] for part in parts]
        return EditResult(
            same[0].edit,
            Measurements.cat([each.picture for each in same]),
            Measurements.cat([each.rendered for each in same]),
            torch.cat([each.background for each in same]),
            _joined_by_name([each.by_reconstructor for each in same]),
        )

    return MeasuredEdits(
        Measurements.cat([part.before for part in parts]),
        Measurements.cat([part.rendered for part in parts]),
        tuple(result(column) for column in range(len(parts[0].results))),
        torch.cat([part.donor_degrees for part in parts]),
        torch.cat([part.thumbnails for part in parts]),
        _joined_by_name([part.by_reconstructor for part in parts]),
    )


def _joined_by_name(parts: Sequence[Mapping[str, Measurements]]) -> dict[str, Measurements]:
    return {name: Measurements.cat([part[name] for part in parts]) for name in parts[0]}


def _thumbnail(images: Tensor) -> Tensor:
    if not len(images):
        return torch.zeros(0, 256, 256, 3, dtype=torch.uint8)
    planes = area_resize(images.permute(0, 3, 1, 2).float(), 256)
    return planes.round().to(torch.uint8).permute(0, 2, 3, 1)
