"""Plain-torch ``upsample_filter``."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from stylerig_fast.ops.reference.styled_epilogue import activate


def upsample_filter(
    x: Tensor,
    taps: Tensor,
    demodulation: Tensor,
    bias: Tensor,
    noise: Tensor | None,
    style: Tensor | None,
    clamp: float | None,
) -> Tensor:
    """See ``stylerig_fast.ops.upsample_filter``."""
    channels = x.shape[1]
    kernel = torch.outer(taps, taps).flip(0, 1).expand(channels, 1, 4, 4)
    y = activate(F.conv2d(x.float(), kernel, padding=1, groups=channels), demodulation, noise, bias, clamp)
    return (y if style is None else y * style[:, :, None, None]).to(x.dtype)
