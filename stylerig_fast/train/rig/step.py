"""One optimiser step of step 4: what the CPU draws, and the work on the training device."""

from __future__ import annotations

import torch
from torch import Tensor

from stylerig_fast.data.portraits import PortraitSet
from stylerig_fast.train.batch import gather, pictures_to_upload
from stylerig_fast.train.config import CycleConfig
from stylerig_fast.train.loop import descend
from stylerig_fast.train.rig.losses import RigLosses
from stylerig_fast.train.step_runner import LossTerms


class RigStep:
    """One step of training RigNet: `draw` on the CPU, and the call that a `StepRunner` runs on the training device."""

    def __init__(self, config: CycleConfig, losses: RigLosses, portraits: PortraitSet, source: Tensor) -> None:
        """Takes what all steps share.

        Args:
            config: of the cycle-consistency training.
            losses: of the rig in training.
            portraits: of `on_device`.
            source: ``(N, P)`` F of them, on the same device.
        """
        self.config, self.losses, self.portraits, self.source = config, losses, portraits, source
        # Slider requests are drawn around F's parameters, on the CPU.
        self._source_on_cpu = source.cpu()

    def draw(self, draw: torch.Generator) -> dict[str, Tensor]:
        """The portraits and slider requests of a step, drawn on the CPU, so that every device gets the same."""
        index = torch.randint(len(self.portraits), (2, self.config.pairs), generator=draw)
        drawn = {"index": index, **pictures_to_upload(self.portraits, index)}
        if self.config.requests:
            drawn["people"] = torch.randint(len(self.portraits), (self.config.requests,), generator=draw)
            drawn["target"] = self.losses.draw_targets(self._source_on_cpu[drawn["people"]], draw)
        return drawn

    def __call__(
        self,
        optimiser: torch.optim.Optimizer,
        index: Tensor,
        images: Tensor | None = None,
        people: Tensor | None = None,
        target: Tensor | None = None,
    ) -> LossTerms:
        """Forward, backward, optimiser.

        Args:
            optimiser: of the rig.
            index: ``(2, pairs)`` portraits w and v.
            images: ``(2, pairs, 3, H, W)`` their pictures, where those are not on the device.
            people: ``(requests,)`` portraits that slider requests edit.
            target: ``(requests, P)`` parameters wanted of these.

        Returns:
            The loss terms and their sum.
        """
        uploaded = (None, None) if images is None else images
        first, second = (gather(self.portraits, rows, each) for rows, each in zip(index, uploaded, strict=True))
        p_w, p_v = self.source[index[0]], self.source[index[1]]
        terms = self.losses.pairs(first, second, p_w, p_v)
        if self.config.siamese:
            exchanged = self.losses.pairs(second, first, p_v, p_w)
            terms = {name: (terms[name] + exchanged[name]) / 2 for name in terms}
        if people is not None and target is not None:
            terms |= self.losses.requests(self.portraits.ws(people), self.source[people], target)
        return descend(optimiser, terms)
