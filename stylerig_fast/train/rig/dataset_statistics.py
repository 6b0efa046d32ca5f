"""Step 0: statistics of the training portraits: F's parameters of them, and the principal components of their codes.

Every part is computed when it is first used, and only once: all trainings with the same portraits and F can share it.
"""

from __future__ import annotations

from functools import cached_property

import torch
from torch import Tensor

from stylerig_fast.data.latent_pca import LatentPCA
from stylerig_fast.data.portraits import PortraitSet
from stylerig_fast.face import FaceModel
from stylerig_fast.reconstructor import FaceReconstructor
from stylerig_fast.train.config import RigTraining
from stylerig_fast.train.loop import begin
from stylerig_fast.train.rig.picture_regression import PictureRegression, regress_background, regress_pictures


class DatasetStatistics:
    """Statistics of the training portraits, and what they were computed with.

    Attributes:
        portraits: the training set of N portraits.
        model: the face model, on the training device.
        reconstructor: the trained F, likewise.
    """

    def __init__(
        self,
        portraits: PortraitSet,
        model: FaceModel,
        reconstructor: FaceReconstructor,
        components: int,
        background_components: int,
        seed: int = 0,
    ) -> None:
        """Computes nothing yet.

        Args:
            portraits: training set.
            model: the face model, on the training device.
            reconstructor: the trained F, likewise.
            components: K, principal components of W+.
            background_components: principal components of hair, clothes and background.
            seed: of the randomised PCA.
        """
        self.portraits, self.model, self.reconstructor = portraits, model, reconstructor
        self.components, self.background_components, self.seed = components, background_components, seed

    @staticmethod
    def load(config: RigTraining) -> DatasetStatistics:
        """Of the portraits, face model and F that a training names.

        Raises:
            CheckpointError: F is missing, damaged, or for another face model.
            DataError: the portraits could not be read.
        """
        model, portraits = begin(config.data, config.run)
        reconstructor = FaceReconstructor.from_pretrained(config.data.reconstructor, config.run.device)
        reconstructor.check_face_model(model)
        components, background = config.network.components, config.closed_form.background_components
        return DatasetStatistics(portraits, model, reconstructor, components, background, config.run.seed)

    @cached_property
    def source(self) -> Tensor:
        """p_w = F(w) of every portrait, ``(N, P)``."""
        return reconstruct_all(self.reconstructor, self.portraits, self.model.mean.device)

    @cached_property
    def latent_pca(self) -> LatentPCA:
        """The K principal components of the whole W+ code."""
        return LatentPCA.fit(self.portraits, self.components, self.seed).to(self.model.mean.device)

    @cached_property
    def whitened_codes(self) -> Tensor:
        """The codes as uncorrelated coordinates of unit variance, ``(N, K)``."""
        return self.latent_pca.whiten_all(self.portraits)

    @cached_property
    def picture_regression(self) -> PictureRegression:
        """What the pictures show, linear in the whitened code (step 1)."""
        camera = self.reconstructor.camera
        return regress_pictures(self.portraits, self.source, self.whitened_codes, self.model, camera)

    @cached_property
    def background_regression(self) -> Tensor:
        """Hair, clothes and background, linear in the whitened code ``(K, M)`` (step 1)."""
        return regress_background(self.portraits, self.whitened_codes, self.background_components)


@torch.no_grad()
def reconstruct_all(reconstructor: FaceReconstructor, portraits: PortraitSet, device: str | torch.device) -> Tensor:
    """F of every portrait.

    Args:
        reconstructor: F, on ``device``.
        portraits: N portraits.
        device: of the training.

    Returns:
        ``(N, P)`` on ``device``.
    """
    blocks = torch.arange(len(portraits)).split(512)
    return torch.cat([reconstructor.vector(portraits.ws(index).to(device)) for index in blocks])
