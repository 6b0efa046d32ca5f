"""Judges of pictures that ask no reconstructor, and the figures they give.

`Judge` looks at pictures (dlib landmarks and descriptor, a pose fit, openings, light); `measure_rig` and
`measure_reconstructor` turn looks into reports.
"""

from stylerig_fast.evaluation.heldout_estimators.identity import IdentityEncoder, identity_distance
from stylerig_fast.evaluation.judge import Judge, Observation
from stylerig_fast.evaluation.reconstructor_report import measure_reconstructor
from stylerig_fast.evaluation.report import Goal, Report
from stylerig_fast.evaluation.rig_report import measure_rig
from stylerig_fast.evaluation.statistics import Figure
from stylerig_fast.measurement.landmarks import LandmarkDetector, Landmarks
from stylerig_fast.measurement.pose import Pose, PoseEstimator

__all__ = [
    "Figure",
    "Goal",
    "IdentityEncoder",
    "Judge",
    "LandmarkDetector",
    "Landmarks",
    "Observation",
    "Pose",
    "PoseEstimator",
    "Report",
    "identity_distance",
    "measure_reconstructor",
    "measure_rig",
]
