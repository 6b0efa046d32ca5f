"""The messages between page and server: strict, bounded, and refused with a sentence that names the field.

``docs/studio.md`` describes them. Degrees are within ±180, expression units within ±10, light coefficients within ±100.
"""

from __future__ import annotations

import json
import struct
from typing import Annotated, Any, Literal, TypeVar

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    FiniteFloat,
    StringConstraints,
    TypeAdapter,
    ValidationError,
    model_validator,
)

PROTOCOL = 1
MAGIC = b"SRF1"
# The largest integer that a page's numbers hold exactly.
MAX_INTEGER = 2**53 - 1

Degrees = Annotated[FiniteFloat, Field(ge=-180, le=180)]
Unit = Annotated[FiniteFloat, Field(ge=-10, le=10)]
Gamma = Annotated[FiniteFloat, Field(ge=-100, le=100)]
Coordinate = Annotated[FiniteFloat, Field(ge=-1000, le=1000)]
Channel = Annotated[FiniteFloat, Field(ge=0, le=10)]
UnitName = Annotated[str, StringConstraints(max_length=64)]
PersonId = Annotated[str, StringConstraints(pattern=r"^p[0-9]{1,9}$")]
Label = Annotated[str, StringConstraints(min_length=1, max_length=80)]
Count = Annotated[int, Field(ge=0, le=MAX_INTEGER)]
Size = Annotated[int, Field(ge=1, le=8192)]
PictureFormat = Literal["jpeg", "webp", "png"]
VideoFormat = Literal["gif", "mp4"]
RGB = tuple[Channel, Channel, Channel]


class Message(BaseModel):
    """JSON types as they are, no unknown keys, no infinities."""

    model_config = ConfigDict(strict=True, extra="forbid", allow_inf_nan=False)


class PoseMessage(Message):
    """Absolute angles; what is absent stays the person's own."""

    yaw: Degrees | None = None
    pitch: Degrees | None = None
    roll: Degrees | None = None


class LightMessage(Message):
    """Arguments of `FaceParams.with_light`."""

    direction: tuple[Coordinate, Coordinate, Coordinate] | None = None
    strength: Annotated[FiniteFloat, Field(ge=0, le=1)] | None = None
    colour: RGB | None = None
    ambient: RGB | None = None

    @model_validator(mode="after")
    def _points_somewhere(self) -> LightMessage:
        if self.direction is not None and sum(value * value for value in self.direction) < 1e-12:
            raise ValueError("direction is the zero vector; give one toward the light, for example [1, 0, 1]")
        return self


class EditFields(Message):
    """What a portrait is asked to show; an absent part stays the person's own.

    Attributes:
        pose: degrees.
        expression: coefficients by name, ``residual_NN`` included.
        light: another direction, strength or colour.
        illumination: nine bands of RGB, the light itself in place of ``light``.
    """

    pose: PoseMessage | None = None
    expression: Annotated[dict[UnitName, Unit], Field(max_length=256)] | None = None
    light: LightMessage | None = None
    illumination: Annotated[list[tuple[Gamma, Gamma, Gamma]], Field(min_length=9, max_length=9)] | None = None

    @model_validator(mode="after")
    def _one_light(self) -> EditFields:
        if self.illumination is not None and self.light is not None:
            raise ValueError("light and illumination exclude each other; send one of them")
        return self


# ---- live -----------------------------------------------------------------------------------------


class PictureMessage(Message):
    """Which request is to be seen how."""

    request: EditFields = Field(default_factory=EditFields)
    size: Size
    format: PictureFormat = "jpeg"
    quality: Annotated[int, Field(ge=1, le=100)] = 85


class EditMessage(PictureMessage):
    """The newest state of a client's controls; it replaces an older one that waits."""

    type: Literal["edit"]
    id: Count
    person: PersonId


class Shown(Message):
    """The frame of that id, and all before it, are on the screen."""

    type: Literal["shown"]
    id: Count


class Ping(Message):
    """Answered at once with the same time."""

    type: Literal["ping"]
    time: FiniteFloat


LIVE: TypeAdapter[EditMessage | Shown | Ping] = TypeAdapter(
    Annotated[EditMessage | Shown | Ping, Field(discriminator="type")]
)


# ---- people ---------------------------------------------------------------------------------------


class FromSeed(Message):
    """A random person."""

    seed: Count
    psi: Annotated[FiniteFloat, Field(ge=-2, le=2)] = 0.7
    label: Label | None = None


class Mixture(Message):
    """Whose code, and which slots of it come from whom."""

    person: PersonId
    source: PersonId
    slots: Annotated[list[Annotated[int, Field(ge=0, le=255)]], Field(max_length=256)]


class FromMix(Message):
    """Style mixing."""

    mix: Mixture
    label: Label | None = None


class FromLatent(Message):
    """A code that was saved: base64 of little-endian float32, ``num_ws * 512`` of them."""

    latent: Annotated[str, StringConstraints(max_length=512 << 10)]
    label: Label | None = None


Recipe = FromSeed | FromMix | FromLatent
RECIPES: dict[str, TypeAdapter[Any]] = {
    "seed": TypeAdapter(FromSeed),
    "mix": TypeAdapter(FromMix),
    "latent": TypeAdapter(FromLatent),
}
PICTURE: TypeAdapter[PictureMessage] = TypeAdapter(PictureMessage)


class FrameMessage(Message):
    """One picture of an animation."""

    person: PersonId
    request: EditFields = Field(default_factory=EditFields)


class NewExport(Message):
    """An animation as a file."""

    frames: Annotated[list[FrameMessage], Field(min_length=1)]
    fps: Annotated[FiniteFloat, Field(ge=1, le=60)] = 24.0
    size: Size
    format: VideoFormat


EXPORT: TypeAdapter[NewExport] = TypeAdapter(NewExport)

T = TypeVar("T")


class Malformed(ValueError):
    """A message that is not what it should be; the text is for the client."""


def parse(adapter: TypeAdapter[T], text: str | bytes) -> T:
    """The message in ``text``; Malformed says which field is wrong and how."""
    try:
        return adapter.validate_json(text)
    except ValidationError as error:
        raise Malformed(_sentence(error)) from None


def parse_recipe(text: bytes) -> Recipe:
    """The body that makes a person: exactly one of seed, mix and latent."""
    try:
        keys = json.loads(text)
    except (ValueError, RecursionError):
        raise Malformed("the body is not JSON") from None
    kinds = [kind for kind in RECIPES if isinstance(keys, dict) and kind in keys]
    if len(kinds) != 1:
        raise Malformed("a person is made from one of seed, mix and latent")
    recipe: Recipe = parse(RECIPES[kinds[0]], text)
    return recipe


def id_of(text: str | bytes) -> int | None:
    """The id of a message that is wrong in other ways, for the reply; None where there is none."""
    try:
        found = json.loads(text)
    except (ValueError, RecursionError):
        return None
    number = found.get("id") if isinstance(found, dict) else None
    return number if isinstance(number, int) and not isinstance(number, bool) and 0 <= number <= MAX_INTEGER else None


def pack_frame(header: dict[str, object], picture: bytes) -> bytes:
    """A binary frame: magic, length of the header (uint32, little-endian), header (JSON), picture."""
    text = json.dumps(header, separators=(",", ":")).encode()
    return b"".join((MAGIC, struct.pack("<I", len(text)), text, picture))


def _sentence(error: ValidationError) -> str:
    """The first mistake in words; what the client sent is not repeated."""
    details = error.errors(include_url=False, include_input=False, include_context=False)
    first = details[0]
    where = ".".join(str(part) for part in first["loc"])[:120]
    more = f" (and {len(details) - 1} more)" if len(details) > 1 else ""
    message = first["msg"].removeprefix("Value error, ")[:200]
    return f"{where}: {message}{more}" if where else f"{message}{more}"
