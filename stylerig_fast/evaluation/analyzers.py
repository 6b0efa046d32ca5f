"""Analyzers with the estimators that training never reads."""

from __future__ import annotations

from stylerig_fast.evaluation.heldout_estimators.identity import IdentityEncoder
from stylerig_fast.face import Camera, FaceModel
from stylerig_fast.measurement.analyzer import FaceAnalyzer


def describing_analyzer(model: FaceModel, camera: Camera) -> FaceAnalyzer:
    """An analyzer that describes the person too; a function of a module, for the processes of a pool."""
    return FaceAnalyzer(model, camera, encoder=IdentityEncoder())
