"""Head pose from 68 landmarks, by fitting a face model: no learning, no part of the reconstructor.

Rotation, translation and shape are fitted by damped Gauss-Newton to the 51 inner landmarks and, with little weight,
to the five of the chin. The rest of the jaw line slides on the silhouette when the head turns and has no say; brows
move with the expression and count for a third. The shape is a Gaussian around the model's mean whose
covariance holds the identity and expression modes, made symmetric left to right: an asymmetric shape can look
like a turned head, and would absorb part of the yaw. Mirrored landmarks therefore give exactly the mirrored pose.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from stylerig_fast.face import Camera, FaceModel
from stylerig_fast.face.landmarks import JAW, LEFT_BROW, MIRROR, OUTER_EYE_CORNERS, RIGHT_BROW
from stylerig_fast.face.rotation import axis_angle_to_matrix, degrees_to_matrix, matrix_to_degrees

# How far landmarks of a perfect shape may lie off, in outer-eye distances: what the shape prior is weighed with.
# This, the spread and the weights below were chosen on portraits (a ridge regression of pitch on W+ explains 79 % of
# it instead of 74 %; more agreement with another estimator) and on projections (opening the jaw or smiling moves
# pitch by less than half a degree).
LANDMARK_NOISE = 0.02
# Standard deviation of an expression unit over portraits (units run from 0 to 1).
EXPRESSION_SPREAD = 0.3
_CHIN = tuple(range(6, 11))
_CHIN_WEIGHT = 0.2
_BROW_WEIGHT = 0.3
_MODES = 40
_ITERATIONS = 20
# Widest turn that one step may take, in radians: from a frontal start, a full step can overshoot.
_MAX_TURN = 0.35
_CHUNK = 256  # faces fitted together: bounds the memory

State = tuple[Tensor, Tensor, Tensor]  # rotation (B, 3, 3), translation (B, 3), shape coefficients (B, K)


@dataclass(frozen=True)
class FittedPose:
    """Fitted poses of a batch of faces, float64.

    Attributes:
        degrees: ``(B, 3)`` yaw, pitch, roll; signs as everywhere (nose right, chin up, top of the head right).
        rotation: ``(B, 3, 3)`` model to camera.
        translation: ``(B, 3)`` decimetres.
        identity: ``(B, A)`` fitted coefficients. expression: ``(B, E)`` likewise.
        residual: ``(B,)`` root mean square distance of the fit from the landmarks it used, in outer-eye distances.
    """

    degrees: Tensor
    rotation: Tensor
    translation: Tensor
    identity: Tensor
    expression: Tensor
    residual: Tensor

    @property
    def yaw(self) -> Tensor:
        """``(B,)`` degrees."""
        return self.degrees[:, 0]

    @property
    def pitch(self) -> Tensor:
        """``(B,)`` degrees."""
        return self.degrees[:, 1]

    @property
    def roll(self) -> Tensor:
        """``(B,)`` degrees."""
        return self.degrees[:, 2]


class PoseEstimator:
    """Fits a face model's pose to landmarks.

    Args:
        model: where the landmarks lie in 3D, and how they vary.
        camera: its focal length decides how much perspective the fit expects.
        noise: landmark noise in outer-eye distances; larger holds the shape nearer to the model's mean.
        expression_spread: standard deviation of an expression coefficient.
    """

    def __init__(
        self,
        model: FaceModel,
        camera: Camera | None = None,
        noise: float = LANDMARK_NOISE,
        expression_spread: float = EXPRESSION_SPREAD,
    ) -> None:
        if not (noise > 0 and expression_spread > 0):
            raise ValueError(f"noise and expression_spread must be positive, got {noise} and {expression_spread}")
        self.camera = camera or Camera()
        self.noise = noise
        vertices = model.landmarks.cpu()
        self._points = [i for i in range(68) if i in _CHIN or i not in JAW]
        brows = (*RIGHT_BROW, *LEFT_BROW)
        weights = [_CHIN_WEIGHT if i in _CHIN else _BROW_WEIGHT if i in brows else 1.0 for i in self._points]
        self._weights = torch.tensor(weights, dtype=torch.float64)
        identity = model.identity.cpu()[:, vertices].double()
        expression = model.expression.cpu()[:, vertices].double() * expression_spread
        self._num_identity = len(identity)
        self._spread = expression_spread
        self._mean = _symmetric(model.mean.cpu()[vertices].double()[None])[0, self._points]  # (P, 3)
        basis = _symmetric(torch.cat([identity, expression]))[:, self._points].flatten(1)  # (A + E, 3P)
        # Principal axes of the prior over landmark offsets: a handful of them says all that 51 points can show.
        u, s, vh = torch.linalg.svd(basis, full_matrices=False)
        kept = min(_MODES, int((s > 1e-8).sum()))
        self._basis = (s[:kept, None] * vh[:kept]).reshape(kept, len(self._points), 3)
        self._to_coefficients = u[:, :kept].T  # (K, A + E): most likely coefficients of each principal axis

    def fit(self, landmarks: Tensor) -> FittedPose:
        """Poses of faces.

        Args:
            landmarks: ``(B, 68, 2)`` in image widths.

        Raises:
            ValueError: wrong shape, or values that are not finite.
        """
        if landmarks.ndim != 3 or tuple(landmarks.shape[1:]) != (68, 2):
            raise ValueError(f"landmarks must be (B, 68, 2) in image widths, got {tuple(landmarks.shape)}")
        target = landmarks.detach().cpu().double()
        if not bool(torch.isfinite(target).all()):
            raise ValueError("landmarks hold values that are not finite")
        a, b = OUTER_EYE_CORNERS
        eye = (target[:, a] - target[:, b]).norm(dim=-1).clamp_min(1e-6)
        sigma = self.noise * eye[:, None] / self._weights.sqrt()  # (B, P)
        target = target[:, self._points]
        state = (*self._start(target), target.new_zeros(len(target), len(self._basis)))
        for rows in torch.arange(len(target)).split(_CHUNK):
            fitted = self._gauss_newton((state[0][rows], state[1][rows], state[2][rows]), target[rows], sigma[rows])
            for part, value in zip(state, fitted, strict=True):
                part[rows] = value
        rotation, translation, coefficients = state
        off = self._project(rotation, translation, coefficients)[1] - target
        rms = off.square().sum(-1).mean(1).sqrt() / eye
        full = coefficients @ self._to_coefficients
        return FittedPose(
            degrees=matrix_to_degrees(rotation),
            rotation=rotation,
            translation=translation,
            identity=full[:, : self._num_identity],
            expression=full[:, self._num_identity :] * self._spread,
            residual=rms,
        )

    def _gauss_newton(self, state: State, target: Tensor, sigma: Tensor) -> State:
        damping = target.new_full((len(target),), 1e-3)
        cost, normal, gradient = self._linearise(state, target, sigma)
        for _ in range(_ITERATIONS):
            system = normal + torch.diag_embed(damping[:, None] * normal.diagonal(dim1=1, dim2=2) + 1e-12)
            step = -torch.linalg.solve(system, gradient)
            turn = step[:, :3] * (_MAX_TURN / step[:, :3].norm(dim=1, keepdim=True).clamp_min(_MAX_TURN))
            moved = (axis_angle_to_matrix(turn) @ state[0], state[1] + step[:, 3:6], state[2] + step[:, 6:])
            new = self._linearise(moved, target, sigma)
            better = new[0] <= cost
            state = (
                _where(better, moved[0], state[0]),
                _where(better, moved[1], state[1]),
                _where(better, moved[2], state[2]),
            )
            normal, gradient = _where(better, new[1], normal), _where(better, new[2], gradient)
            settled = bool(((cost - new[0]).abs() <= 1e-7 * (1 + cost)).all())
            cost = torch.where(better, new[0], cost)
            damping = torch.where(better, damping * 0.2, damping * 10).clamp(1e-9, 1e6)
            if settled:
                break
        return state

    def _start(self, target: Tensor) -> tuple[Tensor, Tensor]:
        """Frontal, rolled like the line between the eyes, as far away as the face's size says."""
        a, b = (self._points.index(i) for i in OUTER_EYE_CORNERS)
        across = target[:, b] - target[:, a]
        roll = torch.rad2deg(torch.atan2(across[:, 1], across[:, 0]))
        rotation = degrees_to_matrix(torch.stack([torch.zeros_like(roll), torch.zeros_like(roll), roll], dim=1))
        size = (target - target.mean(1, keepdim=True)).norm(dim=-1).mean(1).clamp_min(1e-6)
        middle = self._mean.mean(0)
        depth = -self.camera.focal * (self._mean - middle)[:, :2].norm(dim=1).mean() / size
        place = (target.mean(1) - 0.5) * target.new_tensor([1.0, -1.0])
        centre = torch.cat([place * (-depth / self.camera.focal)[:, None], depth[:, None]], dim=1)
        return rotation, centre - (rotation @ middle[:, None])[..., 0]

    def _project(self, rotation: Tensor, translation: Tensor, coefficients: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Turned points ``(B, P, 3)``, their picture ``(B, P, 2)``, their camera-space positions ``(B, P, 3)``."""
        shape = self._mean + (coefficients @ self._basis.flatten(1)).unflatten(1, self._mean.shape)
        turned = shape @ rotation.mT
        placed = turned + translation[:, None]
        # A wild step must not bring the face behind the camera.
        placed = torch.cat([placed[..., :2], placed[..., 2:].clamp(max=-1e-3)], dim=-1)
        return turned, self.camera.project(placed), placed

    def _linearise(self, state: State, target: Tensor, sigma: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Cost ``(B,)``, Gauss-Newton matrix ``(B, N, N)`` and gradient ``(B, N)`` over turn, shift and shape."""
        rotation, _, coefficients = state
        turned, picture, placed = self._project(*state)
        residual = (picture - target) / sigma[..., None]
        x, y, z = placed.unbind(-1)
        zero, focal = torch.zeros_like(x), self.camera.focal
        image = torch.stack(  # (B, P, 2, 3): the picture by the point in space
            [
                torch.stack([-focal / z, zero, focal * x / z**2], -1),
                torch.stack([zero, focal / z, -focal * y / z**2], -1),
            ],
            dim=2,
        )
        image = image / sigma[..., None, None]
        tx, ty, tz = turned.unbind(-1)
        by_turn = torch.stack(  # (B, P, 3, 3): the point by a further turn, on the left of the rotation
            [torch.stack([zero, tz, -ty], -1), torch.stack([-tz, zero, tx], -1), torch.stack([ty, -tx, zero], -1)],
            dim=2,
        )
        # (B, P, 2, 3) x (P, 3, K): the picture by the shape, without a matrix per point of turned axes.
        by_shape = torch.einsum("bpij,kpj->bpik", image @ rotation[:, None], self._basis)
        jacobian = torch.cat([image @ by_turn, image, by_shape], dim=-1).flatten(1, 2)
        flat = residual.flatten(1)
        prior = torch.cat([flat.new_zeros(6), flat.new_ones(len(self._basis))])
        normal = jacobian.mT @ jacobian + torch.diag(prior)
        gradient = (jacobian.mT @ flat[..., None])[..., 0]
        gradient = torch.cat([gradient[:, :6], gradient[:, 6:] + coefficients], dim=1)
        return flat.square().sum(1) + coefficients.square().sum(1), normal, gradient


def _where(rows: Tensor, new: Tensor, old: Tensor) -> Tensor:
    """``new`` in the given rows, ``old`` elsewhere."""
    return torch.where(rows.reshape(-1, *[1] * (old.ndim - 1)), new, old)


def _symmetric(offsets: Tensor) -> Tensor:
    """The part of ``(K, 68, 3)`` landmark offsets or positions that is the same left and right."""
    mirrored = offsets[:, list(MIRROR)] * offsets.new_tensor([-1.0, 1.0, 1.0])
    return (offsets + mirrored) / 2
