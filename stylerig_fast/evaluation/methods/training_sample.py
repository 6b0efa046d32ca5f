"""What baselines are fitted on: codes, measures and F's parameters of training portraits."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from stylerig_fast.data.latent_pca import LatentPCA
from stylerig_fast.data.portraits import PortraitSet
from stylerig_fast.measurement.edit_suite import MEASURE
from stylerig_fast.measurement.expression import measure_face
from stylerig_fast.measurement.lighting import measure_light
from stylerig_fast.measurement.pose import PoseEstimator

COMPONENTS = 384


@dataclass(frozen=True)
class Sample:
    """Training portraits with a face, as numbers.

    Attributes:
        codes: ``(N, num_ws, 512)``.
        whitened: ``(N, K)`` the codes in ``space``.
        space: the joint PCA of the codes.
        measures: ``(N, M)`` float32 measures, in the order of ``names``: by the judge's own estimators.
        names: columns of ``measures``, the values of `requests.MEASURE`.
        own: ``(N, P)`` F of the codes.
    """

    codes: Tensor
    whitened: Tensor
    space: LatentPCA
    measures: Tensor
    names: tuple[str, ...]
    own: Tensor

    def column(self, name: str) -> Tensor:
        """One measure ``(N,)``."""
        return self.measures[:, self.names.index(name)]

    def flat(self, deviations: Tensor) -> Tensor:
        """Offsets ``(B, num_ws, 512)`` of codes from ``(B, K)`` deviations along the components."""
        return ((deviations * self.space.deviation) @ self.space.basis).unflatten(1, tuple(self.codes.shape[1:]))


@torch.no_grad()
def take_sample(
    portraits: PortraitSet, reconstructor: Callable[[Tensor], Tensor], estimator: PoseEstimator, seed: int = 0
) -> Sample:
    """Measures training portraits by their stored landmarks and pictures.

    Args:
        portraits: training ones; those without a detected face are left out.
        reconstructor: codes to ``FaceParams.vector``.
        estimator: the judge's.
        seed: of the PCA.
    """
    portraits = portraits.subset(portraits.detected)
    pose = estimator.fit(portraits.landmarks)
    face = measure_face(portraits.landmarks, pose.yaw)
    blocks = torch.arange(len(portraits)).split(256)
    light = [measure_light(portraits.images[i].float() / 255, portraits.landmarks[i]).asymmetry for i in blocks]
    found = {
        "yaw": pose.yaw,
        "pitch": pose.pitch,
        "mouth_opening": face.mouth_opening,
        "smile_width": face.smile_width,
        "eye_opening": face.eye_opening,
        "brow_height": face.brow_height,
        "light": torch.cat(light),
    }
    names = tuple(MEASURE.values())
    space = LatentPCA.fit(portraits, min(COMPONENTS, len(portraits) // 2), seed)
    own = torch.cat([reconstructor(portraits.ws(i)).cpu() for i in blocks])
    measures = torch.stack([found[name].float() for name in names], dim=1)
    return Sample(portraits.ws(), space.whiten_all(portraits), space, measures, names, own)
