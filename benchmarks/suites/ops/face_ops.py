"""Rows of the ops on faces, one function for each op: the face model, its renderings, and the training step."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import torch
from torch import Tensor

from stylerig_fast import ops
from stylerig_fast.errors import BackendUnavailable
from stylerig_fast.reconstructor import FaceReconstructor, ReconstructorConfig
from stylerig_fast.render import evaluate, landmark_loss, mesh_adjacency, render_loss
from stylerig_fast.train.config import PriorWeights, RenderWeights
from stylerig_fast.train.loop import make_optimiser
from stylerig_fast.train.render_objective import Priors, RenderObjective

from .measure import MachineRates, OpCost, OpRow, largest_difference
from .scene import CAMERA, Scene

COMPILED: dict[str, Any] = {"impl": "auto"}
REFERENCE: dict[str, Any] = {"impl": "reference"}


def _leaves(values: Sequence[Tensor]) -> list[Tensor]:
    return [value.detach().clone().requires_grad_() for value in values]


def _both_directions(
    name: str,
    scene: Scene,
    machine: MachineRates,
    call: Any,
    leaves: Sequence[Tensor],
    forward: OpCost,
    backward: OpCost,
) -> Iterator[OpRow]:
    """Rows of an op, forward and backward.

    Args:
        name: of the op.
        scene: that it works on.
        machine: to time on.
        call: of leaves and options; returns the differentiable outputs.
        leaves: inputs that are differentiated.
        forward: cost of the forward pass.
        backward: cost of the backward pass.
    """
    ours_in, reference_in = _leaves(leaves), _leaves(leaves)
    ours_out, reference_out = call(ours_in, COMPILED), call(reference_in, REFERENCE)
    ours, reference = machine.timer.medians(lambda: call(ours_in, COMPILED), lambda: call(reference_in, REFERENCE))
    parity = largest_difference(ours_out, reference_out)
    yield OpRow(f"{name} forward", ours, reference, machine.floor(forward), parity)

    draw = torch.Generator().manual_seed(1)
    weights = [torch.randn(output.shape, generator=draw).to(output) for output in ours_out]

    def gradients(outputs: Sequence[Tensor], inputs: Sequence[Tensor]) -> list[Tensor]:
        return list(torch.autograd.grad(outputs, inputs, weights, retain_graph=True))

    ours, reference = machine.timer.medians(
        lambda: gradients(ours_out, ours_in), lambda: gradients(reference_out, reference_in)
    )
    parity = largest_difference(gradients(ours_out, ours_in), gradients(reference_out, reference_in))
    yield OpRow(f"{name} backward", ours, reference, machine.floor(backward), parity)


def morphable(scene: Scene, machine: MachineRates) -> Iterator[OpRow]:
    """Coefficients and pose to vertices, colours and landmarks."""
    model, blocks = scene.model, scene.params.blocks
    leaves = [blocks[name] for name in ("identity", "albedo", "expression", "rotation", "translation")]

    def call(values: Sequence[Tensor], options: dict[str, Any]) -> list[Tensor]:
        identity, albedo, expression, rotation, translation = values
        result = ops.morphable(
            model.mean, model.identity, model.expression, model.albedo_mean, model.albedo, model.landmarks,
            identity, albedo, expression, rotation, translation, CAMERA.focal, **options,
        )  # fmt: skip
        return [result.vertices, result.albedo, result.landmarks]

    bases = sum(basis.nbytes for basis in (model.identity, model.expression, model.albedo))
    surfaces = 2 * scene.batch * model.mean.nbytes
    products = 2 * scene.batch * bases / 4
    cost = OpCost(bases + surfaces, products)
    yield from _both_directions("morphable", scene, machine, call, leaves, cost, cost)
    stored = [basis.bfloat16() for basis in (model.identity, model.expression, model.albedo)]

    @torch.no_grad()
    def narrow(options: dict[str, Any]) -> list[Tensor]:
        identity, expression, albedo = stored
        codes = (blocks["identity"], blocks["albedo"], blocks["expression"], blocks["rotation"], blocks["translation"])
        constants = (model.mean, identity, expression, model.albedo_mean, albedo, model.landmarks)
        result = ops.morphable(*constants, *codes, CAMERA.focal, **options)
        return [result.vertices, result.albedo, result.landmarks]

    ours, reference = machine.timer.medians(lambda: narrow(COMPILED), lambda: narrow(REFERENCE))
    floor = machine.floor(OpCost(bases / 2 + surfaces, products))
    parity = largest_difference(narrow(COMPILED), narrow(REFERENCE))
    yield OpRow("morphable forward, bfloat16 bases", ours, reference, floor, parity)


def vertex_normals(scene: Scene, machine: MachineRates) -> Iterator[OpRow]:
    """Area-weighted normals."""
    model, neighbours = scene.model, mesh_adjacency(scene.model)
    vertices = _surface(scene)[0]

    def call(values: Sequence[Tensor], options: dict[str, Any]) -> list[Tensor]:
        return [ops.vertex_normals(values[0], model.triangles, adjacency=neighbours, **options)]

    forward = OpCost(2 * vertices.nbytes + model.triangles.nbytes)
    backward = OpCost(4 * vertices.nbytes + model.triangles.nbytes)
    yield from _both_directions("vertex_normals", scene, machine, call, [vertices], forward, backward)


def rasterize(scene: Scene, machine: MachineRates) -> Iterator[OpRow]:
    """Visibility; the other implementation is PyTorch3D, on the CPU with one picture of the batch for its slowness."""
    triangles, focal, size = scene.model.triangles, CAMERA.focal, scene.size
    vertices = _surface(scene)[0]
    compiled = ops.rasterize(vertices, triangles, focal, size, size)
    plain = ops.rasterize(vertices, triangles, focal, size, size, impl="reference")
    ours, reference = machine.timer.medians(
        lambda: ops.rasterize(vertices, triangles, focal, size, size),
        lambda: ops.rasterize(vertices, triangles, focal, size, size, impl="reference"),
        runs=5,
    )
    cost = OpCost(vertices.nbytes + triangles.nbytes + 8 * compiled.triangle.numel())
    parity = f"{float((compiled.triangle == plain.triangle).float().mean()):.3%} same"
    other = None
    try:
        one = vertices if scene.device.type == "cuda" else vertices[:1]
        third = ops.rasterize(one, triangles, focal, size, size, impl="pytorch3d")
        (slow,) = machine.timer.medians(
            lambda: ops.rasterize(one, triangles, focal, size, size, impl="pytorch3d"), runs=3
        )
        other = ("PyTorch3D", slow._replace(ms=slow.ms * len(vertices) / len(one)))
        parity += f", {float((compiled.triangle[: len(one)] == third.triangle).float().mean()):.3%} as PyTorch3D"
    except BackendUnavailable:
        pass
    yield OpRow("rasterize", ours, reference, machine.floor(cost), parity, other)


def masked_photometric(scene: Scene, machine: MachineRates) -> Iterator[OpRow]:
    """Shading and comparison; the compiled forward pass also computes the gradients."""
    model, neighbours = scene.model, mesh_adjacency(scene.model)
    vertices, normals, albedo = _surface(scene)
    ids = ops.rasterize(vertices, model.triangles, CAMERA.focal, scene.size, scene.size).triangle
    leaves = [vertices, albedo, normals, scene.params.blocks["illumination"]]

    def call(values: Sequence[Tensor], options: dict[str, Any]) -> list[Tensor]:
        points, colours, units, gamma = values
        arguments = (points, colours, units, gamma, model.triangles, ids, CAMERA.focal, scene.target)
        return [ops.masked_photometric(*arguments, adjacency=neighbours, **options).loss]

    covered = float((ids >= 0).float().mean())
    pixels = ids.nbytes + covered * scene.target.nbytes
    with torch.no_grad():
        compiled, plain = (call(leaves, options) for options in (COMPILED, REFERENCE))
        ours, reference = machine.timer.medians(lambda: call(leaves, COMPILED), lambda: call(leaves, REFERENCE))
    alone = machine.floor(OpCost(3 * vertices.nbytes + model.triangles.nbytes + pixels))
    parity = largest_difference(compiled, plain)
    yield OpRow("masked_photometric, the loss alone", ours, reference, alone, parity)
    forward = OpCost(6 * vertices.nbytes + model.triangles.nbytes + pixels)
    yield from _both_directions(
        "masked_photometric", scene, machine, call, leaves, forward, OpCost(6 * vertices.nbytes)
    )


def whole_render_loss(scene: Scene, machine: MachineRates) -> Iterator[OpRow]:
    """L_render forward and backward: all ops; the reference shades in plain torch around the same rasterizer."""
    landmarks = torch.rand(scene.batch, 68, 2, generator=torch.Generator().manual_seed(2)).to(scene.device)
    weights = torch.ones(68, device=scene.device)
    leaves = _leaves(list(scene.params.blocks.values()))
    blocks = dict(zip(scene.params.blocks, leaves, strict=True))
    params = scene.params.with_blocks(**blocks)

    def step(shading: dict[str, Any]) -> list[Tensor]:
        surface = evaluate(scene.model, params, CAMERA, **shading)
        visible = ops.rasterize(surface.vertices, scene.model.triangles, CAMERA.focal, scene.size, scene.size)
        inputs = (surface.vertices, surface.albedo, surface.normals, blocks["illumination"], scene.model.triangles)
        loss = ops.masked_photometric(
            *inputs, visible.triangle, CAMERA.focal, scene.target, adjacency=mesh_adjacency(scene.model), **shading
        ).loss
        total = loss.sum() + landmark_loss(surface.landmarks, landmarks, weights).sum()
        return list(torch.autograd.grad(total, leaves))

    ours, reference = machine.timer.medians(lambda: step(COMPILED), lambda: step(REFERENCE), runs=5)
    bases = sum(basis.nbytes for basis in (scene.model.identity, scene.model.expression, scene.model.albedo))
    surface = scene.batch * scene.model.mean.nbytes
    cost = OpCost(2 * bases + 20 * surface + scene.target.nbytes, 4 * scene.batch * bases / 4)
    parity = largest_difference(step(COMPILED), step(REFERENCE))
    yield OpRow("render loss, forward and backward", ours, reference, machine.floor(cost), parity)


def training_step(scene: Scene, machine: MachineRates) -> Iterator[OpRow]:
    """A whole step of reconstructor training: F, render loss, priors, backward, AdamW; pictures are in memory."""
    model = scene.model
    config = ReconstructorConfig(16, model.sizes, model.expression_names, focal=CAMERA.focal)
    torch.manual_seed(0)
    network = FaceReconstructor(config).to(scene.device)
    objective, priors = RenderObjective(model, CAMERA, RenderWeights()), Priors(model, PriorWeights())
    optimiser = make_optimiser(network, "adamw", 5e-4, 1e-2)
    codes = torch.randn(scene.batch, 16, 512, generator=torch.Generator().manual_seed(3)).to(scene.device)
    landmarks = torch.rand(scene.batch, 68, 2, generator=torch.Generator().manual_seed(2)).to(scene.device)
    detected = torch.ones(scene.batch, device=scene.device)

    with torch.no_grad():
        guess = network(codes)
        arguments = (model, guess, CAMERA, scene.target, landmarks, torch.ones(68, device=scene.device))
        losses = [list(render_loss(*arguments, **options)) for options in (COMPILED, REFERENCE)]

    def step() -> None:
        params = network(codes)
        parts = objective(params, scene.target, landmarks, detected) | priors(params)
        optimiser.zero_grad(set_to_none=True)
        torch.stack([part.mean() for part in parts.values()]).sum().backward()
        optimiser.step()

    (ours,) = machine.timer.medians(step)
    weights = sum(p.nbytes for p in network.parameters())
    # Weights are read twice and gradients written; AdamW reads four arrays of that size and writes three.
    cost = OpCost(10 * weights, 6 * scene.batch * weights / 4)
    parity = largest_difference(*losses) + " in the loss"
    yield OpRow("reconstructor training step", ours, None, machine.floor(cost), parity)


@torch.no_grad()
def _surface(scene: Scene) -> tuple[Tensor, Tensor, Tensor]:
    surface = evaluate(scene.model, scene.params, CAMERA)
    return surface.vertices, surface.normals, surface.albedo


FACE_OPS = (morphable, vertex_normals, rasterize, masked_photometric, whole_render_loss, training_step)
