"""The figures of a rig, from what was seen in its pictures: never what F says about its own edits.

A *gain* is the change in the picture over the change in the request. Of a pose the request is in degrees; of an
expression or a light it is the change of the same measure on the rendered face model, before and after.
A *drift* is a change that was not asked for: the picture's change of a measure less the rendered model's (turning a
head in the same light does change which cheek is brighter), in standard deviations of that measure over portraits,
over the size of the edit in standard deviations of what it edits.
"""

from __future__ import annotations

from collections.abc import Callable

from stylerig_fast.data.portraits import PortraitSet
from stylerig_fast.evaluation.analyzers import describing_analyzer
from stylerig_fast.evaluation.heldout_estimators.background import background_change
from stylerig_fast.evaluation.metrics.preservation import keeping_figures
from stylerig_fast.evaluation.metrics.reconstructor_agreement import witness_figures
from stylerig_fast.evaluation.metrics.results import Goal, Report
from stylerig_fast.measurement.analyzer import FaceAnalyzer
from stylerig_fast.measurement.edit_accuracy import control_figures
from stylerig_fast.measurement.edit_method import RigLike
from stylerig_fast.measurement.edit_runner import Measured, choose_people, measure_edits
from stylerig_fast.measurement.edit_suite import KEPT, standard_requests
from stylerig_fast.measurement.statistics import Figure

GOALS = {
    "yaw.gain": Goal(0.95, 1.05),
    "yaw.error": Goal(high=2.5),
    "pitch.gain": Goal(0.9, 1.1),
    "pitch.error": Goal(high=3.0),
    "transfer.yaw_error": Goal(high=4.0),
    "transfer.pitch_error": Goal(high=4.0),
    **{f"{name}gain": Goal(0.8, 1.2) for name in ("jaw.", "smile.smile_width_", "eyes.", "brows.", "light.")},
    **{f"{name}monotone_share": Goal(low=0.9) for name in ("jaw.", "smile.smile_width_", "eyes.", "brows.")},
    "light.angle_median": Goal(high=25.0),
    "light.asked_side_share": Goal(low=0.95),
    "identity.yaw_15": Goal(high=0.32),
    "identity.expression": Goal(high=0.20),
    "identity.light": Goal(high=0.20),
    "detected.share": Goal(low=0.99),
    **{f"drift.{kind}": Goal(high=0.12) for kind in KEPT},
}


def rig_figures(measured: Measured) -> dict[str, Figure]:
    """All figures of what was measured; kinds of edits that were not asked for are absent."""
    return control_figures(measured) | witness_figures(measured) | keeping_figures(measured)


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
) -> tuple[Report, Measured]:
    """Measures a rig on held-out people whose yaw is within 10 degrees.

    Args:
        engine: the rig.
        portraits: held-out ones.
        people: how many are edited; each costs about 20 pictures (10 when quick).
        quick: fewer steps per edit.
        seed: of the choice of people.
        analyzer: measures the pictures; by default made for the engine's face model and camera.
        resolution: of the pictures.
        thumbnails: how many people's pictures to keep for looking at.
        progress: called with the number of pictures judged so far.

    Returns:
        The report, and all that was seen.
    """
    analyzer = analyzer or describing_analyzer(engine.face_model, engine.camera)
    rows, from_rows = choose_people(portraits, analyzer.estimator, people, seed=seed)
    source_degrees = analyzer.estimator.fit(portraits.landmarks[from_rows]).degrees
    measured = measure_edits(
        engine,
        analyzer,
        portraits.ws(rows),
        standard_requests(engine.face_model.expression_names, quick),
        (portraits.ws(from_rows), source_degrees),
        resolution=resolution,
        thumbnails=thumbnails,
        background=background_change,
        progress=progress,
    )
    settings = {"people": people, "quick": quick, "seed": seed, "resolution": resolution}
    return Report("Rig on held-out people, judged on the picture", rig_figures(measured), GOALS, settings), measured
