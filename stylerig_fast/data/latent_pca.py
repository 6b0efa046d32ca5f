"""The joint PCA of W+: how codes vary, over all slots at once."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from stylerig_fast.data.portraits import PortraitSet


@dataclass(frozen=True)
class LatentPCA:
    """Principal components of the flattened codes; D = num_ws * w_dim.

    Attributes:
        mean: ``(D,)``.
        basis: ``(K, D)`` orthonormal rows, largest variance first.
        std: ``(K,)`` standard deviation of the codes along each component.
    """

    mean: Tensor
    basis: Tensor
    std: Tensor

    @staticmethod
    def fit(portraits: PortraitSet, components: int, seed: int = 0) -> LatentPCA:
        """By randomised subspace iteration (Halko et al. 2011).

        Raises:
            ValueError: more components than portraits.
        """
        codes = portraits.ws().flatten(1)
        mean = codes.mean(0)
        codes -= mean
        draw = torch.Generator().manual_seed(seed)
        width = min(components + 64, *codes.shape)
        if components > width:
            raise ValueError(f"{components} components of {len(portraits)} portraits; use fewer, or more portraits")
        span = torch.randn(codes.shape[1], width, generator=draw)
        for _ in range(4):
            span, _ = torch.linalg.qr(codes.T @ (codes @ span))
        inner = codes @ span
        variance, turn = torch.linalg.eigh(inner.T @ inner / len(codes))
        order = variance.argsort(descending=True)[:components]
        return LatentPCA(mean, (span @ turn[:, order]).T.contiguous(), variance[order].clamp_min(1e-12).sqrt())

    def to(self, device: str | torch.device) -> LatentPCA:
        """The components on ``device``."""
        return LatentPCA(self.mean.to(device), self.basis.to(device), self.std.to(device))

    def whiten_offset(self, offset: Tensor) -> Tensor:
        """Differences of codes ``(B, num_ws, w_dim)`` in standard deviations along the components, ``(B, K)``."""
        return offset.flatten(1) @ self.basis.T / self.std

    def whiten(self, w: Tensor) -> Tensor:
        """Codes ``(B, num_ws, w_dim)`` as uncorrelated coordinates of unit variance, ``(B, K)``."""
        return self.whiten_offset(w - self.mean.view(w.shape[1:]))

    def whiten_all(self, portraits: PortraitSet) -> Tensor:
        """`whiten` of every portrait, ``(N, K)``."""
        blocks = torch.arange(len(portraits)).split(1000)
        return torch.cat([self.whiten(portraits.ws(index).to(self.mean.device)) for index in blocks])
