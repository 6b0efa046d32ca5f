"""Where RigNet starts: statistics of codes and parameters, and the directions of a linear world."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from stylerig_fast.data.latent_pca import LatentPCA
from stylerig_fast.data.portraits import PortraitSet
from stylerig_fast.param_layout import BLOCKS, ParamLayout, edited_blocks
from stylerig_fast.rignet import LinearRigNet, RigNet, SubspaceRigNet
from stylerig_fast.train.batches import code_statistics
from stylerig_fast.train.directions import LinearWorld


def request_scale(std: Tensor, sizes: Mapping[str, int]) -> Tensor:
    """What RigNet counts a request in, ``(P,)``: F's deviations, but no less than 0.3 of their block's.

    Some units hardly vary over people (nobody shows the tongue); in their own deviations, moving their slider would be
    a request of any size.
    """
    blocks = [std[ParamLayout(sizes).slice(name)] for name in BLOCKS]
    return torch.cat([block.clamp_min(0.3 * float(block.square().mean().sqrt())) for block in blocks])


def f_columns(rig: SubspaceRigNet) -> slice:
    """The half of the rig's rank for what F sees (`personal`) and for training."""
    return slice(0, rig.config.rank - rig.config.rank // 2)


def picture_columns(rig: SubspaceRigNet) -> slice:
    """The half for what pictures show (`pictured`)."""
    return slice(f_columns(rig).stop, rig.config.rank)


@torch.no_grad()
def initialise(
    rig: RigNet,
    portraits: PortraitSet,
    own: Tensor,
    space: LatentPCA,
    world: LinearWorld | None = None,
) -> None:
    """Fills a new RigNet's statistics, and its first directions when a linear world is given.

    Args:
        rig: to be filled.
        portraits: training set.
        own: ``(N, P)`` F of its codes.
        space: the joint PCA of its codes.
        world: where the directions start from; from no edit without.

    Raises:
        ValueError: a world for a form that has no directions to start.
    """
    mean, std = own.mean(0), own.std(0).clamp_min(1e-6)
    if isinstance(rig, LinearRigNet):
        w_mean, w_std = code_statistics(portraits)
        rig.w_mean.copy_(w_mean)
        rig.w_std.copy_(w_std.clamp_min(1e-6))
        rig.p_mean.copy_(mean)
        rig.p_std.copy_(std)
    if isinstance(rig, SubspaceRigNet):
        rig.w_mean.copy_(space.mean.view_as(rig.w_mean))
        rig.basis.copy_(space.basis)
        rig.std.copy_(space.deviation)
        rig.p_std.copy_(request_scale(std, rig.config.sizes)[rig.columns])
        rig.source_mean.copy_(mean)
        rig.source_std.copy_(std)
    if world is not None:
        if not isinstance(rig, SubspaceRigNet):
            raise ValueError("only the subspace form starts from the linear world; pass --start zero")
        directions = world.directions()
        blocks = edited_blocks(rig.config.controls)
        rig.direction[: len(rig.p_std)] = torch.cat([directions[name] for name in blocks]) * rig.p_std[:, None]
        # Empty until pictures fill them: beside zeros nothing has a gradient, so that training leaves them alone.
        for value in (rig.delta_factor, rig.code_factor, rig.source_factor):
            value[:, picture_columns(rig)] = 0
        rig.product[picture_columns(rig)] = 0
