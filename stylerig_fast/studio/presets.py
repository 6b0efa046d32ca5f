"""Expressions under everyday names, in ARKit units."""

from __future__ import annotations

from collections.abc import Collection, Mapping

# Sided units are written once; both sides are meant.
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
    return {unit + side: value for unit, value in units.items() for side in ("", "Left", "Right")}
