"""What stands between two 1x1 convolutions of MobileStyleGAN, in one pass over the activations. Inference only."""

from __future__ import annotations

import torch
from torch import Tensor

from stylerig_fast.ops import _library
from stylerig_fast.ops._checks import FLOAT32, PRECISIONS, Shapes, check_strides, refuse_gradients
from stylerig_fast.ops.reference import depthwise_layer as reference

_library.register_without_gradient("depthwise_layer")


def depthwise_layer(
    x: Tensor,
    bias: Tensor,
    weight: Tensor,
    style: Tensor,
    *,
    noise: Tensor | None = None,
    bands: Tensor | None = None,
    dtype: torch.dtype | None = None,
    impl: _library.Impl = "auto",
) -> Tensor:
    """Finishes the activations of a 1x1 convolution, and filters and scales them for the next one.

    ``depthwise 3x3(haar(lrelu(x + noise + bias) · bands)) · style`` with slope 0.2, all in float32; the filter sees
    zeros outside the picture. A style multiplies the input channels of a 1x1 convolution: here it costs nothing, and
    the weights of the convolution are the same for every picture.

    Args:
        x: ``(B, H, W, C)`` float32, bfloat16 or float16, contiguous; with ``bands`` ``(B, H, W, 4C)``.
        bias: ``(C,)`` or ``(4C,)`` float32.
        weight: ``(3, 3, C)`` float32, as correlated with the activations.
        style: ``(B, C)`` float32; rows may lie apart.
        noise: ``(H, W)`` float32, its strength in it.
        bands: ``(B, 4C)`` float32, scales of the bands, of which `inverse_haar` makes activations of twice the width
            and height; rows may lie apart. None if ``x`` holds no bands.
        dtype: of the result; that of ``x``, or any of the three if ``x`` is float32.
        impl: which implementation, see ``stylerig_fast.ops``; there is none for the CPU but plain torch.

    Returns:
        ``(B, H, W, C)``, with ``bands`` ``(B, 2H, 2W, C)``.

    Raises:
        ValueError: shapes, dtypes, devices or memory formats that do not fit.
        NotImplementedError: something requires a gradient; there is none.
    """
    op, shapes = "depthwise_layer", Shapes("depthwise_layer")
    channels: str | int = "C"
    if bands is not None:
        if x.ndim != 4 or x.shape[3] % 4:
            raise ValueError(f"{op}: x has shape {tuple(x.shape)}, with bands expected (B, H, W, 4C)")
        channels = x.shape[3] // 4
    shapes.check("x", x, ("B", "H", "W", "C"), PRECISIONS)
    shapes.check("bias", bias, ("C",), FLOAT32)
    shapes.check("weight", weight, (3, 3, channels), FLOAT32)
    shapes.check("style", style, ("B", channels), FLOAT32)
    if bands is not None:
        shapes.check("bands", bands, ("B", "C"), FLOAT32)
    if noise is not None:
        shapes.check("noise", noise, ("H", "W"), FLOAT32)
    check_strides(op, contiguous={"x": x, "bias": bias, "weight": weight, "noise": noise}, rows={"style": style})
    check_strides(op, rows={"bands": bands})
    dtype = x.dtype if dtype is None else dtype
    if dtype != x.dtype and (x.dtype != torch.float32 or dtype not in PRECISIONS):
        raise ValueError(f"{op}: dtype is {dtype}, of an x of {x.dtype} expected the same")
    refuse_gradients(op, x, bias, weight, style, bands)
    if _library.choose(op, impl, x.device) == "reference":
        return reference.depthwise_layer(x, bias, weight, style, noise, bands, dtype)
    scale = 1 if bands is None else 2
    batch, height, width = x.shape[:3]
    out = torch.empty(batch, scale * height, scale * width, weight.shape[2], dtype=dtype, device=x.device)
    torch.ops.stylerig.depthwise_layer(x, noise, bias, bands, weight, style, out)
    return out
