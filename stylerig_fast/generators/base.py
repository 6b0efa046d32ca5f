"""What every generator offers, whatever network is inside."""

from __future__ import annotations

import hashlib
from abc import abstractmethod
from collections.abc import Sequence
from typing import ClassVar

import torch
from torch import Tensor, nn

# Precisions that a synthesis network may compute in; everything around it stays in float32.
PRECISIONS = (torch.float32, torch.bfloat16, torch.float16)


class Generator(nn.Module):
    """A pretrained StyleGAN-like portrait generator, ``I_w = G(w)``.

    Codes go in and pictures come out in float32, whatever the synthesis network computes in (`set_precision`).

    Attributes:
        family: which class it is, as written into checkpoint folders.
        name: what it is, as written into portrait sets and checked by weights trained on it.
        num_ws: slots of W+.
        w_dim: length of the code of one slot.
        resolution: width and height of its pictures in pixels, a power of two.
        w_mean: ``(w_dim,)`` buffer, the mean of mapped codes, towards which `sample` truncates.
        precision: what the synthesis network computes in.
    """

    family: ClassVar[str]
    name: str
    num_ws: int
    w_dim: int = 512
    resolution: int
    w_mean: Tensor
    precision: torch.dtype = torch.float32

    @abstractmethod
    def config(self) -> dict[str, object]:
        """Keyword arguments, as JSON holds them, that make an untrained network of this shape: ``cls(**config)``."""

    @abstractmethod
    def mapping(self, z: Tensor) -> Tensor:
        """Maps input latents to latent codes: ``(B, 512)`` -> ``(B, 512)``.

        Raises:
            ValueError: ``z`` has another shape or dtype.
        """

    @abstractmethod
    def synthesis(self, ws: Tensor, resolution: int | None = None, noise: Sequence[Tensor] | None = None) -> Tensor:
        """Makes the pictures of latent codes.

        Args:
            ws: ``(B, num_ws, 512)``.
            resolution: width and height to return, a power of two up to `Generator.resolution` (the default). A
                smaller picture is the box mean of the whole one, up to rounding, and never costs more.
            noise: one map ``(B, 1, side, side)`` of unit normal noise for each of `noise_sizes`; the checkpoint's own
                constant maps by default.

        Returns:
            ``(B, 3, resolution, resolution)`` RGB in about [-1, 1], not clamped.

        Raises:
            ValueError: ``ws`` or ``noise`` has another shape or dtype, or ``resolution`` is no power of two in range.
        """

    @property
    def noise_sizes(self) -> tuple[int, ...]:
        """Sides of the noise maps in the order of the layers; none for families without noise."""
        return ()

    def draw_noise(self, n: int = 1, seed: int = 0) -> list[Tensor]:
        """Noise for the ``noise`` of `synthesis`, drawn on the CPU: the same on every device.

        Returns:
            One ``(n, 1, side, side)`` map per layer, in the order of `noise_sizes`.
        """
        draw = torch.Generator().manual_seed(seed)
        return [torch.randn(n, 1, side, side, generator=draw).to(self.w_mean) for side in self.noise_sizes]

    def set_precision(self, dtype: torch.dtype) -> Generator:
        """Computes the synthesis in ``dtype`` from now on, with islands of float32 where a style or a sum needs them.

        Weights are rounded in place: a generator in less than float32 can be run, not saved or trained.

        Raises:
            ValueError: no precision of this family, or the weights have been rounded to another one already.
        """
        if dtype not in PRECISIONS:
            raise ValueError(f"precision {dtype} is none of {', '.join(map(str, PRECISIONS))}")
        if self.precision not in (torch.float32, dtype):
            raise ValueError(f"the weights have been rounded to {self.precision}; load the generator again")
        if dtype != self.precision:
            self._round_weights(dtype)
            self.precision = dtype
        return self

    def _round_weights(self, dtype: torch.dtype) -> None:
        """Rounds what `set_precision` is about; families that can do it override this."""
        raise ValueError(f"{type(self).__name__} runs in float32 only, not in {dtype}")

    def fingerprint(self) -> str:
        """What ties a rig to its generator: sha256 over names, shapes and float32 values of all weights.

        ``w_mean`` is left out: it is measured, differs in the last digits between machines, and no picture of a given
        code depends on it.

        Raises:
            ValueError: the weights have been rounded by `set_precision`.
        """
        if self.precision != torch.float32:
            raise ValueError(f"the weights have been rounded to {self.precision}; load the generator again")
        digest = hashlib.sha256()
        for name, value in sorted(self.state_dict().items()):
            if name != "w_mean":
                digest.update(f"{name}{tuple(value.shape)}".encode())
                digest.update(value.detach().cpu().contiguous().numpy().data)
        return digest.hexdigest()

    def truncate(self, w: Tensor, psi: float, cutoff: int | None = None) -> Tensor:
        """Mapped codes ``(B, w_dim)`` drawn towards `w_mean`, in every slot: ``(B, num_ws, w_dim)``.

        Args:
            w: from `mapping`.
            psi: 1 leaves codes as they are, 0 gives the mean face.
            cutoff: only the first so many slots are truncated; all by default.
        """
        slots = torch.full((self.num_ws, 1), 1.0, dtype=w.dtype, device=w.device)
        slots[:cutoff] = psi
        return torch.lerp(self.w_mean.expand_as(w)[:, None], w[:, None], slots)

    @torch.no_grad()
    def sample(self, n: int = 1, seed: int = 0, psi: float = 0.7, cutoff: int | None = None) -> Tensor:
        """Draws the codes of ``n`` random people.

        The input latents are drawn on the CPU, so that a seed means the same person on every device; the first of
        ``sample(8, seed)`` is the one of ``sample(1, seed)``, up to rounding.

        Args:
            n: how many.
            seed: any integer that `torch.Generator` takes.
            psi: truncation, see `truncate`.
            cutoff: likewise.

        Returns:
            ``(n, num_ws, w_dim)``, the same code in all slots that are truncated alike.

        Raises:
            ValueError: ``n`` is negative.
        """
        if n < 0:
            raise ValueError(f"n is {n}, expected 0 or more")
        z = torch.randn(n, self.w_dim, generator=torch.Generator().manual_seed(seed)).to(self.w_mean.dtype)
        if self.w_mean.is_cuda:
            z = z.pin_memory()  # a copy that does not wait for what is queued there
        return self.truncate(self.mapping(z.to(self.w_mean.device, non_blocking=True)), psi, cutoff)

    def forward(self, ws: Tensor, resolution: int | None = None) -> Tensor:
        """`synthesis`."""
        return self.synthesis(ws, resolution)

    def _check_z(self, z: Tensor) -> None:
        if z.ndim != 2 or z.shape[1] != self.w_dim or z.dtype != self.w_mean.dtype:
            raise ValueError(f"z is {z.dtype} {tuple(z.shape)}, expected {self.w_mean.dtype} (B, {self.w_dim})")

    def _check_ws(self, ws: Tensor, resolution: int | None) -> int:
        if ws.ndim != 3 or ws.shape[1:] != (self.num_ws, self.w_dim) or ws.dtype != self.w_mean.dtype:
            raise ValueError(
                f"ws is {ws.dtype} {tuple(ws.shape)}, expected {self.w_mean.dtype} (B, {self.num_ws}, {self.w_dim})"
            )
        resolution = self.resolution if resolution is None else resolution
        if not (4 <= resolution <= self.resolution) or resolution & (resolution - 1):
            raise ValueError(f"resolution is {resolution}, expected a power of two from 4 to {self.resolution}")
        return resolution

    def _check_noise(self, noise: Sequence[Tensor] | None, batch: int) -> None:
        if noise is not None:
            found, expected = [tuple(map_.shape) for map_ in noise], [(batch, 1, n, n) for n in self.noise_sizes]
            if found != expected:
                raise ValueError(f"noise has shapes {found}, expected {expected}")
