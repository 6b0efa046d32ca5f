"""Plain-torch ``picture_layer``."""

from __future__ import annotations

from torch import Tensor
from torch.nn import functional as F

from stylerig_fast.ops.reference.depthwise_layer import finish


def picture_layer(
    x: Tensor, bias: Tensor, style: Tensor, weight: Tensor, final_bias: Tensor, noise: Tensor | None
) -> Tensor:
    """See ``stylerig_fast.ops.picture_layer``; the picture in the dtype of ``bias``."""
    y = F.linear(finish(x, noise, bias) * style[:, None, None], weight, final_bias)
    if len(weight) == 3:
        return y
    batch, height, width, _ = y.shape
    return y.view(batch, height, width, 2, 2, 3).transpose(2, 3).reshape(batch, 2 * height, 2 * width, 3)
