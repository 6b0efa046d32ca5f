"""Optimization of the code through F, per person and edit: slow, and the most that F alone can be made to report."""

from __future__ import annotations

import torch
from torch import Tensor

from stylerig_fast.evaluation.methods.training_sample import TrainingSample
from stylerig_fast.measurement.edit_method import EditBatch
from stylerig_fast.reconstructor import FaceReconstructor


class LatentOptimization:
    """Adam on an offset in the joint PCA of W+, with a penalty on its length in standard deviations of the codes.

    Args:
        sample: its PCA, and the standard deviations of F's parameters over its people.
        reconstructor: the frozen F, on the CPU.
        steps: of Adam.
        prior: weight of the offset's mean square.
        translation: trailing parameters that are free.
    """

    def __init__(
        self,
        sample: TrainingSample,
        reconstructor: FaceReconstructor,
        steps: int = 80,
        prior: float = 0.1,
        translation: int = 3,
    ) -> None:
        self.sample, self.reconstructor = sample, reconstructor
        self.steps, self.prior, self.free = steps, prior, translation
        self.std = sample.params.std(0).clamp_min(1e-3)

    def edit(self, w: Tensor, batch: EditBatch) -> Tensor:
        start, wanted = w.cpu(), batch.target.vector().cpu()
        source = batch.source.vector().cpu()
        # What is edited weighs as much as all that is to be kept.
        moved = ((wanted - source).abs() > 1e-4 * self.std).float()
        weight = moved / moved.sum(1, keepdim=True).clamp_min(1) + (1 - moved) / (1 - moved).sum(1, keepdim=True)
        weight[:, -self.free :] = 0
        with torch.enable_grad():
            scores = torch.zeros(len(w), self.sample.whitened.shape[1], requires_grad=True)
            optimizer = torch.optim.Adam([scores], lr=0.05)
            for _ in range(self.steps):
                predicted = self.reconstructor.vector(start + self.sample.flat(scores))
                loss = (((predicted - wanted) / self.std).square() * weight).sum(1)
                loss = (loss + self.prior * scores.square().mean(1)).sum()
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
        return (start + self.sample.flat(scores.detach())).to(w)
