"""EditMethod: whatever turns a code and a request into another code, so that rigs and baselines are measured alike."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal, Protocol

import torch
from torch import Tensor

from stylerig_fast.face import Camera, FaceModel
from stylerig_fast.measurement.analyzer import MEASURED
from stylerig_fast.measurement.edit_suite import MEASURE, Request
from stylerig_fast.params import FaceParams
from stylerig_fast.render import Rendered


class RigLike(Protocol):
    """What is measured: an `Engine`, or anything that edits codes and renders them."""

    face_model: FaceModel

    @property
    def camera(self) -> Camera: ...

    def params(self, w: Tensor) -> FaceParams: ...

    def rig(self, w: Tensor, params: FaceParams) -> Tensor: ...

    def render(self, w: Tensor, output: Literal["torch"], resolution: int | None) -> Any: ...

    def render_params(self, params: FaceParams, size: int) -> Rendered: ...


@dataclass(frozen=True)
class Asked:
    """One request put to a batch of people.

    Attributes:
        request: what is asked of everybody.
        own: complete parameters of the people.
        params: complete parameters that are asked for.
        change: ``(B, M)`` how the measures of `MEASURED` change on the rendered face model, from ``own`` to ``params``.
        sources: codes ``(B, num_ws, 512)`` of the people whose pose is transferred; None for other requests.
    """

    request: Request
    own: FaceParams
    params: FaceParams
    change: Tensor
    sources: Tensor | None = None

    @property
    def measures(self) -> tuple[str, ...]:
        """The measures that the request is about."""
        return ("yaw", "pitch") if self.request.kind == "transfer" else (MEASURE[self.request.kind],)

    def wanted(self, measure: str) -> Tensor:
        """Requested change ``(B,)`` of one measure, float32, 0 where it is not known."""
        return torch.nan_to_num(self.change[:, MEASURED.index(measure)]).float()


class EditMethod(Protocol):
    """Changes codes as asked."""

    def edit(self, w: Tensor, asked: Asked) -> Tensor:
        """The edited codes ``(B, num_ws, 512)`` of people ``w``, on the CPU or on w's device."""
        ...


class RigMethod:
    """A rig as an editor.

    Args:
        engine: the rig.
        foreign: the request was made by another engine's F: make it again by this one's.
    """

    def __init__(self, engine: RigLike, foreign: bool = False) -> None:
        self.engine, self.foreign = engine, foreign

    def edit(self, w: Tensor, asked: Asked) -> Tensor:
        if not self.foreign:
            return self.engine.rig(w, asked.params)
        own = self.engine.params(w)
        if asked.sources is not None:
            return self.engine.rig(w, own.with_controls_from(self.engine.params(asked.sources), ("pose",)))
        return self.engine.rig(w, asked.request.apply(own))


class Scaled:
    """Another editor with its offset multiplied: half an edit, or one and a half."""

    def __init__(self, editor: EditMethod, strength: float) -> None:
        self.editor, self.strength = editor, strength

    def edit(self, w: Tensor, asked: Asked) -> Tensor:
        edited = self.editor.edit(w, asked)
        return torch.lerp(w.to(edited), edited, self.strength)
