"""EditMethod: whatever turns a code and a target into another code, so that rigs and baselines are measured alike."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal, Protocol

import torch
from torch import Tensor

from stylerig_fast.face import Camera, FaceModel
from stylerig_fast.measurement.edit_kinds import TRANSFER
from stylerig_fast.measurement.edit_suite import Edit
from stylerig_fast.measurement.measurements import Measurements
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
class EditBatch:
    """One edit of a batch of people: where they start, and where it should take them.

    Attributes:
        edit: the edit.
        source: complete parameters of the people.
        target: complete parameters that are requested.
        source_rendered, target_rendered: measures of the face model, rendered with each.
        donors: codes ``(B, num_ws, 512)`` of the people whose pose is transferred; None for other edits.
    """

    edit: Edit
    source: FaceParams
    target: FaceParams
    source_rendered: Measurements
    target_rendered: Measurements
    donors: Tensor | None = None

    @property
    def measures(self) -> tuple[str, ...]:
        """The measures that tell whether the edit was performed: both angles of a transferred pose."""
        kind = self.edit.kind
        return (kind.measure, *kind.also_measured) if kind is TRANSFER else (kind.measure,)

    def requested_change(self, measure: str) -> Tensor:
        """Change ``(B,)`` of one measure on the rendered face model, float32, 0 where it is not known."""
        change = self.target_rendered.value(measure) - self.source_rendered.value(measure)
        return torch.nan_to_num(change).float()


class EditMethod(Protocol):
    """Performs edits on codes."""

    def edit(self, w: Tensor, batch: EditBatch) -> Tensor:
        """The edited codes ``(B, num_ws, 512)`` of people ``w``, on the CPU or on w's device."""
        ...


class RigMethod:
    """A rig as a method.

    Args:
        engine: the rig.
        foreign: targets were made with another engine's F; make them again with this one's.
    """

    def __init__(self, engine: RigLike, foreign: bool = False) -> None:
        self.engine, self.foreign = engine, foreign

    def edit(self, w: Tensor, batch: EditBatch) -> Tensor:
        """As `EditMethod.edit`, by the rig."""
        if not self.foreign:
            return self.engine.rig(w, batch.target)
        source = self.engine.params(w)
        if batch.donors is not None:
            return self.engine.rig(w, source.with_controls_from(self.engine.params(batch.donors), ("pose",)))
        return self.engine.rig(w, batch.edit.apply(source))


class ScaledMethod:
    """Another method with its offset multiplied: half an edit, or one and a half.

    Args:
        method: the other method.
        strength: the factor.
    """

    def __init__(self, method: EditMethod, strength: float) -> None:
        self.method, self.strength = method, strength

    def edit(self, w: Tensor, batch: EditBatch) -> Tensor:
        """As `EditMethod.edit`, a share of the way from the code to the edited one."""
        edited = self.method.edit(w, batch)
        return torch.lerp(w.to(edited), edited, self.strength)
