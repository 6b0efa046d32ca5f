"""Portrait generators: one file per family, `load_pretrained` for those with weights to install."""

from __future__ import annotations

from stylerig_fast.generators.base import Generator
from stylerig_fast.generators.folder import load_generator, save_generator
from stylerig_fast.generators.mobilestylegan import MobileStyleGAN
from stylerig_fast.generators.pretrained import load_pretrained

__all__ = ["Generator", "MobileStyleGAN", "load_generator", "load_pretrained", "save_generator"]
