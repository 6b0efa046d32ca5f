"""Direct optimisation of the code through F: per person and request, slow, and what F alone can be made to say."""

from __future__ import annotations

import torch
from torch import Tensor

from stylerig_fast.evaluation.methods.training_sample import Sample
from stylerig_fast.measurement.edit_method import Asked
from stylerig_fast.reconstruction import FaceReconstructor


class DirectOptimisation:
    """Adam on an offset in the joint PCA of W+, with a price on its length in deviations of the codes.

    Args:
        sample: its PCA, and the deviations of F's parameters over its people.
        reconstructor: the frozen F, on the CPU.
        steps: of Adam.
        prior: price of the offset's mean square.
        translation: trailing parameters that are free.
    """

    def __init__(
        self,
        sample: Sample,
        reconstructor: FaceReconstructor,
        steps: int = 80,
        prior: float = 0.1,
        translation: int = 3,
    ) -> None:
        self.sample, self.reconstructor = sample, reconstructor
        self.steps, self.prior, self.free = steps, prior, translation
        self.std = sample.own.std(0).clamp_min(1e-3)

    def edit(self, w: Tensor, asked: Asked) -> Tensor:
        start, target = w.cpu(), asked.params.vector().cpu()
        own = asked.own.vector().cpu()
        # What is asked for weighs as much as all that is to be kept.
        moved = ((target - own).abs() > 1e-4 * self.std).float()
        weight = moved / moved.sum(1, keepdim=True).clamp_min(1) + (1 - moved) / (1 - moved).sum(1, keepdim=True)
        weight[:, -self.free :] = 0
        with torch.enable_grad():
            deviations = torch.zeros(len(w), self.sample.whitened.shape[1], requires_grad=True)
            optimiser = torch.optim.Adam([deviations], lr=0.05)
            for _ in range(self.steps):
                seen = self.reconstructor.vector(start + self.sample.flat(deviations))
                loss = (((seen - target) / self.std).square() * weight).sum(1)
                loss = (loss + self.prior * deviations.square().mean(1)).sum()
                optimiser.zero_grad()
                loss.backward()
                optimiser.step()
        return (start + self.sample.flat(deviations.detach())).to(w)
