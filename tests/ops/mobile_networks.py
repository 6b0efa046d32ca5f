"""Small MobileStyleGANs with random weights, and the variants of the kernels that this machine has."""

from __future__ import annotations

import pytest
import torch

from stylerig_fast.generators import MobileStyleGAN
from stylerig_fast.ops.mobile_synthesis import machine_variants

MACHINE = machine_variants()
VARIANTS = [
    pytest.param(name, marks=[] if name in MACHINE else pytest.mark.skip(reason=f"this CPU has no {name}"))
    for name in ("portable", "avx2", "avx512", "avx512_bfloat16")
]
SHAPES = {
    "whole_groups": (64, 64, 32),
    "padded_bands": (20, 12, 24, 8),  # and odd panels
    "one_block": (16, 48),
    "strips": (64, 32, 16, 16, 16, 16),
    "deep": (16, 16, 16, 16, 16, 16, 16),  # several columns of strips, and blocks in one chain
}


def small(channels=SHAPES["whole_groups"], w_dim=40, seed=0):
    """Random weights; noise maps and biases are not zero either."""
    torch.manual_seed(seed)
    generator = MobileStyleGAN(channels=channels, w_dim=w_dim, mapping_layers=1, name="small")
    for name, value in generator.state_dict().items():
        if "noise" in name or "bias" in name:
            value.normal_().mul_(0.3)
        if "modulation.bias" in name or "up.bias" in name:
            value.add_(1)
    return generator.requires_grad_(False)


def codes(generator, batch=1, seed=1):
    draw = torch.Generator().manual_seed(seed)
    return torch.randn(batch, generator.num_ws, generator.w_dim, generator=draw)


def dtype_of(kernels):
    return torch.bfloat16 if kernels == "avx512_bfloat16" else torch.float32
