"""StyleGAN2's synthesis network between torch's convolutions: codes in, finished pictures out. Inference only."""

from __future__ import annotations

import threading
from contextlib import nullcontext

import torch
from torch import Tensor
from torch.nn import functional as F

from stylerig_fast.generators.precision import multiply, without_tf32
from stylerig_fast.generators.stylegan2 import StyleGAN2
from stylerig_fast.ops import _library
from stylerig_fast.ops._library import Impl
from stylerig_fast.ops.reference.styled_epilogue import ToRgb, to_bytes
from stylerig_fast.ops.styled_epilogue import PRECISIONS, styled_epilogue
from stylerig_fast.ops.stylegan2_packing import StyleTables, pack
from stylerig_fast.ops.upsample_filter import upsample_filter

# Pictures at a time on CUDA: enough to fill a GPU, and memory does not grow with the batch from there on.
_LARGEST_BATCH = 16


class StyleGAN2Synthesis:
    """A generator's synthesis network, packed once for a device and a precision.

    The convolutions are torch's; all else is two ops per resolution and a handful of small products per picture. The
    network computes in ``dtype``; styles, everything between two convolutions, and the pictures are float32.

    Calls on the CPU take turns and make one picture after the other. On CUDA nothing waits for the device, and all
    memory is torch's pool's, so that a call can be captured in a CUDA graph.

    Attributes:
        dtype: of activations and weights of the convolutions.
        device: where codes come from and pictures go.
        resolution: of the whole picture.
        kernels: what runs between the convolutions: "cpu", "cuda", or "reference" for plain torch.
    """

    def __init__(self, generator: StyleGAN2, dtype: torch.dtype = torch.float32, *, impl: Impl = "auto") -> None:
        """Packs the weights; later changes to the generator are not seen.

        Args:
            generator: float32, on the device to run on.
            dtype: float32, bfloat16 or float16.
            impl: see ``stylerig_fast.ops``.

        Raises:
            ValueError: another generator or dtype, or a filter of other than four taps.
            BackendUnavailable: ``impl`` names kernels that are not there.
        """
        _check_generator(generator, dtype)
        self.dtype = dtype
        self.device = generator.w_mean.device
        self.resolution = generator.resolution
        self.kernels = {_library.choose(op, impl, self.device) for op in ("styled_epilogue", "upsample_filter")}.pop()
        self._impl = impl
        self._slots = (generator.num_ws, generator.w_dim)
        self._clamp = generator.clamp
        self._allow_tf32 = generator.allow_tf32
        self._channels = generator.channels
        self._const = generator.const.detach().clone()[None].contiguous(memory_format=torch.channels_last)
        self._tables = StyleTables(generator, dtype)
        self._layers = [pack(layer, dtype) for layer in generator.layers()]
        self._rgb_biases = [block.to_rgb.bias.detach().clone() for block in generator.blocks]  # type: ignore[union-attr, operator]
        taps = torch.tensor(generator.resample_filter, dtype=torch.float64)
        self._taps = (taps / taps.sum() * 2).to(self._const)
        self._lock = threading.Lock() if self.device.type == "cpu" else nullcontext()
        # Fresh memory of this size is slower to get on the CPU than to fill.
        largest = max(4**i * 16 * count for i, count in enumerate(self._channels))
        self._buffer = torch.empty(largest if self.device.type == "cpu" else 0, dtype=dtype)

    @property
    def previews(self) -> tuple[int, ...]:
        """The resolutions below the whole picture's, all of which have a picture of their own."""
        return tuple(4 * 2**i for i in range(len(self._channels) - 1))

    def pictures(
        self, ws: Tensor, resolution: int | None = None, *, preview: bool = False, out: Tensor | None = None
    ) -> Tensor:
        """Finished pictures.

        Args:
            ws: ``(B, num_ws, w_dim)`` float32 on the device.
            resolution: width and height, a power of two from 4 to the whole picture's (the default). A smaller picture
                is the box mean of the whole one and costs the same.
            preview: take the network's own picture of that resolution instead, at a fraction of the cost: what the
                layers above it would add is missing.
            out: uint8 ``(B, resolution, resolution, 3)``, contiguous, to write to.

        Returns:
            uint8 ``(B, resolution, resolution, 3)`` RGB, as ``(synthesis + 1) · 127.5`` rounded and clamped.

        Raises:
            ValueError: shapes, dtypes, devices or a resolution that do not fit.
            NotImplementedError: ``ws`` requires a gradient; there is none.
        """
        resolution = self._check(ws, resolution)
        shape = (len(ws), resolution, resolution, 3)
        if out is None:
            out = torch.empty(shape, dtype=torch.uint8, device=self.device)
        elif out.shape != shape or out.dtype != torch.uint8 or out.device != self.device or not out.is_contiguous():
            raise ValueError(
                f"stylegan2_synthesis: out is {out.dtype} {tuple(out.shape)} on {out.device}, expected contiguous "
                f"torch.uint8 {shape} on {self.device}"
            )
        self._fill(ws, out, preview)
        return out

    def synthesis(self, ws: Tensor, resolution: int | None = None, *, preview: bool = False) -> Tensor:
        """Pictures as `Generator.synthesis` returns them: ``(B, 3, resolution, resolution)`` in about [-1, 1].

        The same arguments and errors as `pictures`. The strides are those of ``(B, resolution, resolution, 3)``.
        """
        resolution = self._check(ws, resolution)
        out = torch.empty(len(ws), resolution, resolution, 3, device=self.device)
        self._fill(ws, out, preview)
        return out.permute(0, 3, 1, 2)

    @torch.no_grad()
    def _fill(self, ws: Tensor, out: Tensor, preview: bool) -> None:
        if len(ws) == 0:
            return
        # One after the other on the CPU: the layers of one picture are already more than the caches hold.
        size = 1 if self.device.type == "cpu" else _LARGEST_BATCH
        tf32 = nullcontext() if self._allow_tf32 or self.device.type != "cuda" else without_tf32()
        with self._lock, tf32:
            for codes, pictures in zip(ws.split(size), out.split(size), strict=True):
                self._draw(codes, pictures, preview)

    def _draw(self, ws: Tensor, out: Tensor, preview: bool) -> None:
        """Fills ``out`` with the pictures of all codes at once."""
        batch, resolution = len(ws), out.shape[1]
        last = resolution if preview else self.resolution
        layers = self._tables.layers(ws)
        layer = next(layers)
        x = (self._const * layer.style[:, :, None, None]).to(self.dtype)
        image: Tensor | None = None
        parameters = iter(self._layers)
        for i, (channels, rgb_bias) in enumerate(zip(self._channels, self._rgb_biases, strict=True)):
            side = 4 * 2**i
            if i > 0:
                weight, bias, noise = next(parameters)
                x = multiply(lambda a, b: F.conv_transpose2d(a, b, stride=2), x, weight)
                demodulation, layer = layer.demodulation, next(layers)
                x = upsample_filter(
                    x,
                    self._taps,
                    demodulation,
                    bias,
                    noise=noise,
                    style=layer.style,
                    clamp=self._clamp,
                    out=self._room(batch, channels, side),
                    impl=self._impl,
                )
            weight, bias, noise = next(parameters)
            x = multiply(lambda a, b: F.conv2d(a, b, padding=1), x, weight)
            assert layer.rgb is not None
            rgb = ToRgb(layer.rgb, rgb_bias, image, self._taps)
            whole = side == last
            image = out if whole and side == resolution else torch.empty(batch, side, side, 3, device=self.device)
            demodulation, layer = layer.demodulation, next(layers, layer)
            styled_epilogue(
                x,
                demodulation,
                bias,
                noise=noise,
                style=None if whole else layer.style,
                clamp=self._clamp,
                out=None if whole else x,
                rgb=rgb,
                image=image,
                impl=self._impl,
            )
            if whole:
                break
        assert image is not None
        if image is not out:
            small = F.avg_pool2d(image.permute(0, 3, 1, 2), last // resolution).permute(0, 2, 3, 1)
            out.copy_(to_bytes(small) if out.dtype == torch.uint8 else small)

    def _room(self, batch: int, channels: int, side: int) -> Tensor | None:
        """Where activations of this size go: ``(B, C, H, W)`` channels-last; None for new memory."""
        if self.device.type != "cpu":
            return None
        return self._buffer[: channels * side**2].view(batch, side, side, channels).permute(0, 3, 1, 2)

    def _check(self, ws: Tensor, resolution: int | None) -> int:
        if ws.ndim != 3 or ws.shape[1:] != self._slots or ws.dtype != torch.float32 or ws.device != self.device:
            raise ValueError(
                f"stylegan2_synthesis: ws is {ws.dtype} {tuple(ws.shape)} on {ws.device}, expected torch.float32 "
                f"(B, {self._slots[0]}, {self._slots[1]}) on {self.device}"
            )
        if ws.requires_grad and torch.is_grad_enabled():
            raise NotImplementedError("stylegan2_synthesis: there is no gradient; use Generator.synthesis")
        resolution = self.resolution if resolution is None else resolution
        if not 4 <= resolution <= self.resolution or resolution & (resolution - 1):
            raise ValueError(
                f"stylegan2_synthesis: resolution is {resolution}, expected a power of two from 4 to {self.resolution}"
            )
        return resolution


def _check_generator(generator: StyleGAN2, dtype: torch.dtype) -> None:
    if not isinstance(generator, StyleGAN2):
        raise ValueError(f"stylegan2_synthesis: generator is a {type(generator).__name__}, expected a StyleGAN2")
    if dtype not in PRECISIONS:
        raise ValueError(f"stylegan2_synthesis: dtype is {dtype}, expected one of {', '.join(map(str, PRECISIONS))}")
    found = {(value.dtype, value.device) for value in generator.state_dict().values()}
    if found != {(torch.float32, generator.w_mean.device)}:
        raise ValueError(
            f"stylegan2_synthesis: the generator's weights are {found}, expected torch.float32 in one place"
        )
    if len(generator.resample_filter) != 4:
        taps = generator.resample_filter
        raise ValueError(f"stylegan2_synthesis: the generator's filter has {len(taps)} taps, {taps}, expected 4")
