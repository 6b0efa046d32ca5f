"""What the page must know before it draws its controls: of the Engine, presets, and the face model as one file."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

import torch
from safetensors.torch import save

from stylerig_fast import __version__
from stylerig_fast.engine.reach import ANGLES, Reach
from stylerig_fast.face import FaceModel
from stylerig_fast.face.units import SIDES, mirrored_name, side_of
from stylerig_fast.params import DEFAULT_LIGHT_STRENGTH
from stylerig_fast.studio import video
from stylerig_fast.studio.engine_protocol import EngineLike
from stylerig_fast.studio.limits import StudioLimits

SMALLEST = 64
# Of a picture that is looked at while a slider moves.
PREVIEW = 256
GROUPS = {
    "brow": "brows",
    "eye": "eyes",
    "cheek": "cheeks",
    "jaw": "jaw",
    "mouth": "mouth",
    "nose": "nose",
    "tongue": "tongue",
}
# To the side, not on a side: their other is not their mirror image to move along with.
SIDEWAYS = ("jawLeft", "jawRight", "mouthLeft", "mouthRight")
RESIDUAL_RANGE = (-3.0, 3.0)

# Expressions under everyday names, in ARKit units. Sided units are written once; both sides are meant.
_SIDED = {
    "smile": {"mouthSmile": 0.8, "cheekSquint": 0.4, "eyeSquint": 0.2},
    "laugh": {"mouthSmile": 0.9, "jawOpen": 0.45, "cheekSquint": 0.6, "eyeSquint": 0.4},
    "surprise": {"jawOpen": 0.5, "browInnerUp": 0.8, "browOuterUp": 0.7, "eyeWide": 0.7},
    "sad": {"mouthFrown": 0.7, "browInnerUp": 0.6, "mouthShrugLower": 0.3},
    "angry": {"browDown": 0.8, "mouthPress": 0.5, "noseSneer": 0.4, "eyeSquint": 0.3},
    "disgust": {"noseSneer": 0.8, "mouthUpperUp": 0.5, "browDown": 0.4},
    "blink": {"eyeBlink": 1.0},
    "kiss": {"mouthPucker": 0.8, "mouthFunnel": 0.2},
    "open mouth": {"jawOpen": 0.6},
}
_ONE_SIDE = {"wink": {"eyeBlinkLeft": 1.0, "mouthSmileLeft": 0.4, "cheekSquintLeft": 0.4}}


def describe(engine: EngineLike, limits: StudioLimits, preview: int | None = None) -> dict[str, object]:
    """The answer to ``GET /api/studio``; ``docs/studio.md`` lists its fields.

    Args:
        engine: what draws.
        limits: of the studio.
        preview: size while dragging; by default 256, and the full size on a GPU.

    Raises:
        ValueError: the Engine cannot make pictures of the preview's size.
    """
    info, sizes = engine.info(), sizes_of(engine)
    full = sizes[-1]
    if preview is None:
        preview = full if engine.device.type == "cuda" else min(PREVIEW, full)
    if preview not in sizes:
        raise ValueError(f"preview size is {preview}, expected one of {', '.join(map(str, sizes))}")
    names = engine.face_model.expression_names
    return {
        "version": __version__,
        "generator": engine.generator.name,
        "num_ws": engine.generator.num_ws,
        "w_dim": engine.generator.w_dim,
        "resolution": engine.generator.resolution,
        "sizes": sizes,
        "preview_size": preview,
        "full_size": full,
        "backend": info.get("backend", "unknown"),
        "device": str(engine.device),
        "dtype": info.get("dtype", "float32"),
        "expressions": describe_units(names, engine.reach),
        "reach": None
        if engine.reach is None
        else {"angles": {name: list(engine.reach.angles[name]) for name in ANGLES}},
        "presets": {"expressions": presets_for(names)},
        "limits": {
            "people": limits.people,
            "frames": limits.frames,
            "message_bytes": limits.message_bytes,
            "grid": limits.grid,
        },
        "focal": engine.camera.focal,
        "default_light_strength": DEFAULT_LIGHT_STRENGTH,
        "formats": {"video": video.formats()},
    }


def sizes_of(engine: EngineLike) -> list[int]:
    """Sides of the pictures on offer, ascending: the Engine's own, its half, quarter, … down to 64."""
    sizes = [engine.resolution]
    while sizes[-1] % 2 == 0 and sizes[-1] // 2 >= SMALLEST:
        sizes.append(sizes[-1] // 2)
    return sizes[::-1]


def describe_units(names: Sequence[str], reach: Reach | None) -> list[dict[str, object]]:
    """Name, label, group, side, mirror and range of each expression coefficient, in the model's order."""
    return [_describe_unit(name, names, reach) for name in names]


def _describe_unit(name: str, names: Sequence[str], reach: Reach | None) -> dict[str, object]:
    residual = name.startswith("residual_")
    prefix = next((start for start in GROUPS if name.startswith(start)), "")
    side = "" if name in SIDEWAYS else side_of(name)
    mirror = mirrored_name(name) if side else ""
    low, high = RESIDUAL_RANGE if residual else (0.0, 1.0)
    reached = None if reach is None else reach.expression.get(name, None if residual else (0.0, 1.0))
    return {
        "name": name,
        "label": _label(name[len(prefix) : len(name) - len(side)] or name),
        "group": GROUPS.get(prefix, "other"),
        "side": side.lower() or "both",
        "mirror": mirror if mirror in names else None,
        "low": low,
        "high": high,
        "reach": None if reached is None else list(reached),
    }


def _label(name: str) -> str:
    """``LookIn`` to ``Look in``, ``residual_03`` to ``Residual 03``."""
    words = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", " ", name).replace("_", " ").strip().lower()
    return words[:1].upper() + words[1:]


def presets_for(names: Collection[str]) -> dict[str, Mapping[str, float]]:
    """The presets that a face model with these expression names can show, without the units that it lacks."""
    presets: dict[str, Mapping[str, float]] = {}
    for preset, units in {**_SIDED, **_ONE_SIDE}.items():
        there = {unit: value for unit, value in _sides(units).items() if unit in names}
        # The first unit is what the preset is about.
        if any(unit in there for unit in _sides(dict([next(iter(units.items()))]))):
            presets[preset] = there
    return presets


def _sides(units: Mapping[str, float]) -> dict[str, float]:
    """Each unit, and its left and right ones; those that no model has are sorted out later."""
    return {unit + side: value for unit, value in units.items() for side in ("", *SIDES)}


@dataclass(frozen=True)
class FaceFile:
    """Bytes and what a browser remembers them by.

    Attributes:
        content: safetensors: mean, albedo_mean float32; identity, expression, albedo float16; triangles, landmarks
            int32. Decimetres; RGB in [0, 1]. ``expression_names`` is JSON in the metadata.
        etag: of the content.
    """

    content: bytes
    etag: str


def face_file(model: FaceModel) -> FaceFile:
    """The face model as the studio's page loads it."""
    halves = {name: getattr(model, name).half() for name in ("identity", "expression", "albedo")}
    whole = {name: getattr(model, name).float() for name in ("mean", "albedo_mean")}
    indices = {name: getattr(model, name).to(torch.int32) for name in ("triangles", "landmarks")}
    tensors = {name: value.detach().cpu().contiguous() for name, value in {**whole, **halves, **indices}.items()}
    content = save(tensors, {"expression_names": json.dumps(list(model.expression_names)), "name": model.name})
    return FaceFile(content, f'"{hashlib.sha256(content).hexdigest()[:32]}"')
