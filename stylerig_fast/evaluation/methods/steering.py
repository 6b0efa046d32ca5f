"""The paper's steering baseline (section 5, after Jahanian et al. 2020): Δp to Δw, blind to the person.

A linear network from the difference of parameters to an offset of the code, trained on pairs of people like RigNet:
F of the steered code should give the controls of the one person and the rest of the other.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from stylerig_fast.evaluation.methods.training_sample import TrainingSample
from stylerig_fast.measurement.edit_method import EditBatch
from stylerig_fast.param_layout import ParamLayout
from stylerig_fast.reconstructor import FaceReconstructor

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
        sample: TrainingSample,
        reconstructor: FaceReconstructor,
        sizes: Mapping[str, int],
        steps: int = 300,
        batch: int = 48,
        seed: int = 0,
    ) -> None:
        self.sample = sample
        sizes = dict(sizes)
        columns = [ParamLayout(sizes).columns(controls) for controls in CONTROL_SETS]
        self.columns = torch.cat(columns)
        self.std = sample.params.std(0).clamp_min(1e-3)
        self.map = torch.zeros(len(self.columns), sample.whitened.shape[1], requires_grad=True)
        edited = torch.zeros(len(columns), sample.params.shape[1], dtype=torch.bool)
        for row, chosen in enumerate(columns):
            edited[row, chosen] = True
        counted = torch.ones(sample.params.shape[1])
        counted[-sizes["translation"] :] = 0  # translation follows the turn
        draw = torch.Generator().manual_seed(seed)
        optimizer = torch.optim.Adam([self.map], lr=5e-3)
        loss = torch.tensor(torch.nan)
        with torch.enable_grad():
            for step in range(steps):
                optimizer.param_groups[0]["lr"] = 5e-3 * (1 - step / steps)
                first, second = torch.randint(len(sample.codes), (2, batch), generator=draw)
                control = torch.randint(len(columns), (batch,), generator=draw)
                target = torch.where(edited[control], sample.params[second], sample.params[first])
                predicted = reconstructor.vector(sample.codes[first] + self._offset(target - sample.params[first]))
                # Three angles must not drown among two hundred coefficients that are kept.
                changed, kept = edited[control] * counted, ~edited[control] * counted
                weight = changed / changed.sum(1, keepdim=True) + kept / kept.sum(1, keepdim=True)
                loss = (((predicted - target) / self.std).square() * weight).sum(1).mean()
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
        self.loss = float(loss.detach())
        self.map.requires_grad_(False)

    def edit(self, w: Tensor, batch: EditBatch) -> Tensor:
        delta = (batch.target.vector() - batch.source.vector()).cpu()
        return w + self._offset(delta).to(w)

    def _offset(self, delta: Tensor) -> Tensor:
        return self.sample.flat((delta / self.std)[:, self.columns] @ self.map)
