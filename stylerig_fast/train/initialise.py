"""Where RigNet starts: statistics of codes and parameters, and the best directions if everything were linear."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from stylerig_fast.data.portraits import PortraitSet
from stylerig_fast.face import FaceModel
from stylerig_fast.params import BLOCKS, FaceParams
from stylerig_fast.rignet import LinearRigNet, RigNet, SubspaceRigNet
from stylerig_fast.train.batches import code_statistics
from stylerig_fast.train.codespace import CodeSpace
from stylerig_fast.train.context import Context
from stylerig_fast.train.requests import SurfaceObjective
from stylerig_fast.train.weights import RigWeights


@dataclass(frozen=True)
class LinearWorld:
    """The training problem with everything straight: parameters and surroundings linear in the whitened code y.

    Attributes:
        mixing: ``(P, K)``; F(w) is about ``mean + mixing @ y``.
        metric: ``(P, P)``; ``q @ metric @ q`` is what a wrong change q of the parameters costs on the surface.
        surroundings: ``(M, K)`` prediction of the surroundings' components from y.
    """

    mixing: Tensor
    metric: Tensor
    surroundings: Tensor

    def directions(self, changes: Tensor, weights: RigWeights) -> Tensor:
        """Offsets ``(C, K)``, in deviations of the codes, that best answer requested changes ``(C, P)``.

        The minimum over c of the slider losses of `RigWeights`: the surface moves as asked and not otherwise, the
        surroundings stay, c is short. For a metric that weighs all parameters alike this is the regression of the
        code on the parameters.
        """
        k, m = self.mixing.shape[1], self.surroundings.shape[0]
        pull = self.mixing.T @ self.metric
        system = pull @ self.mixing + weights.prior / k * torch.eye(k, dtype=pull.dtype, device=pull.device)
        system = system + weights.context / m * self.surroundings.T @ self.surroundings
        return torch.linalg.solve(system, pull @ changes.T).T


def surface_metric(surface: SurfaceObjective, mean: FaceParams, weights: RigWeights, sizes: dict[str, int]) -> Tensor:
    """`LinearWorld.metric` at the average face, translation left free.

    Args:
        surface: the slider losses.
        mean: one complete FaceParams.
        weights: of the losses.
        sizes: of the blocks of FaceParams.
    """
    vector = mean.vector()

    def seen(flat: Tensor) -> Tensor:
        points, colours = surface.surface(FaceParams.from_vector(flat[None], sizes, mean.expression_names))
        scale = (weights.surface / points.shape[1]) ** 0.5, (weights.shading / colours[0].numel()) ** 0.5
        return torch.cat([points.flatten() * scale[0], colours.flatten() * scale[1]])

    jacobian = torch.func.jacfwd(seen)(vector[0])
    metric = jacobian.T @ jacobian
    # Whatever a translation can explain costs nothing: the Schur complement of its block.
    free = slice(len(metric) - sizes["translation"], len(metric))
    inverse = torch.linalg.inv(metric[free, free])
    return metric - metric[:, free] @ inverse @ metric[free, :]


def request_scale(std: Tensor, sizes: Mapping[str, int]) -> Tensor:
    """What RigNet counts a request in, ``(P,)``: F's deviations, but no less than 0.3 of their block's.

    Some units hardly vary over people (nobody shows the tongue); in their own deviations, moving their slider would be
    a request of any size.
    """
    blocks = std.split([sizes[name] for name in BLOCKS])
    return torch.cat([block.clamp_min(0.3 * float(block.square().mean().sqrt())) for block in blocks])


@torch.no_grad()
def linear_world(
    own: Tensor,
    codes: Tensor,
    context: Context,
    surface: SurfaceObjective,
    weights: RigWeights,
    model: FaceModel,
) -> LinearWorld:
    """The linear world of a training set.

    Args:
        own: ``(N, P)`` F of the codes.
        codes: ``(N, K)`` whitened.
        context: prediction of the surroundings.
        surface: the slider losses.
        weights: of the losses.
        model: the face model.
    """
    mean = FaceParams.from_vector(own.mean(0, keepdim=True), model.sizes, model.expression_names)
    metric = surface_metric(surface, mean, weights, model.sizes)
    return LinearWorld((own - own.mean(0)).T @ codes / len(codes), metric, context.map.T)


@torch.no_grad()
def initialise(
    rig: RigNet,
    portraits: PortraitSet,
    own: Tensor,
    space: CodeSpace,
    world: LinearWorld | None = None,
    weights: RigWeights | None = None,
) -> None:
    """Fills a new RigNet's statistics, and its first directions when a linear world is given.

    Args:
        rig: to be filled.
        portraits: training set.
        own: ``(N, P)`` F of its codes.
        space: the joint PCA of its codes.
        world: where the directions start from; from no edit without.
        weights: of the losses; needed with ``world``.

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
        rig.deviation.copy_(space.deviation)
        rig.p_std.copy_(request_scale(std, rig.config.sizes)[rig.columns])
    if world is not None:
        if not isinstance(rig, SubspaceRigNet) or weights is None:
            raise ValueError("only the subspace form starts from the linear world; pass --start zero")
        changes = torch.zeros(len(rig.columns), own.shape[1], device=own.device)
        changes[torch.arange(len(rig.columns)), rig.columns] = rig.p_std
        rig.direction.copy_(world.directions(changes, weights))
