"""The paper's steering baseline (section 5, after Jahanian et al. 2020): Δp to Δw, blind to the person.

A linear network from the difference of parameters to an offset of the code, trained on pairs of people like RigNet:
F of the steered code shall show the controls of the one and the rest of the other.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from stylerig_fast.evaluation.methods.training_sample import Sample
from stylerig_fast.measurement.edit_method import Asked
from stylerig_fast.reconstruction import FaceReconstructor
from stylerig_fast.rignet import control_columns

CONTROL_SETS = (("pose",), ("expression",), ("illumination",))


class Steering:
    """Trained when it is made: a few hundred steps, seconds on a CPU.

    Args:
        sample: training people.
        reconstructor: the frozen F, on the CPU.
        sizes: of the blocks of FaceParams.
        steps: of Adam.
        batch: pairs per step.
        seed: of the pairs.
    """

    def __init__(
        self,
        sample: Sample,
        reconstructor: FaceReconstructor,
        sizes: Mapping[str, int],
        steps: int = 300,
        batch: int = 48,
        seed: int = 0,
    ) -> None:
        self.sample = sample
        sizes = dict(sizes)
        columns = [control_columns(sizes, controls) for controls in CONTROL_SETS]
        self.columns = torch.cat(columns)
        self.std = sample.own.std(0).clamp_min(1e-3)
        self.map = torch.zeros(len(self.columns), sample.whitened.shape[1], requires_grad=True)
        edited = torch.zeros(len(columns), sample.own.shape[1], dtype=torch.bool)
        for row, chosen in enumerate(columns):
            edited[row, chosen] = True
        counted = torch.ones(sample.own.shape[1])
        counted[-sizes["translation"] :] = 0  # translation follows the turn
        draw = torch.Generator().manual_seed(seed)
        optimiser = torch.optim.Adam([self.map], lr=5e-3)
        loss = torch.tensor(torch.nan)
        with torch.enable_grad():
            for step in range(steps):
                optimiser.param_groups[0]["lr"] = 5e-3 * (1 - step / steps)
                first, second = torch.randint(len(sample.codes), (2, batch), generator=draw)
                control = torch.randint(len(columns), (batch,), generator=draw)
                target = torch.where(edited[control], sample.own[second], sample.own[first])
                seen = reconstructor.vector(sample.codes[first] + self._offset(target - sample.own[first]))
                # Three angles must not drown among two hundred coefficients that are kept.
                asked, kept = edited[control] * counted, ~edited[control] * counted
                weight = asked / asked.sum(1, keepdim=True) + kept / kept.sum(1, keepdim=True)
                loss = (((seen - target) / self.std).square() * weight).sum(1).mean()
                optimiser.zero_grad()
                loss.backward()
                optimiser.step()
        self.loss = float(loss.detach())
        self.map.requires_grad_(False)

    def edit(self, w: Tensor, asked: Asked) -> Tensor:
        change = (asked.params.vector() - asked.own.vector()).cpu()
        return w + self._offset(change).to(w)

    def _offset(self, change: Tensor) -> Tensor:
        return self.sample.flat((change / self.std)[:, self.columns] @ self.map)
