"""Edits drawn as users ask for them, and the surface loss that scores them without a picture.

The paper trains on pairs: the request is what another person does. A slider asks for what hardly anybody
does (one named unit, the light from the far left), so training also draws such requests. There is no
picture of them; the code is scored by where F then puts the face model's surface and how it is lit.
"""

from __future__ import annotations

import torch
from torch import Tensor

from stylerig_fast import ops
from stylerig_fast.face import Camera, FaceModel
from stylerig_fast.face.lighting import shade
from stylerig_fast.face.units import mirrored_indices
from stylerig_fast.params import FaceParams

YAW, PITCH = 30.0, 14.0  # degrees: drawn targets lie within ±


def draw_requests(own: FaceParams, draw: torch.Generator, controls: tuple[str, ...]) -> FaceParams:
    """One slider edit per person: turn the head, move one to three units, or move the light.

    Args:
        own: complete parameters of B people, on the CPU: on a GPU every draw would wait.
        draw: CPU generator.
        controls: the controls to draw from, each equally often.

    Returns:
        The complete requests.
    """
    batch, like = len(own), own.vector()

    def uniform(low: float, high: float, *shape: int) -> Tensor:
        return (low + (high - low) * torch.rand(*shape, generator=draw)).to(like.dtype)

    posed = own.with_pose(yaw=uniform(-YAW, YAW, batch), pitch=uniform(-PITCH, PITCH, batch))
    assert own.expression is not None
    # A face model without named units has sliders of deviations, either way.
    named = [i for i, name in enumerate(own.expression_names) if not name.startswith("residual_")]
    low, high = (0.0, 1.0) if named else (-2.0, 2.0)
    sliders = torch.tensor(named or range(len(own.expression_names)))
    chosen = sliders[torch.randint(len(sliders), (batch, 3), generator=draw)]
    expression = own.expression.clone()
    count, mirrored = torch.randint(1, 4, (batch,), generator=draw), _mirrored(own.expression_names)
    for k in range(3):
        rows = (count > k).nonzero()[:, 0]
        expression[rows, chosen[rows, k]] = uniform(low, high, len(rows))
        mirror = mirrored[chosen[rows, k]]
        # Faces mostly move both sides at once; a quarter of the draws moves one alone.
        both = torch.rand(len(rows), generator=draw) < 0.75
        expression[rows[both], mirror[both]] = expression[rows[both], chosen[rows[both], k]]
    direction = torch.stack([uniform(-1.5, 1.5, batch), uniform(-0.5, 1.0, batch), uniform(0.3, 1.0, batch)], -1)
    lit = own.with_light(direction=direction)
    edited = {"pose": posed, "expression": own.with_blocks(expression=expression), "illumination": lit}
    vectors = torch.stack([edited[control].vector() for control in controls])
    picked = vectors[torch.randint(len(controls), (batch,), generator=draw), torch.arange(batch)]
    sizes = {name: value.flatten(1).shape[1] for name, value in own.blocks.items()}
    return FaceParams.from_vector(picked, sizes, own.expression_names)


def _mirrored(names: tuple[str, ...]) -> Tensor:
    return torch.tensor(mirrored_indices(names))


class SurfaceObjective:
    """Mean squared distance of projected vertices, and of shaded colours, between two FaceParams.

    Evaluated on every ``stride``-th vertex and the landmarks; the normals are the mean face's, turned by R: close
    enough to compare two lights.
    """

    def __init__(self, model: FaceModel, camera: Camera, stride: int = 8) -> None:
        self.focal = camera.focal
        rows = torch.cat([torch.arange(0, model.num_vertices, stride, device=model.mean.device), model.landmarks])
        self.normals = ops.vertex_normals(model.mean[None], model.triangles)[0, rows]
        self.model = [model.mean[rows], model.identity[:, rows], model.expression[:, rows]]
        self.model += [model.albedo_mean[rows], model.albedo[:, rows]]
        self.model = [part.contiguous() for part in self.model]
        self.points = torch.arange(len(rows), device=model.mean.device)

    def surface(self, params: FaceParams) -> tuple[Tensor, Tensor]:
        """Projected positions ``(B, N, 2)`` in image widths and shaded colours ``(B, N, 3)``."""
        b = params.blocks
        mean, identity, expression, albedo_mean, albedo = self.model
        turn = ops.rotation_matrix(b["rotation"])
        shape = mean.flatten() + b["identity"] @ identity.flatten(1) + b["expression"] @ expression.flatten(1)
        points = shape.unflatten(1, (-1, 3)) @ turn.mT + b["translation"][:, None]
        colour = (albedo_mean.flatten() + b["albedo"] @ albedo.flatten(1)).unflatten(1, (-1, 3))
        normals = self.normals @ turn.mT
        return Camera(self.focal).project(points), shade(colour, normals, b["illumination"])

    def __call__(self, params: FaceParams, target: FaceParams) -> tuple[Tensor, Tensor]:
        """``(B,)`` mean squared distance in image widths, and ``(B,)`` mean squared colour difference."""
        points, colours = self.surface(params)
        with torch.no_grad():
            points_target, colours_target = self.surface(target)
        return (points - points_target).square().sum(-1).mean(1), (colours - colours_target).square().mean((1, 2))
