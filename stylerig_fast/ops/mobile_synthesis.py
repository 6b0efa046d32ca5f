"""``mobile_synthesis``: MobileStyleGAN's synthesis network as one op for the CPU. Inference only."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from stylerig_fast.errors import BackendUnavailable
from stylerig_fast.images import copy_picture
from stylerig_fast.ops import _library
from stylerig_fast.ops._checks import FLOAT32, Shapes, check_strides, refuse_gradients
from stylerig_fast.ops.reference import mobile_synthesis as reference
from stylerig_fast.ops.reference.mobile_synthesis import MobileWeights

CpuVariant = Literal["portable", "avx2", "avx512", "avx512_bfloat16"]

# In the order of csrc/mobile_synthesis/mobile_synthesis_pack_cpu.cpp, each faster than those before it.
_VARIANTS: tuple[CpuVariant, ...] = ("portable", "avx2", "avx512", "avx512_bfloat16")
# Smaller pictures are means over boxes of up to this many pixels of the half-size picture.
LARGEST_BOX = 4

_library.register_without_gradient("mobile_synthesis")


@dataclass(frozen=True)
class PackedMobileWeights:
    """A network's weights as `mobile_synthesis` reads them, made by `pack_mobile_weights`.

    Attributes:
        dtype: of activations and weights.
        num_ws: slots of a code.
        w_dim: size of a slot.
        resolution: of the whole picture.
        kernels: the variant of the kernels that the weights are packed for; None for plain torch.
        weights: what plain torch reads; None for the kernels, which need nothing but what is packed.
        packed: what the kernels read, 1-D.
        workspace: the kernels' intermediate results, 1-D: calls with the same one must not overlap.
    """

    dtype: torch.dtype
    num_ws: int
    w_dim: int
    resolution: int
    kernels: CpuVariant | None
    weights: MobileWeights | None
    packed: Tensor | None
    workspace: Tensor | None

    @property
    def resolutions(self) -> tuple[int, ...]:
        """Widths of the pictures that can be made."""
        half, box = self.resolution // 2, LARGEST_BOX
        return (self.resolution, *(half >> i for i in range(box.bit_length()) if half >> i))


def pack_mobile_weights(
    weights: MobileWeights,
    dtype: torch.dtype = torch.float32,
    *,
    threads: int | None = None,
    kernels: CpuVariant | Literal["auto"] = "auto",
    impl: _library.Impl = "auto",
) -> PackedMobileWeights:
    """Packs a network's weights once for this machine's CPU.

    Args:
        weights: contiguous float32 on the CPU.
        dtype: float32, or bfloat16 for activations and weights (styles and sums stay float32): about twice as fast,
            on CPUs with AVX-512 BF16 only.
        threads: for which memory is set aside; by default as many as torch uses now. Fewer may run.
        kernels: a variant, for tests; by default the fastest of this machine.
        impl: "auto", "cpu", or "reference" for plain torch, which keeps ``weights`` as they are; see
            ``stylerig_fast.ops``.

    Raises:
        ValueError: another dtype, variant or ``impl``.
        BackendUnavailable: this CPU has no bfloat16 products, or not that variant; the kernels were asked for by name
            and are not there.
    """
    if dtype not in (torch.float32, torch.bfloat16):
        raise ValueError(f"mobile_synthesis: dtype is {dtype}, expected torch.float32 or torch.bfloat16")
    sizes = (weights.num_ws, weights.w_dim, weights.resolution)
    if _library.choose("mobile_synthesis", impl, torch.device("cpu")) == "reference":
        return PackedMobileWeights(dtype, *sizes, None, weights, None, None)
    variant = _choose_variant(dtype, kernels)
    packed = torch.ops.stylerig.mobile_synthesis_pack(
        list(weights.tensors()), weights.channels, weights.w_dim, _VARIANTS.index(variant)
    )
    threads = torch.get_num_threads() if threads is None else threads
    workspace = torch.ops.stylerig.mobile_synthesis_workspace(packed, threads)
    return PackedMobileWeights(dtype, *sizes, variant, None, packed, workspace)


def mobile_synthesis(ws: Tensor, packed: PackedMobileWeights, picture: Tensor) -> None:
    """Makes one picture, with all threads. Nothing is allocated.

    Args:
        ws: ``(num_ws, w_dim)`` float32, contiguous, on the CPU.
        packed: the network, from `pack_mobile_weights`.
        picture: ``(R, R, 3)`` RGB, contiguous, to write to: float32 in about [-1, 1], or uint8 for
            ``(picture + 1) · 127.5`` rounded and clamped, NaN as 0. R is one of ``packed.resolutions``; a smaller
            picture is the box mean of the whole one and costs little less.

    Raises:
        ValueError: shapes, dtypes, devices or memory formats that do not fit.
        NotImplementedError: ``ws`` requires a gradient; there is none.
    """
    op, shapes = "mobile_synthesis", Shapes("mobile_synthesis")
    shapes.check("ws", ws, (packed.num_ws, packed.w_dim), FLOAT32)
    shapes.check("picture", picture, ("R", "R", 3), (torch.float32, torch.uint8))
    if ws.device.type != "cpu" or len(picture) not in packed.resolutions:
        raise ValueError(
            f"{op}: a picture of {len(picture)} px on {ws.device}, expected one of "
            f"{', '.join(map(str, packed.resolutions))} px on cpu"
        )
    check_strides(op, contiguous={"ws": ws, "picture": picture})
    refuse_gradients(op, ws)
    if packed.weights is None:
        torch.ops.stylerig.mobile_synthesis(ws, packed.packed, packed.workspace, picture)
        return
    made = reference.mobile_synthesis(ws, packed.weights, len(picture), packed.dtype)
    copy_picture(made, picture)


def machine_variants() -> tuple[CpuVariant, ...]:
    """The variants of the kernels that run on this machine, the fastest last; none without the compiled library."""
    if not _library.has_kernel("mobile_synthesis", "cpu"):
        return ()
    bits = torch.ops.stylerig.mobile_synthesis_variants()
    return tuple(name for i, name in enumerate(_VARIANTS) if bits >> i & 1)


def _choose_variant(dtype: torch.dtype, kernels: str) -> CpuVariant:
    fitting = [name for name in machine_variants() if (name == "avx512_bfloat16") == (dtype == torch.bfloat16)]
    if kernels != "auto" and kernels not in _VARIANTS:
        raise ValueError(f"mobile_synthesis: kernels is {kernels!r}, expected 'auto' or one of {_VARIANTS}")
    chosen = [name for name in fitting if kernels in ("auto", name)]
    if not chosen:
        what = f"{dtype} products" if kernels == "auto" else f"{kernels!r} kernels for {dtype}"
        raise BackendUnavailable(
            f"mobile_synthesis: this CPU has no {what}; it has {', '.join(machine_variants())}. Use torch.float32"
        )
    return chosen[-1]
