"""What baselines are fitted on: codes, measures and F's parameters of training portraits."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from stylerig_fast.data.latent_pca import LatentPCA
from stylerig_fast.data.portraits import PortraitSet
from stylerig_fast.measurement.edit_kinds import evaluated_kinds
from stylerig_fast.measurement.portrait_measures import measure_portraits
from stylerig_fast.measurement.pose import PoseEstimator

COMPONENTS = 384
_BLOCK = 256  # codes that F reads at once


@dataclass(frozen=True)
class TrainingSample:
    """Training portraits with a face, as numbers.

    Attributes:
        codes: ``(N, num_ws, 512)``.
        whitened: ``(N, K)`` the codes in ``space``.
        space: the joint PCA of the codes.
        measures: ``(N, M)`` float32, by the evaluation's own estimators.
        names: of the columns of ``measures``: those by which the evaluated edits are measured.
        params: ``(N, P)`` F of the codes.
    """

    codes: Tensor
    whitened: Tensor
    space: LatentPCA
    measures: Tensor
    names: tuple[str, ...]
    params: Tensor

    def column(self, name: str) -> Tensor:
        """One measure ``(N,)``."""
        return self.measures[:, self.names.index(name)]

    def flat(self, scores: Tensor) -> Tensor:
        """Offsets ``(B, num_ws, 512)`` of codes from ``(B, K)`` standard deviations along the components."""
        return ((scores * self.space.std) @ self.space.basis).unflatten(1, tuple(self.codes.shape[1:]))


@torch.no_grad()
def take_sample(
    portraits: PortraitSet, reconstructor: Callable[[Tensor], Tensor], estimator: PoseEstimator, seed: int = 0
) -> TrainingSample:
    """Measures training portraits by their stored landmarks and pictures.

    Args:
        portraits: training ones; those without a detected face are left out.
        reconstructor: codes to ``FaceParams.vector``.
        estimator: of the pose, as the evaluation's.
        seed: of the PCA.
    """
    portraits = portraits.subset(portraits.detected)
    measured = measure_portraits(portraits, estimator)
    names = tuple(dict.fromkeys(kind.measure for kind in evaluated_kinds()))
    space = LatentPCA.fit(portraits, min(COMPONENTS, len(portraits) // 2), seed)
    blocks = torch.arange(len(portraits)).split(_BLOCK)
    params = torch.cat([reconstructor(portraits.ws(rows)).cpu() for rows in blocks])
    measures = torch.stack([measured[name].float() for name in names], dim=1)
    return TrainingSample(portraits.ws(), space.whiten_all(portraits), space, measures, names, params)
