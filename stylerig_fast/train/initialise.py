"""Where RigNet starts: statistics of codes and parameters, the joint PCA of W+, and the pattern regression."""

from __future__ import annotations

import torch
from torch import Tensor

from stylerig_fast.data.portraits import PortraitSet
from stylerig_fast.rignet import LinearRigNet, RigNet, SubspaceRigNet
from stylerig_fast.train.batches import code_statistics


def joint_pca(portraits: PortraitSet, components: int, seed: int = 0) -> tuple[Tensor, Tensor, Tensor]:
    """Principal components of the flattened W+ codes, by randomised subspace iteration (Halko et al. 2011).

    Returns:
        mean ``(D,)``, orthonormal basis ``(K, D)``, deviations ``(K,)``, largest first; D = num_ws * 512.
    """
    codes = portraits.ws().flatten(1)
    mean = codes.mean(0)
    codes -= mean
    draw = torch.Generator().manual_seed(seed)
    width = min(components + 64, codes.shape[0], codes.shape[1])
    if components > width:
        raise ValueError(f"{components} components asked of {len(portraits)} portraits; use fewer or more portraits")
    span = torch.randn(codes.shape[1], width, generator=draw)
    for _ in range(4):
        span, _ = torch.linalg.qr(codes.T @ (codes @ span))
    inner = codes @ span
    variance, turn = torch.linalg.eigh(inner.T @ inner / len(codes))
    order = variance.argsort(descending=True)[:components]
    return mean, (span @ turn[:, order]).T.contiguous(), variance[order].clamp_min(1e-12).sqrt()


def pattern(codes: Tensor, own: Tensor, columns: Tensor, ridge: float = 0.1) -> Tensor:
    """The regression of whitened codes on all of F's parameters, rows of the edited ones ``(C, K)``.

    For a linear F it is the smallest change, in deviations of the codes, that moves one parameter by a deviation and
    leaves all the others where they are.

    Args:
        codes: ``(N, K)`` whitened.
        own: ``(N, P)`` F of the codes.
        columns: ``(C,)`` the edited ones of the P.
        ridge: added to the correlation of the parameters.
    """
    q = (own - own.mean(0)) / own.std(0).clamp_min(1e-6)
    correlation = q.T @ q / len(q)
    together = q.T @ codes / len(q)
    system = correlation + ridge * torch.eye(q.shape[1], device=q.device)
    return torch.linalg.solve(system, together)[columns]


@torch.no_grad()
def initialise(rig: RigNet, portraits: PortraitSet, own: Tensor, start: str) -> None:
    """Fills a new RigNet's statistics, and its first directions when ``start`` is "pattern"."""
    mean, std = own.mean(0), own.std(0).clamp_min(1e-6)
    if isinstance(rig, LinearRigNet):
        w_mean, w_std = code_statistics(portraits)
        rig.w_mean.copy_(w_mean)
        rig.w_std.copy_(w_std.clamp_min(1e-6))
        rig.p_mean.copy_(mean)
        rig.p_std.copy_(std)
    if isinstance(rig, SubspaceRigNet):
        w_mean, basis, deviation = joint_pca(portraits, rig.config.components)
        rig.w_mean.copy_(w_mean.view_as(rig.w_mean))
        rig.basis.copy_(basis)
        rig.deviation.copy_(deviation)
        rig.p_std.copy_(std[rig.columns])
        if start == "pattern":
            device = own.device
            blocks = torch.arange(len(portraits)).split(1000)
            codes = torch.cat([rig.whitened(portraits.ws(i).to(device)) for i in blocks])
            rig.direction.copy_(pattern(codes, own, rig.columns))
