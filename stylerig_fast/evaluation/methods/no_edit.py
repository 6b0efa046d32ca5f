"""No edit: what every error is compared with."""

from __future__ import annotations

from torch import Tensor

from stylerig_fast.measurement.edit_method import EditBatch


class NoEdit:
    """Leaves everybody as they are."""

    def edit(self, w: Tensor, batch: EditBatch) -> Tensor:
        return w
