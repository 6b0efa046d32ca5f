"""The ``torch`` backend: the generator run in this process, on any device.

MobileStyleGAN and StyleGAN2 run through compiled ops, on the CPU and on CUDA; everything else runs eagerly.
"""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor

from stylerig_fast import ops
from stylerig_fast.engine.backends.base import BackendSpec, is_preview
from stylerig_fast.errors import BackendUnavailable
from stylerig_fast.generators import Generator, MobileStyleGAN
from stylerig_fast.generators.base import PRECISIONS
from stylerig_fast.generators.compiled import MobileCudaSynthesis, MobileSynthesis, StyleGAN2Synthesis
from stylerig_fast.generators.stylegan2 import StyleGAN2
from stylerig_fast.images import to_uint8
from stylerig_fast.ops.mobile_synthesis import machine_variants

Network = MobileSynthesis | MobileCudaSynthesis | StyleGAN2Synthesis


class EagerBackend:
    """Codes to pictures with plain torch."""

    name = "torch"

    def __init__(self, spec: BackendSpec) -> None:
        spec.refuse_early(self.name)
        try:
            self.generator = spec.generator.set_precision(spec.dtype)
        except ValueError as error:
            raise BackendUnavailable(f"the torch backend: {error}") from error
        self.rig = spec.rig

    def pictures(self, w: Tensor, resolution: int) -> Tensor:
        """See `Backend`; one by one, so that memory does not grow with the batch."""
        out = torch.empty(len(w), resolution, resolution, 3, dtype=torch.uint8, device=w.device)
        for row, code in zip(out, w.split(1), strict=True):
            row.copy_(to_uint8(self.generator.synthesis(code, resolution)[0]).permute(1, 2, 0))
        return out

    def edit(self, w: Tensor, params: Tensor, source: Tensor, resolution: int) -> Tensor:
        return self.pictures(self.rig(w, params, source), resolution)

    def describe(self) -> dict[str, object]:
        return {"synthesis": "torch, eager"}


class CompiledBackend:
    """Codes to pictures with a network that was packed once."""

    name = "torch"

    def __init__(self, spec: BackendSpec, network: Network) -> None:
        self.network = self.quick = network
        self.early = spec.previews == "early"
        if not network.previews:
            spec.refuse_early(self.name)
        if spec.quick_previews and spec.device.type == "cpu" and "avx512_bfloat16" in machine_variants():
            self.quick = compiled(replace(spec, dtype=torch.bfloat16)) or network
        self.rig = spec.rig

    def pictures(self, w: Tensor, resolution: int) -> Tensor:
        preview = is_preview(resolution, self.network.resolution)
        return (self.quick if preview else self.network).pictures(w, resolution, preview=preview and self.early)

    def edit(self, w: Tensor, params: Tensor, source: Tensor, resolution: int) -> Tensor:
        return self.pictures(self.rig(w, params, source), resolution)

    def describe(self) -> dict[str, object]:
        quick = "" if self.quick is self.network else f"; previews in {self.quick.dtype}, {self.quick.kernels}"
        early = "; previews are the network's own small pictures" if self.early else ""
        return {"synthesis": f"compiled, {self.network.kernels}{quick}{early}"}


def compiled(spec: BackendSpec) -> Network | None:
    """The packed network of a spec's generator; None for those that have none here."""
    return compiled_network(spec.generator, spec.device, spec.dtype)


def compiled_network(generator: Generator, where: torch.device, dtype: torch.dtype = torch.float32) -> Network | None:
    """The packed network of a generator in float32 on ``where``, computing in ``dtype``; None if it has none here."""
    device, paths = where.type, ops.paths(where)

    def there(*names: str) -> bool:
        return all("reference" not in paths[name] for name in names)

    if generator.precision != torch.float32 or dtype not in PRECISIONS:
        return None
    if isinstance(generator, MobileStyleGAN) and device == "cpu" and there("mobile_synthesis"):
        return None if dtype == torch.float16 else MobileSynthesis(generator, dtype)
    if isinstance(generator, MobileStyleGAN) and device == "cuda" and there("depthwise_layer", "picture_layer"):
        return MobileCudaSynthesis(generator, dtype)
    if isinstance(generator, StyleGAN2) and there("styled_epilogue", "upsample_filter"):
        return StyleGAN2Synthesis(generator, dtype) if len(generator.resample_filter) == 4 else None
    return None


def make(spec: BackendSpec) -> EagerBackend | CompiledBackend:
    """The backend ``torch``; BackendUnavailable where it cannot run."""
    network = compiled(spec)
    return EagerBackend(spec) if network is None else CompiledBackend(spec, network)
