"""People of a session: their codes, what F sees in them, and pictures of them as a request asks."""

from __future__ import annotations

import base64
import binascii
import logging
import time
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from stylerig_fast.engine.edit_request import as_request
from stylerig_fast.engine.reach import ReachWarning
from stylerig_fast.images import luminance
from stylerig_fast.params import FaceParams
from stylerig_fast.studio.engine_protocol import EngineLike
from stylerig_fast.studio.protocol import EditFields, Malformed

# Codes of real people are within a few units; beyond this the networks overflow.
LARGEST_CODE = 1e3
log = logging.getLogger(__name__)


@dataclass(frozen=True, eq=False)
class Person:
    """Somebody in a session's gallery.

    Attributes:
        id: "p1", "p2", ...; never given twice in a session.
        label: for people to read.
        recipe: the message that made the person.
        w: ``(1, num_ws, w_dim)``; always the same tensor, by which the Engine remembers what F sees in it.
        params: what F sees, on the CPU.
    """

    id: str
    label: str
    recipe: dict[str, Any]
    w: Tensor
    params: FaceParams

    def describe(self) -> dict[str, object]:
        """The person as the page knows them."""
        return {"id": self.id, "label": self.label, "recipe": self.recipe, "params": describe_params(self.params)}


@dataclass
class DrawnPicture:
    """A picture and how it came about.

    Attributes:
        picture: ``(H, W, 3)`` uint8.
        render_ms: the Engine's time.
        warnings: what the request asks beyond the generator's reach.
    """

    picture: NDArray[np.uint8]
    render_ms: float
    warnings: list[str] = field(default_factory=list)


def describe_params(params: FaceParams) -> dict[str, object]:
    """One face's parameters as JSON holds them."""
    described: dict[str, object] = {name: block[0].tolist() for name, block in params.blocks.items()}
    yaw, pitch, roll = params.pose_degrees()[0].tolist()
    described["pose"] = {"yaw": yaw, "pitch": pitch, "roll": roll}
    assert params.illumination is not None
    direction = params.light_direction()[0].tolist()
    described["light"] = {"direction": direction, "strength": light_strength(params.illumination)}
    return described


def light_strength(illumination: Tensor) -> float:
    """The share of the light ``(1, 9, 3)`` that is directional: what `turn_light` would make its linear band from."""
    constant, *linear = luminance(illumination[0, :4]).tolist()
    length = float(np.hypot(np.hypot(linear[0], linear[1]), linear[2]))
    return min(length / (2 / 3**0.5 * constant), 1.0) if constant > 1e-6 else 1.0


def as_params(request: EditFields) -> FaceParams:
    """The request as partial FaceParams."""
    given = request.model_dump(exclude_none=True)
    params = as_request(given.get("pose"), given.get("expression"), given.get("light"))
    if request.illumination is not None:
        params = params.with_blocks(illumination=torch.tensor([request.illumination]))
    return params


def draw(engine: EngineLike, person: Person, request: EditFields, size: int) -> DrawnPicture:
    """A picture of a person; runs on the Engine's thread."""
    params, said = as_params(request), list[str]()
    start = time.perf_counter()
    with _reach_warnings(said):
        pictures = engine.edit(person.w, params, resolution=size)
    return DrawnPicture(pictures[0], 1e3 * (time.perf_counter() - start), said)


def draw_unedited(engine: EngineLike, person: Person, size: int) -> DrawnPicture:
    """A person's own picture; runs on the Engine's thread."""
    start = time.perf_counter()
    pictures = engine.render(person.w, resolution=size)
    return DrawnPicture(pictures[0], 1e3 * (time.perf_counter() - start))


def code_from_text(text: str, num_ws: int, w_dim: int) -> Tensor:
    """A code ``(1, num_ws, w_dim)`` from base64 of little-endian float32; Malformed where it is none."""
    try:
        content = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        raise Malformed("latent: not base64") from None
    if len(content) != 4 * num_ws * w_dim:
        raise Malformed(
            f"latent: {len(content)} bytes, expected {4 * num_ws * w_dim}: {num_ws} x {w_dim} little-endian float32; "
            "is it of another generator?"
        )
    code = np.frombuffer(content, "<f4").reshape(1, num_ws, w_dim).astype(np.float32)
    if not np.isfinite(code).all() or np.abs(code).max() > LARGEST_CODE:
        raise Malformed(f"latent: holds values that are not finite or beyond {LARGEST_CODE:g}")
    return torch.from_numpy(code)


def text_of_code(w: Tensor) -> str:
    """The inverse of `code_from_text`."""
    return base64.b64encode(w.detach().cpu().numpy().astype("<f4").tobytes()).decode()


_logged: set[str] = set()


@contextmanager
def _reach_warnings(said: list[str]) -> Iterator[None]:
    """Collects what the Engine warns of; python's warnings are process-wide, but only the Engine's thread does this.

    Others that come by meanwhile are logged, each once.
    """
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", ReachWarning)
        yield
    for warning in caught:
        text = str(warning.message)
        if issubclass(warning.category, ReachWarning):
            said.append(text.split("; the edit may fall short")[0])
        elif text not in _logged and len(_logged) < 1000:
            _logged.add(text)
            log.warning("%s", text)
