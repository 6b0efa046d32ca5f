"""The Engine: what applications use to sample, reconstruct and edit."""

from stylerig_fast.engine.engine import Engine, Mesh

__all__ = ["Engine", "Mesh"]
