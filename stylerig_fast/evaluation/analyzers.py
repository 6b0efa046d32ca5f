"""Analyzers with the estimators that training never reads."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from stylerig_fast.errors import BackendUnavailable
from stylerig_fast.evaluation.heldout_estimators.feature_network import FeatureNetwork
from stylerig_fast.evaluation.heldout_estimators.identity import IdentityEncoder
from stylerig_fast.evaluation.heldout_estimators.mesh_landmarks import MeshPoseEstimator
from stylerig_fast.face import Camera, FaceModel
from stylerig_fast.measurement.analyzer import FaceAnalyzer
from stylerig_fast.measurement.parallel import InlineAnalyzer, PictureAnalyzer, ProcessPoolAnalyzer


def describing_analyzer(model: FaceModel, camera: Camera) -> FaceAnalyzer:
    """An analyzer that also describes the person and fits the light; a function of a module, for a pool's processes."""
    return FaceAnalyzer(model, camera, encoder=IdentityEncoder(), light_fit=True)


def full_analyzer(
    model: FaceModel, camera: Camera, identity_network: Path | None = None, realism_network: Path | None = None
) -> FaceAnalyzer:
    """A `describing_analyzer` with every further estimator that is there.

    Args:
        model: the face model.
        camera: the camera it was trained with.
        identity_network: ONNX file of a network for identity.
        realism_network: ONNX file of a network for the Fréchet distance.
    """
    try:
        mesh = MeshPoseEstimator()
    except BackendUnavailable:  # optional: gains by the mesh are then left out of the report
        mesh = None
    networks = [FeatureNetwork(identity_network, "identity")] if identity_network is not None else []
    networks += [FeatureNetwork(realism_network, "realism")] if realism_network is not None else []
    return FaceAnalyzer(model, camera, encoder=IdentityEncoder(), mesh=mesh, networks=networks, light_fit=True)


@contextmanager
def open_analyzers(
    model: FaceModel,
    camera: Camera,
    identity_network: Path | None = None,
    realism_network: Path | None = None,
    processes: int = 1,
) -> Iterator[tuple[FaceAnalyzer, PictureAnalyzer]]:
    """A `full_analyzer` of this process, and one of the pictures, in processes of its own while the context lasts.

    Args:
        model: as of `full_analyzer`.
        camera: likewise.
        identity_network: likewise.
        realism_network: likewise.
        processes: that measure pictures; with 0 this one measures them.
    """
    arguments = (model.to("cpu"), camera, identity_network, realism_network)
    analyzer = full_analyzer(*arguments)
    if not processes:
        yield analyzer, InlineAnalyzer(analyzer)
        return
    with ProcessPoolAnalyzer(full_analyzer, arguments, processes) as pool:
        yield analyzer, pool
