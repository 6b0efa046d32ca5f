"""What the studio asks of an Engine: the part of its public interface that a server of portraits needs."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Protocol

import torch
from torch import Tensor

from stylerig_fast.engine.reach import Reach
from stylerig_fast.face import Camera, FaceModel
from stylerig_fast.params import FaceParams


class GeneratorLike(Protocol):
    """The generator's own facts; attributes as in `stylerig_fast.generators.Generator`."""

    name: str
    num_ws: int
    w_dim: int
    resolution: int


class EngineLike(Protocol):
    """`stylerig_fast.Engine`, or a stand-in of tests that answers at once; methods as there."""

    device: torch.device
    resolution: int
    reach: Reach | None

    @property
    def generator(self) -> GeneratorLike: ...

    @property
    def face_model(self) -> FaceModel: ...

    @property
    def camera(self) -> Camera: ...

    def sample(self, seed: int = 0, n: int = 1, psi: float = 0.7) -> Tensor: ...

    def params(self, w: Tensor) -> FaceParams: ...

    def mix_codes(self, w: Tensor, v: Tensor, slots: Iterable[int]) -> Tensor: ...

    def render(self, w: Tensor, *, resolution: int | None = None) -> Any: ...

    def edit(self, w: Tensor, params: FaceParams, *, resolution: int | None = None) -> Any: ...

    def info(self) -> dict[str, object]: ...
