"""FaceParams: what the rig speaks. Blocks of 3DMM coefficients, degrees, named expressions, light."""

from __future__ import annotations

import dataclasses
import difflib
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from stylerig_fast.face.arguments import Values, batch_of, check_finite, values_like
from stylerig_fast.face.lighting import SH_CONSTANTS, dominant_direction, light, turn_light
from stylerig_fast.face.pose_cache import degrees_of, remember
from stylerig_fast.face.rotation import degrees_to_axis_angle
from stylerig_fast.param_layout import BLOCKS, CONTROLS, SHAPES, ParamLayout

# How much of the light is directional when a direction is asked for without a strength: about as much as in the most
# one-sided percent of FFHQ-like portraits. The generator has seen little beyond.
DEFAULT_LIGHT_STRENGTH = 0.25
# Faces that `repr` describes.
SHOWN = 4


@dataclass(frozen=True, eq=False, repr=False)
class FaceParams:
    """3DMM parameters of a batch of faces; a block that is None is left as the person has it.

    Nothing in here changes: every method gives new FaceParams.

    Attributes:
        identity: alpha ``(B, A)``, standard deviations.
        albedo: beta ``(B, C)``, standard deviations.
        expression: delta ``(B, E)``; named units run from 0 to 1.
        illumination: gamma ``(B, 9, 3)``, spherical harmonics x RGB.
        rotation: ``(B, 3)`` axis-angle, radians.
        translation: ``(B, 3)`` decimetres.
        expression_names: names of the E expression coefficients.
        pending: edits of blocks that are None, by the name of the ``with_`` method that was called, and its arguments;
            `completed_by` applies them.
    """

    identity: Tensor | None = None
    albedo: Tensor | None = None
    expression: Tensor | None = None
    illumination: Tensor | None = None
    rotation: Tensor | None = None
    translation: Tensor | None = None
    expression_names: tuple[str, ...] = ()
    pending: Mapping[str, Mapping[str, object]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        batch: tuple[str, int] | None = None
        for name in BLOCKS:
            value = getattr(self, name)
            if value is None:
                continue
            shape, trailing = tuple(value.shape), SHAPES.get(name)
            if len(shape) < 2 or (trailing is not None and shape[1:] != trailing):
                want = ", ".join(map(str, trailing)) if trailing else "K"
                raise ValueError(f"{name} has shape {shape}, expected (B, {want})")
            if not value.is_floating_point():
                raise ValueError(f"{name} has dtype {value.dtype}, expected a floating-point one")
            if batch is not None and shape[0] != batch[1]:
                raise ValueError(f"{name} has batch {shape[0]}, but {batch[0]} has {batch[1]}")
            batch = (name, shape[0])
        if self.expression is not None and self.expression_names:
            found, expected = self.expression.shape[1], len(self.expression_names)
            if found != expected:
                raise ValueError(f"expression has {found} coefficients, but there are {expected} names")

    # ---- as a whole -------------------------------------------------------------------------------

    @property
    def blocks(self) -> dict[str, Tensor]:
        """The blocks that are there, in the order of `BLOCKS`."""
        return {name: value for name in BLOCKS if (value := getattr(self, name)) is not None}

    @property
    def complete(self) -> bool:
        """Whether every block is there and no edit is pending."""
        return len(self.blocks) == len(BLOCKS) and not self.pending

    def __len__(self) -> int:
        for name in BLOCKS:
            value = getattr(self, name)
            if value is not None:
                return value.shape[0]
        raise ValueError("these FaceParams have no block, so no batch size")

    def _map(self, function: Callable[[Tensor], Tensor]) -> FaceParams:
        return self.with_blocks(**{name: function(value) for name, value in self.blocks.items()})

    def __getitem__(self, index: int | slice | Tensor) -> FaceParams:
        """Rows of the batch; an int keeps the batch dimension."""
        if isinstance(index, int):
            if not -len(self) <= index < len(self):
                raise IndexError(f"index {index} is outside a batch of {len(self)}")
            index %= len(self)
            index = slice(index, index + 1)
        return self._map(lambda value: value[index])

    def to(self, device: torch.device | str | None = None, dtype: torch.dtype | None = None) -> FaceParams:
        """All blocks on ``device`` and in ``dtype``; what is None stays as it is."""
        return self._map(lambda value: value.to(device=device, dtype=dtype))

    def detach(self) -> FaceParams:
        """All blocks without their gradients."""
        return self._map(lambda value: value.detach())

    def expand(self, batch: int) -> FaceParams:
        """One face repeated to a batch of ``batch``; a batch that already has that size is returned as is."""
        if not self.blocks or len(self) == batch:
            return self
        if len(self) != 1:
            raise ValueError(f"parameters of {len(self)} faces do not fit a batch of {batch}")
        return self._map(lambda value: value.expand(batch, *value.shape[1:]))

    def vector(self) -> Tensor:
        """All blocks side by side, ``(B, A + C + E + 27 + 3 + 3)``; every block must be there."""
        if not self.complete:
            missing = [name for name in BLOCKS if getattr(self, name) is None]
            raise ValueError(f"the vector needs every block; missing: {', '.join(missing) or 'pending edits'}")
        return torch.cat([value.flatten(1) for value in self.blocks.values()], dim=1)

    @staticmethod
    def from_vector(vector: Tensor, sizes: Mapping[str, int], expression_names: tuple[str, ...] = ()) -> FaceParams:
        """The inverse of `vector`; ``sizes`` as in ``FaceModel.sizes``."""
        layout = ParamLayout(sizes)
        if vector.ndim != 2:
            raise ValueError(f"vector has shape {tuple(vector.shape)}, expected (B, {layout.size})")
        blocks: dict[str, Any] = {**layout.split(vector)}
        return FaceParams(**blocks, expression_names=expression_names)

    @staticmethod
    def cat(parts: Iterable[FaceParams]) -> FaceParams:
        """Several batches one after the other; all must have the same blocks."""
        parts = list(parts)
        names = [tuple(part.blocks) for part in parts]
        if not parts or any(other != names[0] for other in names):
            raise ValueError(f"cannot join FaceParams with different blocks: {sorted(set(names))}")
        return parts[0].with_blocks(**{name: torch.cat([getattr(part, name) for part in parts]) for name in names[0]})

    def with_blocks(self, **blocks: Tensor) -> FaceParams:
        """These parameters with whole blocks replaced, for example ``expression=tensor``."""
        unknown = [name for name in blocks if name not in BLOCKS]
        if unknown:
            raise ValueError(f"unknown blocks {unknown}; there are {', '.join(BLOCKS)}")
        return FaceParams(**{**vars(self), **blocks}) if blocks else self

    def with_controls_from(self, other: FaceParams, controls: Iterable[str]) -> FaceParams:
        """These parameters with the blocks of ``controls`` taken from ``other``."""
        taken = {}
        for control in controls:
            if control not in CONTROLS:
                raise ValueError(f"unknown control {control!r}; there are {', '.join(CONTROLS)}")
            value = getattr(other, CONTROLS[control])
            if value is None:
                raise ValueError(f"the other parameters have no {CONTROLS[control]}")
            taken[CONTROLS[control]] = value
        return self.expand(len(other)).with_blocks(**taken)

    def completed_by(self, base: FaceParams) -> FaceParams:
        """``base`` with the blocks and the pending edits of this partial FaceParams put over it.

        Args:
            base: complete; a batch of 1 or of the same size.

        Raises:
            ValueError: batches differ (and none is 1), or the name of a pending expression is unknown.
        """
        batch = max(len(base), len(self) if self.blocks else 1)
        over, result = self.expand(batch), base.expand(batch)
        for name, value in over.blocks.items():
            source = getattr(base, name)
            if source is not None and value.shape[1:] != source.shape[1:]:
                raise ValueError(
                    f"{name} has shape {tuple(value.shape)}, expected (B, {', '.join(map(str, source.shape[1:]))})"
                )
        like = next(iter(base.blocks.values()))
        result = result.with_blocks(**{name: value.to(like) for name, value in over.blocks.items()})
        for kind, values in self.pending.items():
            arguments: dict[str, Any] = dict(values)
            result = getattr(result, f"with_{kind}")(**arguments)
        return result

    # ---- pose -------------------------------------------------------------------------------------

    def pose_degrees(self) -> Tensor:
        """``(B, 3)``: yaw, pitch, roll in degrees; angles that were given to `with_pose` read back exactly.

        Raises:
            ValueError: there is no rotation.
        """
        if self.rotation is None:
            raise ValueError("these FaceParams have no rotation")
        return degrees_of(self.rotation)

    @property
    def yaw(self) -> Tensor:
        """``(B,)`` degrees; positive turns the nose to the picture's right edge."""
        return self.pose_degrees()[:, 0]

    @property
    def pitch(self) -> Tensor:
        """``(B,)`` degrees; positive lifts the chin."""
        return self.pose_degrees()[:, 1]

    @property
    def roll(self) -> Tensor:
        """``(B,)`` degrees; positive tips the top of the head to the picture's right edge."""
        return self.pose_degrees()[:, 2]

    def with_pose(
        self, yaw: Values | None = None, pitch: Values | None = None, roll: Values | None = None
    ) -> FaceParams:
        """The head turned to these angles; an angle that is None stays.

        Args:
            yaw: degrees, one for all or one per face; positive turns the nose to the picture's right edge.
            pitch: degrees; positive lifts the chin.
            roll: degrees; positive tips the top of the head to the picture's right edge.
        """
        given = {"yaw": yaw, "pitch": pitch, "roll": roll}
        for name, angle in given.items():
            check_finite(name, angle)
        if self.rotation is None:
            return self._with_pending("pose", given)
        batch = batch_of(len(self), given)
        base = self.expand(batch)
        degrees = base.pose_degrees()
        for column, angle in enumerate(given.values()):
            if angle is not None:
                degrees[:, column] = values_like(angle, degrees)
        rotation = degrees_to_axis_angle(degrees)
        remember(rotation, degrees, given)
        return base.with_blocks(rotation=rotation)

    # ---- expression -------------------------------------------------------------------------------

    def with_expression(self, **units: Values) -> FaceParams:
        """Named expression coefficients set to these values; the others stay.

        Args:
            units: for example ``jawOpen=0.6``; 0 is rest, 1 the full unit. One value for all faces or one per face.

        Raises:
            ValueError: unknown name (the message lists near ones).
        """
        for name, value in units.items():
            check_finite(name, value)
        if self.expression is None:
            return self._with_pending("expression", units)
        batch = batch_of(len(self), units)
        base = self.expand(batch)
        expression = base.expression.clone()  # type: ignore[union-attr]
        for name, value in units.items():
            expression[:, self.expression_index(name)] = values_like(value, expression)
        return base.with_blocks(expression=expression)

    def expression_index(self, name: str) -> int:
        """Column of a named expression; ValueError, with near names, if there is none such."""
        if name not in self.expression_names:
            near = difflib.get_close_matches(name, self.expression_names, 3, 0.4)
            hint = f"did you mean {', '.join(near)}?" if near else f"there are {', '.join(self.expression_names)}"
            raise ValueError(f"unknown expression {name!r}; {hint}")
        return self.expression_names.index(name)

    # ---- light ------------------------------------------------------------------------------------

    def light_direction(self) -> Tensor:
        """``(B, 3)`` unit vector toward the dominant light, camera space."""
        if self.illumination is None:
            raise ValueError("these FaceParams have no illumination")
        return dominant_direction(self.illumination)

    def with_light(
        self,
        direction: Sequence[float] | Tensor | None = None,
        strength: float | None = None,
        colour: Sequence[float] | Tensor | None = None,
        ambient: Sequence[float] | Tensor | None = None,
    ) -> FaceParams:
        """The face lit from another direction, or by another light.

        With ``direction`` alone the exposure and tint of the person's light stay and its linear band turns.
        With ``colour`` or ``ambient`` the light is built anew from a directional and an ambient part.

        Args:
            direction: toward the light in camera space (x right, y up, z toward the viewer), ``(3,)`` or ``(B, 3)``.
            strength: share of the light that is directional, 0 (ambient alone) to 1; 0.25 if not given.
            colour: RGB of the directional part, about 1 for a well-exposed picture.
            ambient: RGB of the ambient part.
        """
        given = {"direction": direction, "strength": strength, "colour": colour, "ambient": ambient}
        for name, value in given.items():
            check_finite(name, value)
        if direction is not None and bool((torch.as_tensor(direction).float().norm(dim=-1) == 0).any()):
            raise ValueError("direction is the zero vector; give a vector toward the light, for example (1, 0, 1)")
        if self.illumination is None:
            return self._with_pending("light", given)
        toward = self.light_direction() if direction is None else torch.as_tensor(direction).to(self.illumination)
        base = self.expand(max(len(self), toward.shape[0] if toward.ndim == 2 else 1))
        gamma = base.illumination
        assert gamma is not None
        toward = toward.expand(len(base), 3)
        if colour is not None or ambient is not None:
            constant = gamma[:, 0] * SH_CONSTANTS[0]
            colours = [
                constant * 0.5 if c is None else torch.as_tensor(c).to(gamma).expand(len(base), 3)
                for c in (colour, ambient)
            ]
            return base.with_blocks(illumination=light(toward, colours[0], colours[1]))
        share = DEFAULT_LIGHT_STRENGTH if strength is None else strength
        if not 0 <= share <= 1:
            raise ValueError(f"strength is {share}, expected a share between 0 and 1")
        return base.with_blocks(illumination=turn_light(gamma, toward, share))

    def _with_pending(self, kind: str, values: Mapping[str, object]) -> FaceParams:
        given = {name: value for name, value in values.items() if value is not None}
        merged = {**self.pending.get(kind, {}), **given}
        return dataclasses.replace(self, pending={**self.pending, kind: merged})

    # ---- in words ---------------------------------------------------------------------------------

    def __repr__(self) -> str:
        """Head of the batch, what is missing or pending, and in a line for each of the first faces what they hold."""
        count = len(self) if self.blocks else 0
        parts = [f"batch={count}"] if count else []
        missing = [name for name in BLOCKS if getattr(self, name) is None]
        parts += [f"without {', '.join(missing)}"] if missing else []
        for kind, values in self.pending.items():
            parts.append(f"pending {kind}({', '.join(f'{name}={_short(value)}' for name, value in values.items())})")
        head = f"FaceParams({'; '.join(parts)})"
        rows = [f"  [{index}] {line}" for index in range(min(count, SHOWN)) if (line := self._line(index))]
        more = [f"  … {count - SHOWN} more"] if rows and count > SHOWN else []
        return "\n".join([head, *rows, *more])

    def _line(self, index: int) -> str:
        """Degrees, named units that are not zero and the light of one face."""
        said, face = [], self[index].detach()
        if face.rotation is not None:
            yaw, pitch, roll = face.pose_degrees()[0].tolist()
            said.append(f"yaw {yaw:.1f}°, pitch {pitch:.1f}°, roll {roll:.1f}°")
        if face.expression is not None:
            named = zip(self.expression_names, face.expression[0].tolist(), strict=False)
            units = [f"{name} {value:.2f}" for name, value in named if _shows(name, value)]
            said.append(", ".join(units) or "expression at rest" if self.expression_names else "unnamed expression")
        if face.illumination is not None:
            said.append("light from ({:.2f}, {:.2f}, {:.2f})".format(*face.light_direction()[0].tolist()))
        return "; ".join(said)


def _shows(name: str, value: float) -> bool:
    return abs(value) >= 0.005 and not name.startswith("residual_")


def _short(value: object) -> str:
    return f"{value:g}" if isinstance(value, (int, float)) else str(value)
