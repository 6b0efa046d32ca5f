"""MobileStyleGAN's synthesis network on the CPU: codes in, finished pictures out. Inference only."""

from __future__ import annotations

import threading
from typing import Literal

import torch
from torch import Tensor
from torch.nn import functional as F

from stylerig_fast.generators.compiled.packed import PackedSynthesis, check_generator
from stylerig_fast.generators.mobilestylegan import MobileStyleGAN
from stylerig_fast.images import copy_picture
from stylerig_fast.ops._library import Impl
from stylerig_fast.ops.mobile_synthesis import LARGEST_BOX, CpuVariant, mobile_synthesis, pack_mobile_weights
from stylerig_fast.ops.reference.mobile_synthesis import (
    BlockWeights,
    ConvWeights,
    FirstWeights,
    MobileWeights,
    PictureWeights,
)


class MobileSynthesis(PackedSynthesis):
    """A generator's synthesis network, packed once for this machine's CPU.

    Pictures are made one after the other, each by all threads. Between two of them nothing is allocated but what is
    returned, and with ``out`` nothing at all. Calls from several threads take turns.

    Attributes:
        dtype: of activations and weights.
        device: the CPU.
        resolution: of the whole picture.
        kernels: the variant of the kernels that runs; None for plain torch.
    """

    name = "mobile_synthesis"

    def __init__(
        self,
        generator: MobileStyleGAN,
        dtype: torch.dtype = torch.float32,
        *,
        threads: int | None = None,
        kernels: CpuVariant | Literal["auto"] = "auto",
        impl: Impl = "auto",
    ) -> None:
        """Packs the weights. The kernels do not see later changes to the generator; plain torch reads its tensors.

        Args:
            generator: float32, on the CPU.
            dtype: float32, or bfloat16 on CPUs with AVX-512 BF16.
            threads: for which memory is set aside; by default as many as torch uses now. Fewer may run.
            kernels: a variant, for tests; by default the fastest of this machine.
            impl: "auto", "cpu", or "reference" for plain torch; see ``stylerig_fast.ops``.

        Raises:
            ValueError: another generator, dtype or variant.
            BackendUnavailable: this CPU has no bfloat16 products, or not that variant.
        """
        check_generator(self.name, generator, MobileStyleGAN, dtype, (torch.float32, torch.bfloat16))
        self.device = generator.w_mean.device
        if self.device.type != "cpu":
            raise ValueError(f"{self.name}: the generator is on {self.device}, expected cpu")
        self.dtype = dtype
        self.resolution = generator.resolution
        self._slots = (generator.num_ws, generator.w_dim)
        self._packed = pack_mobile_weights(weights_of(generator), dtype, threads=threads, kernels=kernels, impl=impl)
        self.kernels = self._packed.kernels
        self._lock = threading.Lock()

    @torch.no_grad()
    def _fill(self, ws: Tensor, out: Tensor, preview: bool) -> None:
        resolution, smallest = out.shape[1], max(4, self.resolution // 2 // LARGEST_BOX)
        if resolution < smallest:
            whole = self.synthesis(ws, smallest)
            small = F.avg_pool2d(whole, smallest // resolution).permute(0, 2, 3, 1)
            copy_picture(small, out)
            return
        with self._lock:
            for code, picture in zip(ws.contiguous(), out, strict=True):
                mobile_synthesis(code, self._packed, picture)


def weights_of(generator: MobileStyleGAN) -> MobileWeights:
    """A generator's tensors as `mobile_synthesis` takes them; views of those that are contiguous float32 already."""
    state = {name: value.detach().float().contiguous() for name, value in generator.state_dict().items()}

    def style(name: str) -> tuple[Tensor, Tensor]:
        return state[f"{name}.weight"], state[f"{name}.bias"]

    def conv(name: str) -> ConvWeights:
        tensors = [state[f"{name}.{part}"] for part in ("depthwise", "weight", "bias", "noise")]
        return ConvWeights(*style(f"{name}.modulation"), *tensors)

    first = [state[f"first.{part}"] for part in ("weight", "bias", "noise")]
    blocks = [f"blocks.{i}" for i in range(len(generator.channels) - 1)]
    return MobileWeights(
        FirstWeights(state["first.const"], *style("first.modulation"), *first),
        tuple(BlockWeights(*style(f"{name}.up"), conv(f"{name}.conv1"), conv(f"{name}.conv2")) for name in blocks),
        PictureWeights(*style("to_image.modulation"), *style("to_image")),
    )
