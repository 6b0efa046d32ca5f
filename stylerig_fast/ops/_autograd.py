"""Shapes for tracing and gradients of the compiled operations."""

from __future__ import annotations


def register() -> None:
    """Registers them with torch; called once, after the library was loaded."""
