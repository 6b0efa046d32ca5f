"""What stands between two convolutions of StyleGAN2, in one pass over the activations. Inference only."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from stylerig_fast.images import copy_picture
from stylerig_fast.ops import _library
from stylerig_fast.ops._checks import FLOAT32, PRECISIONS, Shapes, check_strides, refuse_gradients
from stylerig_fast.ops.reference import styled_epilogue as reference
from stylerig_fast.ops.reference.styled_epilogue import ToRgb


def styled_epilogue(
    x: Tensor,
    demodulation: Tensor,
    bias: Tensor,
    *,
    noise: Tensor | None = None,
    style: Tensor | None = None,
    clamp: float | None = None,
    out: Tensor | None = None,
    rgb: ToRgb | None = None,
    image: Tensor | None = None,
    impl: _library.Impl = "auto",
) -> None:
    """Finishes the activations of a convolution and makes their picture, both in one pass.

    ``a = clamp(lrelu(x · demodulation + noise + bias))`` in float32, with slope 0.2;
    ``out = a · style``, what the next convolution reads;
    ``image = clamp(weight · a + bias of the picture) + doubled skip``.

    Since the picture is made while the activations are at hand, they are never read for it; behind the last layer, they
    need not be written at all.

    Args:
        x: ``(B, C, H, W)`` float32, bfloat16 or float16; channels-last is not copied.
        demodulation: ``(B, C)`` float32; rows may lie apart.
        bias: ``(C,)`` float32.
        noise: ``(H, W)`` float32, its strength in it.
        style: ``(B, C)`` float32, of the next layer; rows may lie apart.
        clamp: activations and the convolution's part of the picture are cut off at ± this.
        out: ``(B, C, H, W)`` channels-last in the dtype of ``x``, to write to; may be ``x`` itself.
        rgb: what makes the picture.
        image: ``(B, H, W, 3)`` contiguous, to write to: float32, or uint8 for ``(image + 1) · 127.5`` rounded and
            clamped.
        impl: which implementation, see ``stylerig_fast.ops``.

    Raises:
        ValueError: shapes, dtypes, devices or memory formats that do not fit, or ``rgb`` without ``image``.
        NotImplementedError: something requires a gradient; there is none.
    """
    op = "styled_epilogue"
    shapes = check_styled(op, x, ("B", "C", "H", "W"), demodulation, bias, noise, style, clamp)
    if out is not None:
        check_out(shapes, out, ("B", "C", "H", "W"), x.dtype)
    if (rgb is None) != (image is None):
        raise ValueError(f"{op}: rgb and image belong together, found only {'image' if rgb is None else 'rgb'}")
    taps = _check_rgb(shapes, rgb, image)
    refuse_gradients(op, x, demodulation, bias, style, *(() if rgb is None else rgb))
    if _library.choose(op, impl, x.device) != "reference":
        torch.ops.stylerig.styled_epilogue(
            pixels(x),
            demodulation,
            noise,
            bias,
            style,
            None if rgb is None else rgb.weight,
            None if rgb is None else rgb.bias,
            None if rgb is None else rgb.skip,
            bias.new_empty(4) if taps is None else taps,
            math.inf if clamp is None else clamp,
            None if out is None else out.permute(0, 2, 3, 1),
            image,
        )
        return
    y, picture = reference.styled_epilogue(x, demodulation, bias, noise, style, clamp, rgb)
    if out is not None:
        out.copy_(y)
    if image is not None:
        assert picture is not None
        copy_picture(picture, image)


def check_styled(
    op: str,
    x: Tensor,
    shape: tuple[str | int, ...],
    demodulation: Tensor,
    bias: Tensor,
    noise: Tensor | None,
    style: Tensor | None,
    clamp: float | None,
) -> Shapes:
    """Checks the arguments that this op and `upsample_filter` have in common.

    Args:
        op: in messages.
        x: activations.
        shape: expected of ``x``, as `Shapes.check` takes it.
        demodulation: ``(B, C)``.
        bias: ``(C,)``.
        noise: ``(H, W)`` or None.
        style: ``(B, C)`` or None.
        clamp: a positive number or None.

    Returns:
        The sizes found, for further checks.

    Raises:
        ValueError: one does not fit.
    """
    shapes = Shapes(op)
    shapes.check("x", x, shape, PRECISIONS)
    shapes.check("demodulation", demodulation, ("B", "C"), FLOAT32)
    shapes.check("bias", bias, ("C",), FLOAT32)
    if noise is not None:
        shapes.check("noise", noise, ("H", "W"), FLOAT32)
    if style is not None:
        shapes.check("style", style, ("B", "C"), FLOAT32)
    if clamp is not None and not clamp > 0:
        raise ValueError(f"{op}: clamp is {clamp}, expected a positive number or None")
    check_strides(op, contiguous={"bias": bias, "noise": noise}, rows={"demodulation": demodulation, "style": style})
    return shapes


def check_out(shapes: Shapes, out: Tensor, shape: tuple[str | int, ...], dtype: torch.dtype) -> None:
    """Raises ``ValueError`` unless ``out`` has that shape and dtype and is channels-last."""
    shapes.check("out", out, shape, (dtype,))
    if not out.permute(0, 2, 3, 1).is_contiguous():
        raise ValueError(f"{shapes.op}: out has strides {out.stride()}, expected memory_format=torch.channels_last")


def pixels(x: Tensor) -> Tensor:
    """``(B, C, H, W)`` as the kernels read it: ``(B, H, W, C)``, copied unless it is channels-last."""
    return x.permute(0, 2, 3, 1).contiguous()


def _check_rgb(shapes: Shapes, rgb: ToRgb | None, image: Tensor | None) -> Tensor | None:
    """Checks what makes the picture and where it goes; returns the taps of the doubling."""
    if rgb is None or image is None:
        return None
    sizes = shapes.sizes
    shapes.check("rgb.weight", rgb.weight, ("B", 3, "C"), FLOAT32)
    shapes.check("rgb.bias", rgb.bias, (3,), FLOAT32)
    shapes.check("rgb.taps", rgb.taps, (4,), FLOAT32)
    shapes.check("image", image, ("B", "H", "W", 3), (torch.float32, torch.uint8))
    if rgb.skip is not None:
        if sizes["H"] % 2 or sizes["W"] % 2:
            raise ValueError(
                f"{shapes.op}: x has {sizes['H']} x {sizes['W']} pixels, with a skip expected even numbers"
            )
        shapes.check("rgb.skip", rgb.skip, ("B", sizes["H"] // 2, sizes["W"] // 2, 3), FLOAT32)
    contiguous = {"rgb.skip": rgb.skip, "rgb.bias": rgb.bias, "rgb.taps": rgb.taps, "image": image}
    check_strides(shapes.op, contiguous=contiguous)
    if rgb.weight.shape[2] > 1 and rgb.weight.stride(2) != 1:
        raise ValueError(f"{shapes.op}: rgb.weight has strides {rgb.weight.stride()}, expected contiguous rows")
    return rgb.taps
