"""StyleGAN2's synthesis network between torch's convolutions: codes in, finished pictures out. Inference only."""

from __future__ import annotations

import threading
from contextlib import nullcontext

import torch
from torch import Tensor
from torch.nn import functional as F

from stylerig_fast.generators.compiled.packed import PackedSynthesis, check_generator
from stylerig_fast.generators.compiled.stylegan2_packing import StyleTables, pack
from stylerig_fast.generators.precision import multiply, without_tf32
from stylerig_fast.generators.stylegan2 import StyleGAN2
from stylerig_fast.images import copy_picture
from stylerig_fast.ops import _library
from stylerig_fast.ops._library import Impl
from stylerig_fast.ops.reference.styled_epilogue import ToRgb
from stylerig_fast.ops.styled_epilogue import styled_epilogue
from stylerig_fast.ops.upsample_filter import upsample_filter

# Pictures at a time on CUDA: enough to fill a GPU, and memory does not grow with the batch from there on.
_LARGEST_BATCH = 16


class StyleGAN2Synthesis(PackedSynthesis):
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

    name = "stylegan2_synthesis"

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
            copy_picture(small, out)

    def _room(self, batch: int, channels: int, side: int) -> Tensor | None:
        """Where activations of this size go: ``(B, C, H, W)`` channels-last; None for new memory."""
        if self.device.type != "cpu":
            return None
        return self._buffer[: channels * side**2].view(batch, side, side, channels).permute(0, 3, 1, 2)


def _check_generator(generator: StyleGAN2, dtype: torch.dtype) -> None:
    check_generator(StyleGAN2Synthesis.name, generator, StyleGAN2, dtype)
    if len(generator.resample_filter) != 4:
        taps = generator.resample_filter
        raise ValueError(f"stylegan2_synthesis: the generator's filter has {len(taps)} taps, {taps}, expected 4")
