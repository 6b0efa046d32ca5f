"""The Engine: what applications use to sample, reconstruct and edit."""

from stylerig_fast.engine.engine import Engine
from stylerig_fast.engine.mesh import Mesh

__all__ = ["Engine", "Mesh"]
