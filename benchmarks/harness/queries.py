"""The edits that are timed: random people and random sliders, the same for every system."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from stylerig_fast.engine import Engine
from stylerig_fast.engine.edit_request import as_request
from stylerig_fast.engine.reach import Reach
from stylerig_fast.params import FaceParams

PEOPLE = 16
# Degrees, where an engine has no measured ranges. Roll is left out: the network takes no part in it.
ANGLES = {"yaw": (-15.0, 15.0), "pitch": (-8.0, 8.0)}


@dataclass(frozen=True)
class Query:
    """The arguments of one call of `Engine.edit`.

    Attributes:
        w: codes, ``(B, num_ws, w_dim)``.
        params: partial parameters: yaw and pitch, three expression units, light.
    """

    w: Tensor
    params: FaceParams


class QueryGenerator:
    """Draws queries: one of `PEOPLE` random people, and random sliders within the engine's reach."""

    def __init__(self, engine: Engine, seed: int = 0, psi: float = 0.7) -> None:
        """Samples the people.

        Args:
            engine: whose generator, expression units and reach are used.
            seed: of the people and of the sliders.
            psi: truncation of the people.
        """
        self.codes = engine.sample(seed=seed, n=PEOPLE, psi=psi)
        self.reach: Reach | None = engine.reach
        named = [name for name in engine.face_model.expression_names if not name.startswith("residual_")]
        self.units = named or list(engine.face_model.expression_names)
        self._draw = torch.Generator().manual_seed(seed)

    def draw(self, batch: int = 1, person: int | None = None) -> Query:
        """A query of ``batch`` people, each with sliders of their own.

        Args:
            batch: number of people.
            person: index of the person that all of them are; random people by default.
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
        return Query(self.codes[people.to(self.codes.device)], as_request(pose, expression, {"direction": direction}))

    def draw_many(self, count: int) -> list[Query]:
        """Queries of one person each."""
        return [self.draw() for _ in range(count)]

    def _uniform(self, batch: int, low: float, high: float, columns: int | None = None) -> Tensor:
        shape = (batch,) if columns is None else (batch, columns)
        return low + (high - low) * torch.rand(shape, generator=self._draw)


def one_of(query: Query, row: int) -> Query:
    """The query of one person of a batch. Values that all people of the batch share are kept as they are."""
    count = len(query.w)

    def pick(value: Any) -> Any:
        return value[row : row + 1] if hasattr(value, "shape") and value.ndim and len(value) == count else value

    params = query.params
    picked = {kind: {name: pick(value) for name, value in values.items()} for kind, values in params.pending.items()}
    return Query(query.w[row : row + 1], type(params)(pending=picked))
