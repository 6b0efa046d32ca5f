"""Directions of a linear world: the offsets that answer each request, if everything were straight.

Per request a small quadratic problem in the whitened code c has a closed form. Asked for is what the rendered face
model shows: its measures and landmarks move (`observed`), or F sees the light. Everything else is a price: the length
of c, colours of the skin where the request does not move it, surroundings, and the identity that F sees.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

from stylerig_fast import ops
from stylerig_fast.face import Camera, FaceModel
from stylerig_fast.face.lighting import sh_basis
from stylerig_fast.measurement.measurements import MEASURES
from stylerig_fast.params import BLOCKS, FaceParams
from stylerig_fast.train.observed import ANGLES, LIGHT, Observed, rendered_answers
from stylerig_fast.train.weights import DirectionWeights

_TURN = 0.15  # radians either way over which the model's answer to a turn is taken as straight
# A vertex counts as moved by a unit from this many decimetres, or this share of the unit's widest way, on; colours up
# to the second number of decimetres away from it count less.
_MOVED, _MOVED_SHARE, _FRINGE = 0.012, 0.15, 0.06


@dataclass(frozen=True)
class LinearWorld:
    """The training problem with everything straight.

    Attributes:
        model: the face model. camera: F's. mean: one complete FaceParams, the average of what F sees.
        mixing: ``(P, K)``; F(w) is about ``mean + mixing @ y`` for the whitened code y.
        observed: what pictures show.
        surroundings: ``(K, M)`` prediction of the surroundings' components from y.
        weights: of the terms.
    """

    model: FaceModel
    camera: Camera
    mean: FaceParams
    mixing: Tensor
    observed: Observed
    surroundings: Tensor
    weights: DirectionWeights

    @staticmethod
    def of(
        own: Tensor,
        codes: Tensor,
        observed: Observed,
        surroundings: Tensor,
        model: FaceModel,
        camera: Camera,
        weights: DirectionWeights,
    ) -> LinearWorld:
        """From a training set: F of its codes ``(N, P)``, and its whitened codes ``(N, K)``."""
        mean = FaceParams.from_vector(own.mean(0, keepdim=True), model.sizes, model.expression_names)
        return LinearWorld(
            model, camera, mean, (own - own.mean(0)).T @ codes / len(codes), observed, surroundings, weights
        )

    def directions(self) -> dict[str, Tensor]:
        """Offsets ``(C, K)`` in deviations of the codes, per unit of each coefficient of the editable blocks."""
        return {"rotation": self._turns(), "expression": self._units(), "illumination": self._lights()}

    def price(self, kept: Tensor | None = None) -> Tensor:
        """``(K, K)``: ``c @ price @ c`` is what the offset c changes unasked, 1 at a random c of one deviation.

        Args:
            kept: ``(V,)`` how far the colour of each sampled vertex may not change; without it all of them count,
                less what another light could explain.
        """
        colours, whole = self._colours(kept), self._seen_colours
        if kept is None:
            shading, _ = torch.linalg.qr(self._shading().flatten(1).T)
            colours = colours - (colours @ shading) @ shading.T
            whole = colours.square().sum()
        return self._price_but_colours + self.weights.colours * colours @ colours.T / whole

    def unmeasured(self) -> Tensor:
        """``(K, K)``: the price, and what changes in measures that F does not judge well: all but pose and light."""
        rest = [i for i, name in enumerate(MEASURES) if name not in ("yaw", "pitch", "light")]
        measures = self.observed.measures[:, rest]
        return self.price() + self.weights.measures * measures @ measures.T

    def mending(self) -> Tensor:
        """Offsets ``(M, K)`` that move one of the measures by a deviation and leave the others, as far as it pays.

        Roll is not mended (zeros): hardly a portrait shows any, so that it costs much and is worth little.
        """
        measures = self.observed.measures.clone()
        measures[:, MEASURES.index("roll")] = 0
        asked = self.weights.mending * measures
        return torch.linalg.solve(self.price() + asked @ measures.T, asked).T

    def _turns(self) -> Tensor:
        rotation = self.mean.blocks["rotation"]
        steps = torch.eye(3, dtype=rotation.dtype, device=rotation.device) * _TURN
        after = self._answers(self.mean.expand(3).with_blocks(rotation=rotation + steps))
        before = self._answers(self.mean.expand(3).with_blocks(rotation=rotation - steps))
        wanted = [(b - a) / (2 * _TURN) for a, b in zip(before, after, strict=True)]
        return self._solve(self.price(), *wanted)

    def _units(self) -> Tensor:
        own = self.mean.blocks["expression"]
        count = own.shape[1]
        rest, full = own.expand(count, -1).clone(), own.expand(count, -1).clone()
        rest.fill_diagonal_(0.0)
        full.fill_diagonal_(1.0)
        before = self._answers(self.mean.expand(count).with_blocks(expression=rest))
        after = self._answers(self.mean.expand(count).with_blocks(expression=full))
        wanted = [b - a for a, b in zip(before, after, strict=True)]
        wanted[0][:, ANGLES] = 0  # a unit turns no head, whatever a fit to its landmarks says
        places = self.model.mean[self.observed.vertices]
        found = []
        for unit in range(count):
            moved = self.model.expression[unit, self.observed.vertices].norm(dim=-1)
            wide = moved > max(_MOVED, _MOVED_SHARE * float(moved.max()))
            kept = torch.ones_like(moved)
            if bool(wide.any()):
                kept = (torch.cdist(places, places[wide]).amin(1) / _FRINGE).clamp(0, 1)
            found.append(self._solve(self.price(kept), *(value[unit : unit + 1] for value in wanted)))
        return torch.cat(found)

    def _lights(self) -> Tensor:
        start = sum(self.model.sizes[name] for name in BLOCKS[: BLOCKS.index("illumination")])
        seen = self.mixing[start : start + self.model.sizes["illumination"]].T
        # A wrong light costs what it does to the colours of the average face.
        shading = self._shading().unflatten(0, (3, 9)).transpose(0, 1).flatten(0, 1).flatten(1)
        metric = shading @ shading.T
        pull = self.weights.light * seen @ metric / (seen @ metric @ seen.T).trace()
        kept = self.observed.measures[:, [i for i in range(len(MEASURES)) if i != LIGHT]]
        system = self.price() + self.weights.measures * kept @ kept.T + pull @ seen.T
        return torch.linalg.solve(system, pull).T

    def _answers(self, params: FaceParams) -> tuple[Tensor, Tensor]:
        return rendered_answers(self.model, params, self.camera, self.observed.deviation)

    def _solve(self, price: Tensor, measures: Tensor, landmarks: Tensor) -> Tensor:
        """Offsets ``(C, K)`` that move the measures ``(C, M)`` and landmarks ``(C, L)``."""
        seen = self.observed
        asked = self.weights.measures * seen.measures @ measures.T + self._share * seen.landmarks @ landmarks.T
        return torch.linalg.solve(price + self._asked, asked).T

    # ---- what is the same for every request ---------------------------------------------------------

    @property
    def _share(self) -> float:
        return self.weights.landmarks / self.observed.landmarks.shape[1]

    @cached_property
    def _asked(self) -> Tensor:
        """``(K, K)``: what any change of measures and landmarks counts."""
        measures, landmarks = self.observed.measures, self.observed.landmarks
        return self.weights.measures * measures @ measures.T + self._share * landmarks @ landmarks.T

    @cached_property
    def _price_but_colours(self) -> Tensor:
        weights, k = self.weights, self.mixing.shape[1]
        identity = self.mixing[: self.model.sizes["identity"] + self.model.sizes["albedo"]].T
        return (
            weights.length / k * torch.eye(k, dtype=self.mixing.dtype, device=self.mixing.device)
            + weights.surroundings * _unit(self.surroundings)
            + weights.identity * _unit(identity)
        )

    @cached_property
    def _seen_colours(self) -> Tensor:
        return self._colours().square().sum()

    def _colours(self, kept: Tensor | None = None) -> Tensor:
        trust = self.observed.trust if kept is None else self.observed.trust * kept
        return (self.observed.colours * trust.sqrt()[:, None]).flatten(1)

    def _shading(self) -> Tensor:
        """``(27, V, 3)``: what each coefficient of the light adds to the colours, channel by channel."""
        normals = ops.vertex_normals(self.model.mean[None], self.model.triangles)[0, self.observed.vertices]
        lit = sh_basis(normals).T[:, :, None] * self.model.albedo_mean[self.observed.vertices]
        channels = torch.eye(3, dtype=lit.dtype, device=lit.device)
        shading = (channels[:, None, None] * lit).flatten(0, 1)
        return shading * self.observed.trust.sqrt()[:, None]


def _unit(map_: Tensor) -> Tensor:
    """``map_ @ map_.T``, scaled to trace 1."""
    return map_ @ map_.T / map_.square().sum()
