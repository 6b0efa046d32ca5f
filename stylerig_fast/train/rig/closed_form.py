"""Step 2: the edit directions with the least side effects, in closed form.

For small edits, what pictures show and what F reconstructs are taken as linear in the whitened code (step 1). Then the
best offset c of the code for each parameter is a small quadratic problem: c should move the measures and landmarks as
they move on the rendered face model, or the light that F reconstructs, and it pays for its side effects: the length of
c, colours of the skin where the edit does not move it, the background, and the identity that F reconstructs.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

from stylerig_fast import ops
from stylerig_fast.face import Camera, FaceModel
from stylerig_fast.face.lighting import sh_basis
from stylerig_fast.measurement.measurements import MEASURES
from stylerig_fast.param_layout import BLOCKS, ParamLayout, edited_blocks
from stylerig_fast.params import FaceParams
from stylerig_fast.rignet import LinearRigNet, RigNet, SubspaceRigNet
from stylerig_fast.train.batch import code_statistics
from stylerig_fast.train.config import ClosedFormConfig
from stylerig_fast.train.rig.dataset_statistics import DatasetStatistics
from stylerig_fast.train.rig.picture_regression import ANGLES, LIGHT, PictureRegression, rendered_measures

_TURN = 0.15  # radians either way over which the face model's response to a turn is taken as linear
# A vertex counts as moved by an expression from this many decimetres on, or this share of the expression's largest
# motion; colours up to the third number of decimetres away from moved vertices are penalised less.
_MOVED, _MOVED_SHARE, _FRINGE = 0.012, 0.15, 0.06


@dataclass(frozen=True)
class LinearEditModel:
    """A linear model of what offsets of the code do, and the best offsets under it.

    Attributes:
        model: the face model.
        camera: F's.
        mean: one complete FaceParams, the average over the training portraits.
        response: ``(P, K)``; F(w) is about ``mean + response @ y`` for the whitened code y.
        pictures: what pictures show.
        background: ``(K, M)`` prediction of the background's components from y.
        weights: of the terms.
    """

    model: FaceModel
    camera: Camera
    mean: FaceParams
    response: Tensor
    pictures: PictureRegression
    background: Tensor
    weights: ClosedFormConfig

    @staticmethod
    def fit(stats: DatasetStatistics, weights: ClosedFormConfig) -> LinearEditModel:
        """The model of a training set."""
        model, source, codes = stats.model, stats.source, stats.whitened_codes
        mean = FaceParams.from_vector(source.mean(0, keepdim=True), model.sizes, model.expression_names)
        response = (source - source.mean(0)).T @ codes / len(codes)
        camera, pictures = stats.reconstructor.camera, stats.picture_regression
        return LinearEditModel(model, camera, mean, response, pictures, stats.background_regression, weights)

    def directions(self) -> dict[str, Tensor]:
        """The best offsets ``(C, K)`` per unit of each coefficient of the editable blocks, in standard deviations of
        the codes.
        """
        return {"rotation": self._turns(), "expression": self._expressions(), "illumination": self._lights()}

    def side_effect_penalty(self, preserved: Tensor | None = None) -> Tensor:
        """The matrix ``(K, K)`` of side effects: ``c @ penalty @ c`` for an offset c, 1 on average per weight for a
        random c of one standard deviation.

        Args:
            preserved: ``(V,)`` in [0, 1], how far the colour of each sampled vertex should stay; without it all of
                them should, except for changes that another light could explain.
        """
        colours, total = self._colours(preserved), self._total_colour_change
        if preserved is None:
            shading, _ = torch.linalg.qr(self._shading().flatten(1).T)
            colours = colours - (colours @ shading) @ shading.T
            total = colours.square().sum()
        return self._penalty_without_colours + self.weights.colours * colours @ colours.T / total

    def penalty_beyond_reconstructor(self) -> Tensor:
        """``(K, K)``: the side effects, and changes of all measures but pose and light, which F judges less well."""
        rest = [i for i, name in enumerate(MEASURES) if name not in ("yaw", "pitch", "light")]
        measures = self.pictures.measures[:, rest]
        return self.side_effect_penalty() + self.weights.measures * measures @ measures.T

    def corrective_directions(self) -> Tensor:
        """Offsets ``(M, K)`` that move one measure by a standard deviation and leave the others, as far as it pays.

        Roll is not corrected (zeros): hardly any portrait shows some, so that it costs much and is worth little.
        """
        measures = self.pictures.measures.clone()
        measures[:, MEASURES.index("roll")] = 0
        reward = self.weights.corrective * measures
        return torch.linalg.solve(self.side_effect_penalty() + reward @ measures.T, reward).T

    def _turns(self) -> Tensor:
        rotation = self.mean.blocks["rotation"]
        steps = torch.eye(3, dtype=rotation.dtype, device=rotation.device) * _TURN
        after = self._rendered(self.mean.expand(3).with_blocks(rotation=rotation + steps))
        before = self._rendered(self.mean.expand(3).with_blocks(rotation=rotation - steps))
        targets = [(b - a) / (2 * _TURN) for a, b in zip(before, after, strict=True)]
        return self._solve(self.side_effect_penalty(), *targets)

    def _expressions(self) -> Tensor:
        mean = self.mean.blocks["expression"]
        count = mean.shape[1]
        rest, full = mean.expand(count, -1).clone(), mean.expand(count, -1).clone()
        rest.fill_diagonal_(0.0)
        full.fill_diagonal_(1.0)
        before = self._rendered(self.mean.expand(count).with_blocks(expression=rest))
        after = self._rendered(self.mean.expand(count).with_blocks(expression=full))
        targets = [b - a for a, b in zip(before, after, strict=True)]
        targets[0][:, ANGLES] = 0  # an expression turns no head, whatever a fit to its landmarks says
        places = self.model.mean[self.pictures.vertices]
        directions = []
        for unit in range(count):
            motion = self.model.expression[unit, self.pictures.vertices].norm(dim=-1)
            moved = motion > max(_MOVED, _MOVED_SHARE * float(motion.max()))
            preserved = torch.ones_like(motion)
            if bool(moved.any()):
                preserved = (torch.cdist(places, places[moved]).amin(1) / _FRINGE).clamp(0, 1)
            target = (value[unit : unit + 1] for value in targets)
            directions.append(self._solve(self.side_effect_penalty(preserved), *target))
        return torch.cat(directions)

    def _lights(self) -> Tensor:
        response = self.response[ParamLayout(self.model.sizes).slice("illumination")].T
        # A wrong light counts by what it does to the colours of the average face.
        shading = self._shading().unflatten(0, (3, 9)).transpose(0, 1).flatten(0, 1).flatten(1)
        metric = shading @ shading.T
        reward = self.weights.light * response @ metric / (response @ metric @ response.T).trace()
        others = self.pictures.measures[:, [i for i in range(len(MEASURES)) if i != LIGHT]]
        system = self.side_effect_penalty() + self.weights.measures * others @ others.T + reward @ response.T
        return torch.linalg.solve(system, reward).T

    def _rendered(self, params: FaceParams) -> tuple[Tensor, Tensor]:
        return rendered_measures(self.model, params, self.camera, self.pictures.std)

    def _solve(self, penalty: Tensor, measures: Tensor, landmarks: Tensor) -> Tensor:
        """The best offsets ``(C, K)`` for changes of the measures ``(C, M)`` and landmarks ``(C, L)``."""
        shown = self.pictures
        reward = self.weights.measures * shown.measures @ measures.T
        reward = reward + self._landmark_weight * shown.landmarks @ landmarks.T
        return torch.linalg.solve(penalty + self._motion, reward).T

    # ---- the same for every parameter ---------------------------------------------------------------

    @property
    def _landmark_weight(self) -> float:
        return self.weights.landmarks / self.pictures.landmarks.shape[1]

    @cached_property
    def _motion(self) -> Tensor:
        """``(K, K)``: weighted squared change of measures and landmarks by an offset."""
        measures, landmarks = self.pictures.measures, self.pictures.landmarks
        return self.weights.measures * measures @ measures.T + self._landmark_weight * landmarks @ landmarks.T

    @cached_property
    def _penalty_without_colours(self) -> Tensor:
        weights, k = self.weights, self.response.shape[1]
        identity = self.response[: self.model.sizes["identity"] + self.model.sizes["albedo"]].T
        return (
            weights.length / k * torch.eye(k, dtype=self.response.dtype, device=self.response.device)
            + weights.background * _unit_trace(self.background)
            + weights.identity * _unit_trace(identity)
        )

    @cached_property
    def _total_colour_change(self) -> Tensor:
        return self._colours().square().sum()

    def _colours(self, preserved: Tensor | None = None) -> Tensor:
        weight = self.pictures.visibility if preserved is None else self.pictures.visibility * preserved
        return (self.pictures.colours * weight.sqrt()[:, None]).flatten(1)

    def _shading(self) -> Tensor:
        """``(27, V, 3)``: what each coefficient of the light adds to the colours, channel by channel."""
        normals = ops.vertex_normals(self.model.mean[None], self.model.triangles)[0, self.pictures.vertices]
        lit = sh_basis(normals).T[:, :, None] * self.model.albedo_mean[self.pictures.vertices]
        channels = torch.eye(3, dtype=lit.dtype, device=lit.device)
        shading = (channels[:, None, None] * lit).flatten(0, 1)
        return shading * self.pictures.visibility.sqrt()[:, None]


def _unit_trace(matrix: Tensor) -> Tensor:
    """``matrix @ matrix.T``, scaled to trace 1."""
    return matrix @ matrix.T / matrix.square().sum()


# ---- the rig that starts from it ------------------------------------------------------------------------


@torch.no_grad()
def initialise(rig: RigNet, stats: DatasetStatistics, edit_model: LinearEditModel | None = None) -> None:
    """Fills a new RigNet's statistics, and its edit directions where an edit model is given.

    Args:
        rig: changed in place.
        stats: of the training set.
        edit_model: gives the directions; without it the rig edits nothing yet.

    Raises:
        ValueError: an edit model for a form of RigNet that has no directions to fill.
    """
    mean, std = stats.source.mean(0), stats.source.std(0).clamp_min(1e-6)
    if isinstance(rig, LinearRigNet):
        w_mean, w_std = code_statistics(stats.portraits)
        rig.w_mean.copy_(w_mean)
        rig.w_std.copy_(w_std.clamp_min(1e-6))
        rig.p_mean.copy_(mean)
        rig.p_std.copy_(std)
    if isinstance(rig, SubspaceRigNet):
        pca = stats.latent_pca
        rig.w_mean.copy_(pca.mean.view_as(rig.w_mean))
        rig.basis.copy_(pca.basis)
        rig.std.copy_(pca.std)
        rig.p_std.copy_(delta_scale(std, rig.config.sizes)[rig.columns])
        rig.source_mean.copy_(mean)
        rig.source_std.copy_(std)
    if edit_model is not None:
        if not isinstance(rig, SubspaceRigNet):
            raise ValueError("only the subspace form starts from solved directions; pass --closed-form.start zero")
        directions = edit_model.directions()
        blocks = edited_blocks(rig.config.controls)
        rig.direction[: len(rig.p_std)] = torch.cat([directions[name] for name in blocks]) * rig.p_std[:, None]
        # Zero until step 5 fills them: a product of zeros has no gradient, so that step 4 leaves them alone.
        for value in (rig.delta_factor, rig.code_factor, rig.source_factor):
            value[:, image_ranks(rig)] = 0
        rig.product[image_ranks(rig)] = 0


def delta_scale(std: Tensor, sizes: Mapping[str, int]) -> Tensor:
    """The unit in which RigNet measures a change of each parameter: F's standard deviations over people, but no less
    than 0.3 of the root mean square of their block.

    Some expressions hardly vary over people (nobody shows the tongue); in their own standard deviations, moving their
    slider would be a change of any size.

    Args:
        std: ``(P,)`` standard deviations.
        sizes: number of coefficients of each block.

    Returns:
        ``(P,)``.
    """
    blocks = [std[ParamLayout(sizes).slice(name)] for name in BLOCKS]
    return torch.cat([block.clamp_min(0.3 * float(block.square().mean().sqrt())) for block in blocks])


def reconstructor_ranks(rig: SubspaceRigNet) -> slice:
    """The half of the rig's rank that steps 3 and 4 use, which learn from F."""
    return slice(0, rig.config.rank - rig.config.rank // 2)


def image_ranks(rig: SubspaceRigNet) -> slice:
    """The half of the rig's rank that step 5 uses, which learns from pictures."""
    return slice(reconstructor_ranks(rig).stop, rig.config.rank)
