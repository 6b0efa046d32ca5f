"""Synthesis networks packed once for a device and a precision, which draw with compiled ops. Inference only.

::

    MobileSynthesis(generator, dtype=float32, *, threads=None, kernels="auto", impl="auto")
        MobileStyleGAN on the CPU: one op per picture; dtype may be bfloat16 where the CPU has its dot products.
    MobileCudaSynthesis(generator, dtype=float32, *, impl="auto")
        MobileStyleGAN on CUDA: torch's matrix products, and one op between two of them.
    StyleGAN2Synthesis(generator, dtype=float32, *, impl="auto")
        StyleGAN2 on the CPU or CUDA: torch's convolutions, and one op between two of them.

    .pictures(ws (B,num_ws,w_dim), resolution=None, *, preview=False, out=None) -> (B,R,R,3) uint8
    .synthesis(ws, resolution=None, *, preview=False) -> (B,3,R,R) float32
        of all three. `preview` is for StyleGAN2, whose resolutions below the last have pictures of their own.
"""

from __future__ import annotations

from stylerig_fast.generators.compiled.mobilestylegan import MobileSynthesis
from stylerig_fast.generators.compiled.mobilestylegan_cuda import MobileCudaSynthesis
from stylerig_fast.generators.compiled.stylegan2 import StyleGAN2Synthesis

__all__ = ["MobileCudaSynthesis", "MobileSynthesis", "StyleGAN2Synthesis"]
