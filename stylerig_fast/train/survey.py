"""What is read off the training portraits before a rig is solved or trained: the same for every rig of one F."""

from __future__ import annotations

from functools import cached_property

import torch
from torch import Tensor

from stylerig_fast.data.latent_pca import LatentPCA
from stylerig_fast.data.portraits import PortraitSet
from stylerig_fast.face import FaceModel
from stylerig_fast.reconstructor import FaceReconstructor
from stylerig_fast.train.context import principal, surroundings, surroundings_map
from stylerig_fast.train.directions import LinearWorld
from stylerig_fast.train.observed import Observed, observe
from stylerig_fast.train.weights import DirectionWeights


class Survey:
    """The training portraits as F, the code space and the pictures show them. Each part is made when first asked for.

    Args:
        portraits: training set.
        model: the face model, on the training device.
        reconstructor: the trained F, likewise.
        components: principal components of W+. around: of hair, clothes and background.
        seed: of the search for the components.
    """

    def __init__(
        self,
        portraits: PortraitSet,
        model: FaceModel,
        reconstructor: FaceReconstructor,
        components: int,
        around: int,
        seed: int = 0,
    ) -> None:
        self.portraits, self.model, self.reconstructor = portraits, model, reconstructor
        self.components, self.around, self.seed = components, around, seed
        self._worlds: dict[DirectionWeights, LinearWorld] = {}
        # States of rigs after what is solved, and prices, by what they were solved with; see `train.rig`.
        self.starts: dict[str, tuple[dict[str, Tensor], Tensor]] = {}

    @cached_property
    def own(self) -> Tensor:
        """F of every portrait, ``(N, P)``."""
        return reconstruct_all(self.reconstructor, self.portraits, self.model.mean.device)

    @cached_property
    def space(self) -> LatentPCA:
        return LatentPCA.fit(self.portraits, self.components, self.seed).to(self.model.mean.device)

    @cached_property
    def codes(self) -> Tensor:
        """Whitened codes ``(N, K)``."""
        return self.space.whiten_all(self.portraits)

    @cached_property
    def observed(self) -> Observed:
        return observe(self.portraits, self.own, self.codes, self.model, self.reconstructor.camera)

    @cached_property
    def surroundings(self) -> Tensor:
        return surroundings_map(self.codes, principal(surroundings(self.portraits), self.around))

    def world(self, weights: DirectionWeights) -> LinearWorld:
        """The linear world of these portraits."""
        if weights not in self._worlds:
            camera, seen = self.reconstructor.camera, self.observed
            self._worlds[weights] = LinearWorld.of(
                self.own, self.codes, seen, self.surroundings, self.model, camera, weights
            )
        return self._worlds[weights]


@torch.no_grad()
def reconstruct_all(reconstructor: FaceReconstructor, portraits: PortraitSet, device: str | torch.device) -> Tensor:
    """F of every portrait, ``(N, P)`` on ``device``."""
    blocks = torch.arange(len(portraits)).split(512)
    return torch.cat([reconstructor.vector(portraits.ws(index).to(device)) for index in blocks])
