"""What both training stages minimise: the render loss with its weights, and the priors on the parameters."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from stylerig_fast.face import Camera, FaceModel
from stylerig_fast.face.landmarks import JAW, PAPER_66
from stylerig_fast.face.units import mirrored_indices, side_of
from stylerig_fast.params import FaceParams
from stylerig_fast.render import render_loss


@dataclass(frozen=True)
class RenderWeights:
    """Weights of L_render. The paper's landmark weights (17.5 pose, 100 expression, 7.8 illumination) belong to sums
    and pixel units that it does not state, so only their ratios carry over.
    """

    photometric: float = 2.0  # weight of the mean squared RGB difference in the mask
    landmarks: float = 60.0  # weight of the mean squared landmark distance, image widths
    jaw: float = 0.1  # weight of the 17 jaw-line landmarks, which slide on the silhouette, against the inner ones


@dataclass(frozen=True)
class PriorWeights:
    """Statistical regularisation of what F predicts; each multiplies a mean of squares."""

    identity: float = 8e-3  # alpha, standard deviations
    albedo: float = 1e-3  # beta, standard deviations
    expression: float = 5e-2  # delta, units
    negative_expression: float = 1.5e-1  # part of a named unit below 0 or above 1
    asymmetric_expression: float = 1e-1  # left unit minus right unit: it absorbs yaw (Yaw leaks into identity)
    light_colour: float = 1e-3  # difference of gamma between colour channels: skin tone belongs to albedo
    light_shape: float = 1e-3  # bands 1 and 2 of gamma


def landmark_weights(weights: RenderWeights) -> Tensor:
    """``(68,)`` with mean 1 over the paper's 66 landmarks."""
    values = torch.zeros(68)
    values[list(PAPER_66)] = 1.0
    values[list(JAW)] = weights.jaw
    return values * (len(PAPER_66) / values.sum())


class RenderObjective:
    """L_render(I, p) = L_photo + lambda_land L_land (Tewari et al. 2020, eq. 2) for one face model and camera."""

    def __init__(self, model: FaceModel, camera: Camera, weights: RenderWeights) -> None:
        self.model, self.camera, self.weights = model, camera, weights
        self.landmark_weights = landmark_weights(weights).to(model.mean.device)

    def __call__(self, params: FaceParams, target: Tensor, landmarks: Tensor, detected: Tensor) -> dict[str, Tensor]:
        """Weighted loss parts, ``(B,)`` each.

        Args:
            params: what to render.
            target: ``(B, 3, H, W)`` in [0, 1].
            landmarks: ``(B, 68, 2)`` image widths.
            detected: ``(B,)`` bool; landmarks of undetected faces do not count.
        """
        loss = render_loss(self.model, params, self.camera, target, landmarks, self.landmark_weights)
        return {
            "photometric": self.weights.photometric * loss.photometric,
            "landmarks": self.weights.landmarks * loss.landmarks * detected,
        }


class Priors:
    """The regularisation terms of F, ``(B,)`` each."""

    def __init__(self, model: FaceModel, weights: PriorWeights) -> None:
        self.weights = weights
        names = model.expression_names
        # Indices, no mask: how many columns a mask chooses is nothing that a GPU tells without a wait.
        named = [i for i, name in enumerate(names) if not name.startswith("residual_")]
        self.named = torch.tensor(named, dtype=torch.long, device=model.mean.device)
        pairs = [(i, j) for i, j in enumerate(mirrored_indices(names)) if j != i and side_of(names[i]) == "Left"]
        self.left = torch.tensor([left for left, _ in pairs], dtype=torch.long, device=model.mean.device)
        self.right = torch.tensor([right for _, right in pairs], dtype=torch.long, device=model.mean.device)

    def __call__(self, params: FaceParams) -> dict[str, Tensor]:
        blocks, weights = params.blocks, self.weights
        expression, gamma = blocks["expression"], blocks["illumination"]
        outside = expression - expression.clamp(0, 1)
        terms = {
            "identity": blocks["identity"],
            "albedo": blocks["albedo"],
            "expression": expression,
            "negative_expression": outside[:, self.named],
            "asymmetric_expression": expression[:, self.left] - expression[:, self.right],
            "light_colour": gamma - gamma.mean(-1, keepdim=True),
            "light_shape": gamma[:, 1:],
        }
        return {
            name: getattr(weights, name) * value.flatten(1).square().mean(1)
            for name, value in terms.items()
            if value.numel()
        }
