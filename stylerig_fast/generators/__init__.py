"""Portrait generators, one file per family; `open_generator` takes a folder, or a name with weights to install."""

from __future__ import annotations

from stylerig_fast.generators.base import Generator
from stylerig_fast.generators.folder import load_generator, save_generator
from stylerig_fast.generators.mobilestylegan import MobileStyleGAN
from stylerig_fast.generators.pretrained import load_pretrained, open_generator
from stylerig_fast.generators.stylegan1 import StyleGAN1
from stylerig_fast.generators.stylegan2 import StyleGAN2
from stylerig_fast.generators.stylegan3 import StyleGAN3

__all__ = [
    "Generator",
    "MobileStyleGAN",
    "StyleGAN1",
    "StyleGAN2",
    "StyleGAN3",
    "load_generator",
    "load_pretrained",
    "open_generator",
    "save_generator",
]
