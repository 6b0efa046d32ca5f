"""MobileStyleGAN's last layer: the picture of the activations, in one pass over them. Inference only."""

from __future__ import annotations

import torch
from torch import Tensor

from stylerig_fast.images import copy_picture
from stylerig_fast.ops import _library
from stylerig_fast.ops._checks import FLOAT32, PRECISIONS, Shapes, check_strides, refuse_gradients
from stylerig_fast.ops.reference import picture_layer as reference

_library.register_without_gradient("picture_layer")


def picture_layer(
    x: Tensor,
    bias: Tensor,
    style: Tensor,
    weight: Tensor,
    final_bias: Tensor,
    picture: Tensor,
    *,
    noise: Tensor | None = None,
    impl: _library.Impl = "auto",
) -> None:
    """Finishes the activations of the last 1x1 convolution and makes the picture of them.

    ``weight · (lrelu(x + noise + bias) · style) + final_bias`` with slope 0.2, all in float32. The inverse Haar
    transform of the picture's bands is linear: it is in ``weight`` and ``final_bias``.

    Args:
        x: ``(B, H, W, C)`` float32, bfloat16 or float16, contiguous.
        bias: ``(C,)`` float32.
        style: ``(B, C)`` float32; rows may lie apart.
        weight: ``(12, C)`` float32: three colours of each of the pixels that one pixel of ``x`` becomes, upper left,
            upper right, lower left, lower right; or ``(3, C)`` for one pixel.
        final_bias: ``(12,)`` or ``(3,)`` float32.
        picture: ``(B, 2H, 2W, 3)``, or ``(B, H, W, 3)`` of one pixel each, contiguous, to write to: float32, or uint8
            for ``(picture + 1) · 127.5`` rounded and clamped, NaN as 0.
        noise: ``(H, W)`` float32, its strength in it.
        impl: which implementation, see ``stylerig_fast.ops``; there is none for the CPU but plain torch.

    Raises:
        ValueError: shapes, dtypes, devices or memory formats that do not fit.
        NotImplementedError: something requires a gradient; there is none.
    """
    op, shapes = "picture_layer", Shapes("picture_layer")
    shapes.check("x", x, ("B", "H", "W", "C"), PRECISIONS)
    shapes.check("bias", bias, ("C",), FLOAT32)
    shapes.check("style", style, ("B", "C"), FLOAT32)
    shapes.check("weight", weight, (3 if weight.shape[:1] == (3,) else 12, "C"), FLOAT32)
    shapes.check("final_bias", final_bias, (len(weight),), FLOAT32)
    scale = 1 if len(weight) == 3 else 2
    batch, height, width = x.shape[:3]
    shapes.check("picture", picture, (batch, scale * height, scale * width, 3), (torch.float32, torch.uint8))
    if noise is not None:
        shapes.check("noise", noise, ("H", "W"), FLOAT32)
    tensors = {"x": x, "bias": bias, "weight": weight, "final_bias": final_bias, "picture": picture, "noise": noise}
    check_strides(op, contiguous=tensors, rows={"style": style})
    refuse_gradients(op, x, bias, style, weight, final_bias)
    if _library.choose(op, impl, x.device) != "reference":
        torch.ops.stylerig.picture_layer(x, noise, bias, style, weight, final_bias, picture)
        return
    made = reference.picture_layer(x, bias, style, weight, final_bias, noise)
    copy_picture(made, picture)
