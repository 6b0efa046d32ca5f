"""MobileStyleGAN's synthesis network for CUDA: codes in, finished pictures out. Inference only."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from stylerig_fast.generators.compiled.mobilestylegan_cuda_packing import CodeTables, pack, pack_picture
from stylerig_fast.generators.compiled.packed import PackedSynthesis, check_generator
from stylerig_fast.generators.mobilestylegan import MobileStyleGAN
from stylerig_fast.generators.precision import multiply
from stylerig_fast.images import copy_picture
from stylerig_fast.ops import _library
from stylerig_fast.ops._library import Impl
from stylerig_fast.ops.depthwise_layer import depthwise_layer
from stylerig_fast.ops.picture_layer import picture_layer

# Pictures at a time: enough to fill a GPU, and memory does not grow with the batch from there on.
_LARGEST_BATCH = 16


class MobileCudaSynthesis(PackedSynthesis):
    """A generator's synthesis network, packed once for a precision.

    The 1x1 convolutions are torch's matrix products; everything between two of them is one op. Two products of the
    codes make all styles and the activations at 4 px. The network multiplies in ``dtype``; styles, everything between
    two products, and the pictures are float32.

    Nothing waits for the device, and all memory is torch's pool's, so that a call can be captured in a CUDA graph. On
    the CPU, where `MobileSynthesis` is the one to take, it runs as plain torch.

    Attributes:
        dtype: of activations and weights of the 1x1 convolutions.
        device: where codes come from and pictures go.
        resolution: of the whole picture.
        kernels: what runs between the products: "cuda", or "reference" for plain torch.
    """

    name = "mobile_cuda_synthesis"

    def __init__(self, generator: MobileStyleGAN, dtype: torch.dtype = torch.float32, *, impl: Impl = "auto") -> None:
        """Packs the weights; later changes to the generator are not seen.

        Args:
            generator: float32, on the device to run on.
            dtype: float32, bfloat16 or float16.
            impl: see ``stylerig_fast.ops``.

        Raises:
            ValueError: another generator or dtype.
            BackendUnavailable: ``impl`` names kernels that are not there.
        """
        check_generator(self.name, generator, MobileStyleGAN, dtype)
        self.dtype = dtype
        self.device = generator.w_mean.device
        self.resolution = generator.resolution
        self.kernels = {_library.choose(op, impl, self.device) for op in ("depthwise_layer", "picture_layer")}.pop()
        self._impl = impl
        self._slots = (generator.num_ws, generator.w_dim)
        self._tables = CodeTables(generator)
        self._first = generator.first.bias.detach().clone(), generator.first.noise[:, :, 0].clone()
        self._layers = pack(generator, dtype)
        self._picture = pack_picture(generator)

    @torch.no_grad()
    def _fill(self, ws: Tensor, out: Tensor, preview: bool) -> None:
        if len(ws) > 0:
            for codes, pictures in zip(ws.split(_LARGEST_BATCH), out.split(_LARGEST_BATCH), strict=True):
                self._draw(codes, pictures)

    def _draw(self, ws: Tensor, out: Tensor) -> None:
        """Fills ``out`` with the pictures of all codes at once."""
        x = self._tables.first(ws)
        bias, noise = self._first
        *scales, picture = self._tables.scales(ws)
        for layer, (style, bands) in zip(self._layers, scales, strict=True):
            x = depthwise_layer(
                x, bias, layer.depthwise, style, noise=noise, bands=bands, dtype=self.dtype, impl=self._impl
            )
            x = multiply(F.linear, x, layer.weight)
            bias, noise = layer.bias, layer.noise
        # The mean of the four pixels that the last layer makes of one is a picture of its own.
        resolution, half = out.shape[1], self.resolution // 2
        weight, final_bias = self._picture[12 if resolution > half else 3]
        image = out if resolution >= half else torch.empty(len(ws), half, half, 3, device=self.device)
        picture_layer(x, bias, picture.style, weight, final_bias, image, noise=noise, impl=self._impl)
        if image is not out:
            small = F.avg_pool2d(image.permute(0, 3, 1, 2), half // resolution).permute(0, 2, 3, 1)
            copy_picture(small, out)
