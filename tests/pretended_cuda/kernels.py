"""The project's ops on the pretended device: the CPU's kernels, and plain torch for those that only CUDA has."""

from __future__ import annotations

import torch
from torch import Tensor

from stylerig_fast.images import copy_picture
from stylerig_fast.ops import _library
from stylerig_fast.ops.reference import depthwise_layer, picture_layer

from .runtime import Properties
from .waits import ROOT


def claim() -> None:
    """Every op with a CUDA source is called as if the library had been built for this very GPU."""
    _plain_torch()
    library = _library.library()
    library.kernels |= {(source.parent.name, "cuda") for source in (ROOT / "csrc").glob("*/*_cuda.cu")}
    library.architectures = (f"{Properties.major}.{Properties.minor}",)


def _plain_torch() -> None:
    @torch.library.impl("stylerig::depthwise_layer", "CPU")
    def _(
        x: Tensor, noise: Tensor | None, bias: Tensor, bands: Tensor | None, weight: Tensor, style: Tensor, out: Tensor
    ) -> None:
        out.copy_(depthwise_layer.depthwise_layer(x, bias, weight, style, noise, bands, out.dtype))

    @torch.library.impl("stylerig::picture_layer", "CPU")
    def _(
        x: Tensor, noise: Tensor | None, bias: Tensor, style: Tensor, weight: Tensor, final_bias: Tensor, out: Tensor
    ) -> None:
        made = picture_layer.picture_layer(x, bias, style, weight, final_bias, noise)
        copy_picture(made, out)
