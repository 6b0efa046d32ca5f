"""What both trainings minimise: the weighted render loss, and the priors on F's parameters."""

from __future__ import annotations

import torch
from torch import Tensor

from stylerig_fast.face import Camera, FaceModel
from stylerig_fast.face.landmarks import JAW, PAPER_66
from stylerig_fast.face.units import mirrored_indices, side_of
from stylerig_fast.params import FaceParams
from stylerig_fast.render import render_loss
from stylerig_fast.train.config import PriorWeights, RenderWeights


def landmark_weights(weights: RenderWeights) -> Tensor:
    """Weights of the landmarks, ``(68,)``, with mean 1 over the paper's 66."""
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
        """Weighted loss terms, ``(B,)`` each.

        Args:
            params: what to render, of B faces.
            target: ``(B, 3, H, W)`` pictures in [0, 1].
            landmarks: ``(B, 68, 2)`` their landmarks, in picture widths.
            detected: ``(B,)`` 1 or 0; landmarks of undetected faces do not count.
        """
        loss = render_loss(self.model, params, self.camera, target, landmarks, self.landmark_weights)
        return {
            "photometric": self.weights.photometric * loss.photometric,
            "landmarks": self.weights.landmarks * loss.landmarks * detected,
        }


class Priors:
    """The statistical regularisation of F."""

    def __init__(self, model: FaceModel, weights: PriorWeights) -> None:
        self.weights = weights
        names = model.expression_names
        # Indices, no mask: how many columns a mask selects, a GPU cannot tell without a synchronisation.
        named = [i for i, name in enumerate(names) if not name.startswith("residual_")]
        self.named = torch.tensor(named, dtype=torch.long, device=model.mean.device)
        pairs = [(i, j) for i, j in enumerate(mirrored_indices(names)) if j != i and side_of(names[i]) == "Left"]
        self.left = torch.tensor([left for left, _ in pairs], dtype=torch.long, device=model.mean.device)
        self.right = torch.tensor([right for _, right in pairs], dtype=torch.long, device=model.mean.device)

    def __call__(self, params: FaceParams) -> dict[str, Tensor]:
        """Weighted terms of B faces, ``(B,)`` each; those of an empty set of coefficients are left out."""
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
