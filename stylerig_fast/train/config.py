"""Presets: named sets of defaults. What is set by hand, other than to its default, wins over the preset."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any, TypeVar

C = TypeVar("C")


def with_preset(config: C, values: Mapping[str, Any]) -> C:
    """``config`` with the preset's ``values`` in the fields that still have their defaults."""
    changed = {
        field.name: values[field.name]
        for field in dataclasses.fields(config)  # type: ignore[arg-type]
        if field.name in values and getattr(config, field.name) == _default(field)
    }
    return dataclasses.replace(config, **changed)  # type: ignore[type-var]


def _default(field: dataclasses.Field[Any]) -> Any:
    return field.default if field.default_factory is dataclasses.MISSING else field.default_factory()
