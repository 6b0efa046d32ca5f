"""MobileStyleGAN's synthesis network as one op for the CPU: codes in, finished pictures out. Inference only."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from typing import Literal

import torch
from torch import Tensor
from torch.nn import functional as F

from stylerig_fast.errors import BackendUnavailable
from stylerig_fast.generators.mobilestylegan import MobileStyleGAN
from stylerig_fast.ops import _library
from stylerig_fast.ops._library import Impl
from stylerig_fast.ops.reference import mobile_synthesis as reference
from stylerig_fast.ops.reference.mobile_synthesis import Block, Conv, First, Head, Network, Picture
from stylerig_fast.ops.reference.synthesis import to_bytes

Kernels = Literal["portable", "avx2", "avx512", "avx512_bfloat16"]

# In the order of csrc/mobile_synthesis/mobile_synthesis_pack_cpu.cpp, each faster than those before it.
_VARIANTS: tuple[Kernels, ...] = ("portable", "avx2", "avx512", "avx512_bfloat16")
# The kernels take means over boxes of up to this many pixels of the half-size picture; smaller pictures take theirs.
_LARGEST_BOX = 4


class MobileSynthesis:
    """A generator's synthesis network, packed once for this machine's CPU.

    Pictures are made one after the other, each by all threads. Between two of them nothing is allocated but what is
    returned, and with ``out`` nothing at all. Calls from several threads take turns.

    Attributes:
        dtype: of activations and weights.
        kernels: the variant that runs; None for plain torch.
        resolution: of the whole picture.
    """

    def __init__(
        self,
        generator: MobileStyleGAN,
        dtype: torch.dtype = torch.float32,
        *,
        heads: Mapping[int, Head] | None = None,
        threads: int | None = None,
        kernels: Kernels | Literal["auto"] = "auto",
        impl: Impl = "auto",
    ) -> None:
        """Packs the weights; later changes to the generator are not seen.

        Args:
            generator: float32, on the CPU.
            dtype: float32, or bfloat16 for activations and weights (styles and sums stay float32): about twice as fast,
                on CPUs with AVX-512 BF16 only.
            heads: preview heads, by the index of the block whose features they read.
            threads: for which memory is set aside; by default as many as torch uses now. Fewer may run.
            kernels: a variant, for tests; by default the fastest of this machine.
            impl: "auto", "cpu", or "reference" for plain torch; see ``stylerig_fast.ops``.

        Raises:
            ValueError: another generator, dtype, variant or head.
            BackendUnavailable: this CPU has no bfloat16 products, or not that variant.
        """
        _check_generator(generator, dtype)
        self.dtype = dtype
        self.resolution = generator.resolution
        self.kernels: Kernels | None = None
        self._channels = generator.channels
        self._slots = (generator.num_ws, generator.w_dim)
        self._network = network_of(generator, heads)
        self._heads = {_head_resolution(self._channels, i, head): i for i, head in self._network.heads.items()}
        self._lock = threading.Lock()
        if _library.choose("mobile_synthesis", impl, torch.device("cpu")) == "reference":
            return
        self.kernels = _choose_kernels(dtype, kernels)
        outputs = [
            len(self._network.heads[i].bias) if i in self._network.heads else 0 for i in range(len(self._channels) - 1)
        ]
        self._packed = torch.ops.stylerig.mobile_synthesis_pack(
            list(self._network.tensors()), self._channels, outputs, generator.w_dim, _VARIANTS.index(self.kernels)
        )
        del self._network  # the kernels need nothing but what is packed
        self._workspace = torch.ops.stylerig.mobile_synthesis_workspace(
            self._packed, torch.get_num_threads() if threads is None else threads
        )

    @property
    def previews(self) -> tuple[int, ...]:
        """The resolutions that preview heads make."""
        return tuple(sorted(self._heads))

    def pictures(
        self, ws: Tensor, resolution: int | None = None, *, preview: bool = False, out: Tensor | None = None
    ) -> Tensor:
        """Finished pictures.

        Args:
            ws: ``(B, num_ws, w_dim)`` float32 on the CPU.
            resolution: width and height, a power of two up to the whole picture's (the default). A smaller picture is
                the box mean of the whole one and costs little less.
            preview: make it by the preview head of that resolution, which costs a fraction.
            out: uint8 ``(B, resolution, resolution, 3)``, contiguous, to write to.

        Returns:
            uint8 ``(B, resolution, resolution, 3)`` RGB, as ``(synthesis + 1) * 127.5`` rounded and clamped.

        Raises:
            ValueError: shapes, dtypes or a resolution that do not fit.
            NotImplementedError: ``ws`` requires a gradient; there is none.
        """
        resolution = self._check(ws, resolution, preview)
        shape = (len(ws), resolution, resolution, 3)
        if out is None:
            out = torch.empty(shape, dtype=torch.uint8)
        elif out.shape != shape or out.dtype != torch.uint8 or not out.is_contiguous():
            raise ValueError(
                f"mobile_synthesis: out is {out.dtype} {tuple(out.shape)}, expected contiguous uint8 {shape}"
            )
        self._fill(ws, out, preview)
        return out

    def synthesis(self, ws: Tensor, resolution: int | None = None, *, preview: bool = False) -> Tensor:
        """Pictures as `Generator.synthesis` returns them: ``(B, 3, resolution, resolution)`` in about [-1, 1].

        The same arguments and errors as `pictures`. The strides are those of ``(B, resolution, resolution, 3)``.
        """
        resolution = self._check(ws, resolution, preview)
        out = torch.empty(len(ws), resolution, resolution, 3)
        self._fill(ws, out, preview)
        return out.permute(0, 3, 1, 2)

    @torch.no_grad()
    def _fill(self, ws: Tensor, out: Tensor, preview: bool) -> None:
        resolution = out.shape[1]
        head = self._heads[resolution] if preview else None
        smallest = max(4, self.resolution // 2 // _LARGEST_BOX)
        if head is None and resolution < smallest:
            whole = self.synthesis(ws, smallest)
            small = F.avg_pool2d(whole, smallest // resolution).permute(0, 2, 3, 1)
            out.copy_(to_bytes(small) if out.dtype == torch.uint8 else small)
            return
        if self.kernels is None:
            for code, one in zip(ws, out, strict=True):
                made = reference.mobile_synthesis(code, self._network, resolution, head, self.dtype)
                one.copy_(to_bytes(made) if out.dtype == torch.uint8 else made)
            return
        with self._lock:
            for code, one in zip(ws.contiguous(), out, strict=True):
                torch.ops.stylerig.mobile_synthesis(
                    code, self._packed, self._workspace, one, -1 if head is None else head
                )

    def _check(self, ws: Tensor, resolution: int | None, preview: bool) -> int:
        if ws.ndim != 3 or ws.shape[1:] != self._slots or ws.dtype != torch.float32 or ws.device.type != "cpu":
            raise ValueError(
                f"mobile_synthesis: ws is {ws.dtype} {tuple(ws.shape)} on {ws.device}, expected torch.float32 "
                f"(B, {self._slots[0]}, {self._slots[1]}) on cpu"
            )
        if ws.requires_grad and torch.is_grad_enabled():
            raise NotImplementedError("mobile_synthesis: there is no gradient; use Generator.synthesis")
        resolution = self.resolution if resolution is None else resolution
        if preview and resolution not in self._heads:
            raise ValueError(f"mobile_synthesis: no preview head for {resolution} px; there are {self.previews}")
        if not 4 <= resolution <= self.resolution or resolution & (resolution - 1):
            raise ValueError(
                f"mobile_synthesis: resolution is {resolution}, expected a power of two from 4 to {self.resolution}"
            )
        return resolution


def machine_kernels() -> tuple[Kernels, ...]:
    """The variants of the kernels that run on this machine, the fastest last; none without the compiled library."""
    if not _library.has_kernel("mobile_synthesis", "cpu"):
        return ()
    bits = torch.ops.stylerig.mobile_synthesis_variants()
    return tuple(name for i, name in enumerate(_VARIANTS) if bits >> i & 1)


def network_of(generator: MobileStyleGAN, heads: Mapping[int, Head] | None = None) -> Network:
    """A generator's tensors by what they are for; views, where they are contiguous float32 already."""
    state = {name: value.detach().float().contiguous() for name, value in generator.state_dict().items()}

    def style(name: str) -> tuple[Tensor, Tensor]:
        return state[f"{name}.weight"], state[f"{name}.bias"]

    def conv(name: str) -> Conv:
        parts = [state[f"{name}.{part}"] for part in ("depthwise", "weight", "bias", "noise")]
        return Conv(*style(f"{name}.modulation"), *parts)

    first = [state[f"first.{part}"] for part in ("weight", "bias", "noise")]
    blocks = [f"blocks.{i}" for i in range(len(generator.channels) - 1)]
    return Network(
        First(state["first.const"], *style("first.modulation"), *first),
        tuple(Block(*style(f"{name}.up"), conv(f"{name}.conv1"), conv(f"{name}.conv2")) for name in blocks),
        Picture(*style("to_image.modulation"), *style("to_image")),
        {i: Head(*(part.detach().float().contiguous() for part in head)) for i, head in (heads or {}).items()},
    )


def _choose_kernels(dtype: torch.dtype, wanted: str) -> Kernels:
    fitting = [name for name in machine_kernels() if (name == "avx512_bfloat16") == (dtype == torch.bfloat16)]
    if wanted != "auto" and wanted not in _VARIANTS:
        raise ValueError(f"mobile_synthesis: kernels is {wanted!r}, expected 'auto' or one of {_VARIANTS}")
    chosen = [name for name in fitting if wanted in ("auto", name)]
    if not chosen:
        what = f"{dtype} products" if wanted == "auto" else f"{wanted!r} kernels for {dtype}"
        raise BackendUnavailable(
            f"mobile_synthesis: this CPU has no {what}; it has {', '.join(machine_kernels())}. Use torch.float32"
        )
    return chosen[-1]


def _check_generator(generator: MobileStyleGAN, dtype: torch.dtype) -> None:
    if not isinstance(generator, MobileStyleGAN):
        raise ValueError(f"mobile_synthesis: generator is a {type(generator).__name__}, expected a MobileStyleGAN")
    if dtype not in (torch.float32, torch.bfloat16):
        raise ValueError(f"mobile_synthesis: dtype is {dtype}, expected torch.float32 or torch.bfloat16")
    found = {(value.dtype, value.device.type) for value in generator.state_dict().values()}
    if found != {(torch.float32, "cpu")}:
        raise ValueError(f"mobile_synthesis: the generator's weights are {found}, expected torch.float32 on cpu")


def _head_resolution(channels: tuple[int, ...], block: int, head: Head) -> int:
    """What a head makes: as wide as the features, or twice that."""
    if not 0 <= block < len(channels) - 1:
        raise ValueError(f"mobile_synthesis: a head stands behind block {block}, there are {len(channels) - 1}")
    outputs, expected = len(head.bias), ("3 or 12", channels[block + 1])
    if outputs not in (3, 12) or head.weight.shape != (outputs, channels[block + 1]) or head.bias.ndim != 1:
        raise ValueError(
            f"mobile_synthesis: the head behind block {block} has shapes {tuple(head.weight.shape)} and "
            f"{tuple(head.bias.shape)}, expected {expected} and ({expected[0]},)"
        )
    return (8 << block) * (2 if outputs == 12 else 1)
