"""One direction per control, the same for everybody: the pattern and the filter of a linear model.

Of a measure c and whitened codes y, the *pattern* is the regression of the code on the measure, cov(y, c) / var(c):
how codes differ between people who differ in c. The *filter* is the (ridge) regression of the measure on the code,
followed as far as it predicts the change (as in InterFaceGAN, Shen et al. 2020, with a regression for its SVM). Haufe
et al. 2014 tell the two apart: a filter also points where noise has to be cancelled.
"""

from __future__ import annotations

import torch
from torch import Tensor

from stylerig_fast.evaluation.methods.training_sample import TrainingSample
from stylerig_fast.measurement.edit_method import EditBatch

# Ridge of the filter, in mean variances of a component of the code.
RIDGE = 0.1


class _Direction:
    """Follows a direction per measure; two measures (a transferred pose) are followed together."""

    def __init__(self, sample: TrainingSample) -> None:
        self.sample = sample

    def edit(self, w: Tensor, batch: EditBatch) -> Tensor:
        change = torch.stack([batch.requested_change(name) for name in batch.measures], dim=1)
        return w + self.sample.flat(change @ self.directions(batch.measures)).to(w)

    def directions(self, names: tuple[str, ...]) -> Tensor:
        """Offsets ``(M, K)`` in standard deviations of the codes, per unit of each measure with the others held."""
        raise NotImplementedError


class PatternDirection(_Direction):
    """Regression of the code on the measures."""

    def directions(self, names: tuple[str, ...]) -> Tensor:
        values = torch.stack([self.sample.column(name) for name in names], dim=1)
        values = values - values.mean(0)
        return torch.linalg.solve(values.T @ values, values.T @ self.sample.whitened)


class FilterDirection(_Direction):
    """Ridge regression of the measures on the code; the shortest offset in W+ that it predicts to suffice."""

    def directions(self, names: tuple[str, ...]) -> Tensor:
        values = torch.stack([self.sample.column(name) for name in names], dim=1)
        covariance = (values - values.mean(0)).T @ self.sample.whitened / len(values)
        variance = self.sample.space.std.square()
        # In coordinates of unit length along the components: x = std * y.
        weights = covariance * self.sample.space.std / (variance + RIDGE * variance.mean())
        offsets = torch.linalg.solve(weights @ weights.T, weights)
        return offsets / self.sample.space.std
