"""MobileStyleGAN's synthesis network for CUDA: codes in, finished pictures out. Inference only."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from stylerig_fast.generators.mobilestylegan import MobileStyleGAN
from stylerig_fast.generators.precision import multiply
from stylerig_fast.ops import _library
from stylerig_fast.ops._library import Impl
from stylerig_fast.ops.depthwise_layer import depthwise_layer
from stylerig_fast.ops.mobile_cuda_packing import CodeTables, pack, pack_picture
from stylerig_fast.ops.picture_layer import picture_layer
from stylerig_fast.ops.reference.styled_epilogue import to_bytes
from stylerig_fast.ops.styled_epilogue import PRECISIONS

# Pictures at a time: enough to fill a GPU, and memory does not grow with the batch from there on.
_LARGEST_BATCH = 16


class MobileCudaSynthesis:
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
        previews: none: a smaller picture is always the box mean of the whole one.
    """

    previews: tuple[int, ...] = ()

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
        _check_generator(generator, dtype)
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

    def pictures(
        self, ws: Tensor, resolution: int | None = None, *, preview: bool = False, out: Tensor | None = None
    ) -> Tensor:
        """Finished pictures.

        Args:
            ws: ``(B, num_ws, w_dim)`` float32 on the device.
            resolution: width and height, a power of two from 4 to the whole picture's (the default). A smaller picture
                is the box mean of the whole one and costs about the same.
            preview: has to be False: this network has no pictures of its own but the last.
            out: uint8 ``(B, resolution, resolution, 3)``, contiguous, to write to.

        Returns:
            uint8 ``(B, resolution, resolution, 3)`` RGB, as ``(synthesis + 1) · 127.5`` rounded and clamped.

        Raises:
            ValueError: shapes, dtypes, devices or a resolution that do not fit, or a preview.
            NotImplementedError: ``ws`` requires a gradient; there is none.
        """
        resolution = self._check(ws, resolution, preview)
        shape = (len(ws), resolution, resolution, 3)
        if out is None:
            out = torch.empty(shape, dtype=torch.uint8, device=self.device)
        elif out.shape != shape or out.dtype != torch.uint8 or out.device != self.device or not out.is_contiguous():
            raise ValueError(
                f"mobile_cuda_synthesis: out is {out.dtype} {tuple(out.shape)} on {out.device}, expected contiguous "
                f"torch.uint8 {shape} on {self.device}"
            )
        self._fill(ws, out)
        return out

    def synthesis(self, ws: Tensor, resolution: int | None = None, *, preview: bool = False) -> Tensor:
        """Pictures as `Generator.synthesis` returns them: ``(B, 3, resolution, resolution)`` in about [-1, 1].

        The same arguments and errors as `pictures`. The strides are those of ``(B, resolution, resolution, 3)``.
        """
        resolution = self._check(ws, resolution, preview)
        out = torch.empty(len(ws), resolution, resolution, 3, device=self.device)
        self._fill(ws, out)
        return out.permute(0, 3, 1, 2)

    @torch.no_grad()
    def _fill(self, ws: Tensor, out: Tensor) -> None:
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
            out.copy_(to_bytes(small) if out.dtype == torch.uint8 else small)

    def _check(self, ws: Tensor, resolution: int | None, preview: bool) -> int:
        if ws.ndim != 3 or ws.shape[1:] != self._slots or ws.dtype != torch.float32 or ws.device != self.device:
            raise ValueError(
                f"mobile_cuda_synthesis: ws is {ws.dtype} {tuple(ws.shape)} on {ws.device}, expected torch.float32 "
                f"(B, {self._slots[0]}, {self._slots[1]}) on {self.device}"
            )
        if ws.requires_grad and torch.is_grad_enabled():
            raise NotImplementedError("mobile_cuda_synthesis: there is no gradient; use Generator.synthesis")
        if preview:
            raise ValueError("mobile_cuda_synthesis: there are no previews; ask for the box mean, preview=False")
        resolution = self.resolution if resolution is None else resolution
        if not 4 <= resolution <= self.resolution or resolution & (resolution - 1):
            raise ValueError(
                f"mobile_cuda_synthesis: resolution is {resolution}, expected a power of two from 4 to "
                f"{self.resolution}"
            )
        return resolution


def _check_generator(generator: MobileStyleGAN, dtype: torch.dtype) -> None:
    name = "mobile_cuda_synthesis"
    if not isinstance(generator, MobileStyleGAN):
        raise ValueError(f"{name}: generator is a {type(generator).__name__}, expected a MobileStyleGAN")
    if dtype not in PRECISIONS:
        raise ValueError(f"{name}: dtype is {dtype}, expected one of {', '.join(map(str, PRECISIONS))}")
    found = {(value.dtype, value.device) for value in generator.state_dict().values()}
    if found != {(torch.float32, generator.w_mean.device)}:
        raise ValueError(f"{name}: the generator's weights are {found}, expected torch.float32 in one place")
