"""What is asked of the contestants: random people and random sliders, the same for all."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from stylerig_fast.engine import Engine
from stylerig_fast.engine.edit_request import as_request
from stylerig_fast.engine.reach import Reach
from stylerig_fast.params import FaceParams

PEOPLE = 16
# Where an engine has no measured ranges. Roll is none of the network's: it turns the picture.
ANGLES = {"yaw": (-15.0, 15.0), "pitch": (-8.0, 8.0)}


@dataclass(frozen=True)
class Request:
    """One call of `Engine.edit`.

    Attributes:
        w: ``(B, num_ws, w_dim)``.
        params: partial: yaw and pitch, three expression units, light.
    """

    w: Tensor
    params: FaceParams


class Requests:
    """Draws requests: a random person of `PEOPLE`, all sliders at random within what the engine reaches."""

    def __init__(self, engine: Engine, seed: int = 0, psi: float = 0.7) -> None:
        self.codes = engine.sample(seed=seed, n=PEOPLE, psi=psi)
        self.reach: Reach | None = engine.reach
        named = [name for name in engine.face_model.expression_names if not name.startswith("residual_")]
        self.units = named or list(engine.face_model.expression_names)
        self._draw = torch.Generator().manual_seed(seed)

    def draw(self, batch: int = 1, person: int | None = None) -> Request:
        """A request of ``batch`` people with sliders of their own.

        Args:
            batch: how many.
            person: one of `PEOPLE` for all of them, in place of random ones.
        """
        angles = self.reach.angles if self.reach is not None else ANGLES
        pose = {name: self._uniform(batch, *angles[name]) for name in ANGLES}
        expression = {}
        for index in torch.randperm(len(self.units), generator=self._draw)[:3].tolist():
            name = self.units[index]
            low, high = self.reach.expression.get(name, (0.0, 1.0)) if self.reach is not None else (0.0, 1.0)
            expression[name] = self._uniform(batch, low, high)
        direction = torch.cat([self._uniform(batch, -1, 1, 2), self._uniform(batch, 0.3, 1, 1)], dim=1)
        people = torch.randint(PEOPLE, (batch,), generator=self._draw)
        if person is not None:
            people = torch.full_like(people, person)
        return Request(self.codes[people.to(self.codes.device)], as_request(pose, expression, {"direction": direction}))

    def list(self, count: int) -> list[Request]:
        return [self.draw() for _ in range(count)]

    def _uniform(self, batch: int, low: float, high: float, columns: int | None = None) -> Tensor:
        shape = (batch,) if columns is None else (batch, columns)
        return low + (high - low) * torch.rand(shape, generator=self._draw)
