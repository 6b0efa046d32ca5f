"""The report of a rig alone, measured on its pictures: never what F says about its own edits."""

from __future__ import annotations

from collections.abc import Callable

from stylerig_fast.data.portraits import PortraitSet
from stylerig_fast.evaluation.analyzers import describing_analyzer
from stylerig_fast.evaluation.heldout_estimators.background import background_change
from stylerig_fast.evaluation.metrics.registry import MetricInputs, compute_metrics, metric_goals
from stylerig_fast.evaluation.metrics.results import Report
from stylerig_fast.measurement.analyzer import FaceAnalyzer
from stylerig_fast.measurement.edit_method import RigLike
from stylerig_fast.measurement.edit_runner import MeasuredEdits, measure_edits
from stylerig_fast.measurement.edit_suite import standard_edits
from stylerig_fast.measurement.people import choose_people
from stylerig_fast.measurement.portrait_measures import portrait_std

RIG_TITLE = "Rig on held-out people, measured on the picture"


def measure_rig(
    engine: RigLike,
    portraits: PortraitSet,
    people: int = 40,
    quick: bool = False,
    seed: int = 0,
    analyzer: FaceAnalyzer | None = None,
    resolution: int = 512,
    thumbnails: int = 0,
    progress: Callable[[int], None] | None = None,
) -> tuple[Report, MeasuredEdits]:
    """Measures a rig on held-out people whose yaw is within 10 degrees.

    Args:
        engine: the rig.
        portraits: held-out ones.
        people: how many are edited; each costs about 30 pictures (20 when quick).
        quick: fewer steps per edit.
        seed: of the choice of people.
        analyzer: measures the pictures; by default made for the engine's face model and camera.
        resolution: of the pictures.
        thumbnails: how many people's pictures to keep.
        progress: called with the number of pictures rendered so far.

    Returns:
        The report, and all measurements behind it.
    """
    analyzer = analyzer or describing_analyzer(engine.face_model, engine.camera)
    rows, donor_rows = choose_people(portraits, analyzer.estimator, people, seed=seed)
    donor_degrees = analyzer.estimator.fit(portraits.landmarks[donor_rows]).degrees
    measured = measure_edits(
        engine,
        analyzer,
        portraits.ws(rows),
        standard_edits(engine.face_model.expression_names, quick),
        (portraits.ws(donor_rows), donor_degrees),
        resolution=resolution,
        thumbnails=thumbnails,
        background=background_change,
        progress=progress,
    )
    std = portrait_std(portraits, analyzer.estimator)
    estimates = compute_metrics(MetricInputs(measured=measured, std=std, seed=seed))
    settings = {"people": people, "quick": quick, "seed": seed, "resolution": resolution, "std": std.origin}
    return Report(RIG_TITLE, estimates, metric_goals(), settings), measured
