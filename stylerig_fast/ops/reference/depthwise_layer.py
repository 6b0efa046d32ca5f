"""Plain-torch ``depthwise_layer``."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from stylerig_fast.ops.reference.synthesis import SLOPE, inverse_haar


def finish(x: Tensor, noise: Tensor | None, bias: Tensor) -> Tensor:
    """Leaky ReLU of ``x (B, H, W, C)`` + ``noise (H, W)`` + ``bias (C,)``, in the dtype of ``bias``."""
    x = x.to(bias.dtype)
    x = (x if noise is None else x + noise[:, :, None]) + bias
    return F.leaky_relu(x, SLOPE)


def depthwise_layer(
    x: Tensor,
    bias: Tensor,
    weight: Tensor,
    style: Tensor,
    noise: Tensor | None,
    bands: Tensor | None,
    dtype: torch.dtype,
) -> Tensor:
    """See ``stylerig_fast.ops.depthwise_layer``."""
    y = finish(x, noise, bias)
    if bands is not None:
        y = inverse_haar(y * bands[:, None, None])
    kernel = weight.permute(2, 0, 1)[:, None]
    y = F.conv2d(y.permute(0, 3, 1, 2), kernel, padding=1, groups=len(kernel)).permute(0, 2, 3, 1)
    return (y * style[:, None, None]).to(dtype).contiguous()
