"""One step of training RigNet: what the CPU draws, and the work on the training device."""

from __future__ import annotations

import torch
from torch import Tensor

from stylerig_fast.data.portraits import PortraitSet
from stylerig_fast.train.batch import gather, pictures
from stylerig_fast.train.loop import descend
from stylerig_fast.train.rig.losses import RigLosses
from stylerig_fast.train.step_runner import Parts


class RigStep:
    """One step: `draw` on the CPU, and the work for `Steps`."""

    def __init__(
        self, losses: RigLosses, portraits: PortraitSet, own: Tensor, pairs: int, requests: int, siamese: bool
    ) -> None:
        """Takes what steps share.

        Args:
            losses: of the rig in training.
            portraits: of `on_device`.
            own: ``(N, P)`` F of them, on the same device.
            pairs: (w, v) per step.
            requests: slider requests per step; 0 for none.
            siamese: take every pair both ways.
        """
        self.losses, self.portraits, self.own = losses, portraits, own
        self.pairs, self.requests, self.siamese = pairs, requests, siamese
        # Requests are drawn around what F sees, on the CPU.
        self._own_on_cpu = own.cpu()

    def draw(self, draw: torch.Generator) -> dict[str, Tensor]:
        """The portraits and the requests of a step, on the CPU, so that every device sees the same."""
        index = torch.randint(len(self.portraits), (2, self.pairs), generator=draw)
        drawn = {"index": index, **pictures(self.portraits, index)}
        if self.requests:
            drawn["chosen"] = torch.randint(len(self.portraits), (self.requests,), generator=draw)
            drawn["asked"] = self.losses.ask(self._own_on_cpu[drawn["chosen"]], draw)
        return drawn

    def __call__(
        self,
        optimiser: torch.optim.Optimizer,
        index: Tensor,
        images: Tensor | None = None,
        chosen: Tensor | None = None,
        asked: Tensor | None = None,
    ) -> Parts:
        """Forward, backward, optimiser; the loss parts and their sum."""
        shown = (None, None) if images is None else images
        first, second = (gather(self.portraits, rows, seen) for rows, seen in zip(index, shown, strict=True))
        own_w, own_v = self.own[index[0]], self.own[index[1]]
        parts = self.losses.pairs(first, second, own_w, own_v)
        if self.siamese:
            swapped = self.losses.pairs(second, first, own_v, own_w)
            parts = {name: (parts[name] + swapped[name]) / 2 for name in parts}
        if chosen is not None and asked is not None:
            parts |= self.losses.requests(self.portraits.ws(chosen), self.own[chosen], asked)
        return descend(optimiser, parts)
