"""Style mixing, the paper's comparison: slots of a training person who has what is requested."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from stylerig_fast.evaluation.methods.training_sample import TrainingSample
from stylerig_fast.measurement.edit_method import EditBatch

# Slot ranges that are tried, as shares of the slots: coarse, middle and fine ones and their unions.
RANGES = ((0, 0.25), (0, 0.4), (0, 0.5), (0.25, 0.5), (0.25, 0.65), (0.4, 0.75), (0.5, 1), (0, 0.75))
# A range carries a control when this share of the donor's difference arrives in the regression of the measure on codes.
ENOUGH = 0.65


class StyleMixing:
    """Takes a range of slots from the training person whose measure is nearest to the request.

    Which range belongs to which control is found on the training codes: the narrowest that carries `ENOUGH` of the
    control, by a linear regression of the measure on the code; or the one that carries most.

    Args:
        sample: the donors.
        slots: one range ``(first, end)`` for every control, in place of the search.
    """

    def __init__(self, sample: TrainingSample, slots: tuple[int, int] | None = None) -> None:
        self.sample = sample
        self.ranges = {name: slots or self._best_range(name) for name in sample.names}

    def edit(self, w: Tensor, batch: EditBatch) -> Tensor:
        donors = batch.donors if batch.donors is not None else self._donors(w, batch)
        first, end = self.ranges[batch.measures[0]]
        edited = w.clone()
        edited[:, first:end] = donors.to(w)[:, first:end]
        return edited

    def _donors(self, w: Tensor, batch: EditBatch) -> Tensor:
        name = batch.measures[0]
        y = self.sample.space.whiten(w.cpu())
        value = self._predict(name, y) + batch.requested_change(name)
        nearest = (self.sample.column(name)[None] - value[:, None]).abs().argmin(1)
        return self.sample.codes[nearest]

    def _regression(self, name: str) -> tuple[Tensor, Tensor]:
        values = self.sample.column(name)
        # The codes are white: their covariance with the measure is the regression.
        return (values - values.mean()) @ self.sample.whitened / len(values), values.mean()

    def _predict(self, name: str, y: Tensor) -> Tensor:
        weights, offset = self._regression(name)
        return y @ weights + offset

    def _best_range(self, name: str) -> tuple[int, int]:
        codes = self.sample.codes
        slots, rows = codes.shape[1], min(512, len(codes) // 2)
        weights, _ = self._regression(name)
        whole = ((weights / self.sample.space.std) @ self.sample.space.basis).view(slots, -1)
        difference = codes[:rows] - codes[rows : 2 * rows]
        part = torch.einsum("nsw,sw->ns", difference, whole)
        full = part.sum(1)
        found: list[tuple[float, tuple[int, int]]] = []
        for low, high in RANGES:
            first, end = round(low * slots), round(high * slots)
            share = float((part[:, first:end].sum(1) * full).sum() / full.square().sum())
            found.append((share, (first, end)))
        enough: Sequence[tuple[float, tuple[int, int]]] = [entry for entry in found if entry[0] >= ENOUGH]
        return min(enough, key=lambda e: e[1][1] - e[1][0])[1] if enough else max(found)[1]
