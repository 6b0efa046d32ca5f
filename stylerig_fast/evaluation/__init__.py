"""What a rig and a reconstructor are worth, by estimators of pictures.

`measure_rig` and `measure_reconstructor` make reports of what `stylerig_fast.measurement` and the held-out estimators
say of edited pictures.
"""

from stylerig_fast.evaluation.heldout_estimators.identity import IdentityEncoder, identity_distance
from stylerig_fast.evaluation.metrics.reconstructor_error import measure_reconstructor
from stylerig_fast.evaluation.metrics.results import Goal, Report
from stylerig_fast.evaluation.metrics.rig import measure_rig
from stylerig_fast.measurement.analyzer import FaceAnalyzer, Measurements
from stylerig_fast.measurement.landmarks import LandmarkDetector, Landmarks
from stylerig_fast.measurement.pose import Pose, PoseEstimator
from stylerig_fast.measurement.statistics import Figure

__all__ = [
    "FaceAnalyzer",
    "Figure",
    "Goal",
    "IdentityEncoder",
    "LandmarkDetector",
    "Landmarks",
    "Measurements",
    "Pose",
    "PoseEstimator",
    "Report",
    "identity_distance",
    "measure_reconstructor",
    "measure_rig",
]
