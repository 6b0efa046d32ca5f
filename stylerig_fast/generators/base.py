"""What every generator offers, whatever network is inside."""

from __future__ import annotations

from abc import abstractmethod

import torch
from torch import Tensor, nn


class Generator(nn.Module):
    """A pretrained StyleGAN-like portrait generator, ``I_w = G(w)``.

    Attributes:
        name: what it is, as written into portrait sets and checked by weights trained on it.
        num_ws: slots of W+.
        w_dim: length of the code of one slot.
        resolution: width and height of its pictures in pixels, a power of two.
        w_mean: ``(w_dim,)`` buffer, the mean of mapped codes, towards which `sample` truncates.
    """

    name: str
    num_ws: int
    w_dim: int = 512
    resolution: int
    w_mean: Tensor

    @abstractmethod
    def mapping(self, z: Tensor) -> Tensor:
        """Maps input latents to latent codes: ``(B, 512)`` -> ``(B, 512)``.

        Raises:
            ValueError: ``z`` has another shape or dtype.
        """

    @abstractmethod
    def synthesis(self, ws: Tensor, resolution: int | None = None) -> Tensor:
        """Makes the pictures of latent codes.

        Args:
            ws: ``(B, num_ws, 512)``.
            resolution: width and height to return, a power of two up to `Generator.resolution` (the default). A
                smaller picture is the box mean of the whole one, up to rounding, and never costs more.

        Returns:
            ``(B, 3, resolution, resolution)`` RGB in about [-1, 1], not clamped.

        Raises:
            ValueError: ``ws`` has another shape or dtype, or ``resolution`` is no power of two in range.
        """

    @torch.no_grad()
    def sample(self, n: int = 1, seed: int = 0, psi: float = 0.7) -> Tensor:
        """Draws the codes of ``n`` random people.

        The input latents are drawn on the CPU, so that a seed means the same person on every device; the first of
        ``sample(8, seed)`` is the one of ``sample(1, seed)``, up to rounding.

        Args:
            n: how many.
            seed: any integer that `torch.Generator` takes.
            psi: truncation; 1 leaves codes as they are, 0 gives the mean face.

        Returns:
            ``(n, num_ws, 512)``, the same code in all slots.
        """
        if n < 0:
            raise ValueError(f"n is {n}, expected 0 or more")
        z = torch.randn(n, self.w_dim, generator=torch.Generator().manual_seed(seed))
        w = torch.lerp(self.w_mean, self.mapping(z.to(self.w_mean)), psi)
        return w[:, None].repeat(1, self.num_ws, 1)

    def forward(self, ws: Tensor, resolution: int | None = None) -> Tensor:
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
