"""Measurements made by hand, for tests of what is computed from them."""

from __future__ import annotations

import torch
from torch import Tensor

from stylerig_fast.measurement.lighting import FittedLight
from stylerig_fast.measurement.measurements import MEASURES, Measurements, MeshMeasures
from stylerig_fast.measurement.portrait_measures import REFERENCE_STD, PortraitStd

STD = PortraitStd(REFERENCE_STD["mobilestylegan-ffhq"], "test", 0.5)


def measurements(
    people: int = 6,
    *,
    seed: int = 0,
    undetected: tuple[int, ...] = (),
    descriptor: Tensor | None = None,
    changes: dict[str, float | Tensor] | None = None,
    mesh_changes: dict[str, float | Tensor] | None = None,
    light_changes: float = 0.0,
) -> Measurements:
    """Measures of the same people for the same seed, without glasses, changed by name.

    Args:
        people: how many.
        seed: of their measures.
        undetected: in whose pictures no face was found.
        descriptor: ``(people, D)``.
        changes: what is added to a measure. ``eye_opening`` is added to both eyes.
        mesh_changes: likewise, by the mesh.
        light_changes: what is added to the sideways direction of the fitted light.
    """
    rng = torch.Generator().manual_seed(seed)
    names = [*MEASURES, "luminance", *(f"mesh_{name}" for name in MeshMeasures.__dataclass_fields__)]
    values = dict(zip(names, (0.1 * torch.randn(len(names), people, generator=rng).double()).unbind(0), strict=True))
    values["glasses"] = torch.full((people,), -4.0).double()
    values["luminance"] = torch.ones(people).double()
    direction = 0.1 * torch.randn(people, 3, generator=rng).double()
    direction[:, 0] += light_changes
    for prefix, added in (("", changes or {}), ("mesh_", mesh_changes or {})):
        for name, change in added.items():
            for each in ("eye_opening_right", "eye_opening_left") if name == "eye_opening" else (name,):
                values[prefix + each] = values[prefix + each] + change
    detected = torch.ones(people, dtype=torch.bool)
    detected[list(undetected)] = False
    known = {name: torch.where(detected, value, torch.nan) for name, value in values.items()}
    mesh = MeshMeasures(**{name.removeprefix("mesh_"): known.pop(name) for name in names if name.startswith("mesh_")})
    if descriptor is not None:
        descriptor = torch.where(detected[:, None], descriptor, torch.nan)
    return Measurements(
        **known,
        detected=detected,
        landmarks=torch.zeros(people, 68, 2),
        fitted_light=FittedLight(direction, torch.zeros(people, 2).double()),
        by_mesh=mesh,
        descriptor=descriptor,
    )
