"""The face model in the browser against stylerig_fast, number by number; JavaScript runs in node."""

from __future__ import annotations

import json
import shutil
import subprocess
from importlib.resources import files
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from stylerig_fast.engine.roll import PIVOT
from stylerig_fast.face import Camera
from stylerig_fast.face.lighting import sh_basis
from stylerig_fast.face.model_io import open_face_model
from stylerig_fast.face.rotation import axis_angle_to_matrix, degrees_to_matrix, matrix_to_degrees
from stylerig_fast.params import FaceParams
from stylerig_fast.render import evaluate

NODE = shutil.which("node")
pytestmark = pytest.mark.skipif(NODE is None, reason="node, which runs the page's JavaScript, is not installed")

PACKAGE = files("stylerig_fast")
FOCAL = 4.1
HALVES = [0, 0x8000, 1, 0x3FF, 0x400, 0x3C00, 0x3555, 0xC000, 0x7BFF, 0xFBFF, 0x7C00, 0xFC00, 0x7E00]
REQUESTS: list[dict[str, Any]] = [
    {},
    {"pose": {"yaw": 31.5, "pitch": -12.25, "roll": 7.0}},
    {"pose": {"pitch": 14.0}},
    {"expression": {"jawOpen": 0.6, "mouthSmileLeft": 0.8, "eyeBlinkRight": 1.0, "residual_03": -0.7}},
    {"light": {"direction": [1.0, 0.4, 0.5]}},
    {"light": {"direction": [-3.0, -1.0, 0.2], "strength": 0.9}},
    {"light": {"strength": 0.7}},
    {"light": {"colour": [1.0, 0.9, 0.8], "ambient": [0.3, 0.35, 0.4], "direction": [0.2, 1.0, 0.6]}},
    {"light": {"ambient": [0.5, 0.5, 0.5]}},
    {"light": {"colour": [0.9, 0.2, 0.2]}},
    {"illumination": [[0.1 * (b + c) - 0.4 for c in range(3)] for b in range(9)], "pose": {"yaw": -44.0}},
]


@pytest.fixture(scope="module")
def model():
    return open_face_model()


@pytest.fixture(scope="module")
def people(model) -> FaceParams:
    """Faces that differ in every block, half as much again as most people do."""
    rng = torch.Generator().manual_seed(11)
    sizes = model.sizes

    def draw(count: int, scale: float) -> torch.Tensor:
        return scale * torch.randn(len(REQUESTS), count, generator=rng)

    gamma = draw(27, 0.25).unflatten(1, (9, 3))
    gamma[:, 0] += 3.0
    return FaceParams(
        identity=draw(sizes["identity"], 1.5),
        albedo=draw(sizes["albedo"], 1.0),
        expression=draw(sizes["expression"], 0.3).abs(),
        illumination=gamma,
        rotation=draw(3, 0.3),
        translation=draw(3, 0.2) + torch.tensor([0.0, 0.0, -10.6]),
        expression_names=model.expression_names,
    )


@pytest.fixture(scope="module")
def rotations() -> torch.Tensor:
    some = 0.9 * torch.randn(20, 3, generator=torch.Generator().manual_seed(2))
    return torch.cat([torch.zeros(1, 3), torch.full((1, 3), 1e-8), torch.full((1, 3), 1e-3), some])


@pytest.fixture(scope="module")
def directions() -> torch.Tensor:
    return torch.nn.functional.normalize(torch.randn(12, 3, generator=torch.Generator().manual_seed(3)), dim=1)


@pytest.fixture(scope="module")
def points() -> torch.Tensor:
    return torch.randn(12, 3, generator=torch.Generator().manual_seed(4)) + torch.tensor([0.0, 0.0, -10.0])


@pytest.fixture(scope="module")
def asked(people) -> FaceParams:
    """The same edits by FaceParams."""
    edited = []
    for index, request in enumerate(REQUESTS):
        face = people[index]
        if "pose" in request:
            face = face.with_pose(**request["pose"])
        if "expression" in request:
            face = face.with_expression(**request["expression"])
        if "light" in request:
            face = face.with_light(**request["light"])
        if "illumination" in request:
            face = face.with_blocks(illumination=torch.tensor([request["illumination"]]))
        edited.append(face)
    return FaceParams.cat(edited)


@pytest.fixture(scope="module")
def numbers(people, rotations, directions, points, tmp_path_factory) -> dict[str, Any]:
    """Everything at once: node starts once."""
    folder = tmp_path_factory.mktemp("mesh")
    # Outside the package, with a package.json, node takes *.js for modules whatever its version.
    shutil.copytree(str(PACKAGE / "studio" / "static" / "mesh"), folder / "mesh")
    (folder / "package.json").write_text('{"type": "module"}', encoding="utf-8")
    cases = [
        {
            "request": request,
            "person": {
                "params": {name: value[0].tolist() for name, value in people[index].blocks.items()},
            },
        }
        for index, request in enumerate(REQUESTS)
    ]
    values = {"rotations": rotations, "directions": directions, "points": points}
    (folder / "cases.json").write_text(
        json.dumps({"cases": cases, "focal": FOCAL, "halves": HALVES} | {k: v.tolist() for k, v in values.items()}),
        encoding="utf-8",
    )
    script = Path(__file__).parent / "js" / "mesh_numbers.mjs"
    face_model = PACKAGE / "assets" / "open_face.safetensors"
    assert NODE is not None
    command = [NODE, str(script), str(folder / "mesh"), str(face_model), str(folder / "cases.json")]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def worst(found: Any, expected: torch.Tensor) -> float:
    return float((torch.tensor(found).reshape(expected.shape) - expected).abs().max())


def faces(numbers: dict[str, Any], key: str) -> list[Any]:
    return [face[key] for face in numbers["faces"]]


def test_surface(numbers, asked, model):
    surface = evaluate(model, asked, Camera(FOCAL))
    assert worst(faces(numbers, "vertices"), surface.vertices) <= 2e-5  # decimetres: 2 micrometres
    assert worst(faces(numbers, "normals"), surface.normals) <= 2e-3
    assert worst(faces(numbers, "albedo"), surface.albedo) <= 1e-5
    assert worst(faces(numbers, "landmarks"), surface.landmarks) <= 1e-5


def test_light(numbers, asked):
    assert worst(faces(numbers, "gamma"), asked.illumination) <= 1e-5
    assert worst(faces(numbers, "light"), asked.light_direction()) <= 1e-5


def test_pose(numbers, asked):
    assert worst(faces(numbers, "rotation"), axis_angle_to_matrix(asked.rotation)) <= 2e-6
    found = [[pose[name] for name in ("yaw", "pitch", "roll")] for pose in faces(numbers, "pose")]
    assert worst(found, asked.pose_degrees()) <= 1e-3


def test_a_roll_swings_the_head_as_the_portrait(numbers, people, model):
    """Turning the landmarks about the pivot, as Engine.edit turns the picture, is turning and moving the head."""
    index = next(i for i, request in enumerate(REQUESTS) if "roll" in request.get("pose", {}))
    pose, own = REQUESTS[index]["pose"], people[index]
    place = torch.tensor([numbers["faces"][index]["place"]])
    moved = evaluate(model, own.with_pose(**pose).with_blocks(translation=place), Camera(FOCAL)).landmarks[0]
    before = float(own.pose_degrees()[0, 2])
    upright = evaluate(model, own.with_pose(**{**pose, "roll": before}), Camera(FOCAL)).landmarks[0]
    angle = torch.deg2rad(torch.tensor(pose["roll"] - before))
    turn = torch.stack([torch.stack([angle.cos(), -angle.sin()]), torch.stack([angle.sin(), angle.cos()])])
    pivot = torch.tensor(PIVOT)
    # Landmarks are not all as far away as the head's origin.
    assert float(((upright - pivot) @ turn.T + pivot - moved).abs().max()) <= 0.03 * float(angle.abs())
    assert numbers["faces"][0]["place"] == pytest.approx(people.translation[0].tolist(), abs=1e-6)


def test_rotations(numbers, rotations):
    expected = axis_angle_to_matrix(rotations.double())
    assert worst(numbers["matrices"], expected.float()) <= 1e-6
    degrees = matrix_to_degrees(expected)
    found = [[angles[name] for name in ("yaw", "pitch", "roll")] for angles in numbers["degrees"]]
    assert worst(found, degrees.float()) <= 1e-4
    assert worst(numbers["again"], degrees_to_matrix(degrees).float()) <= 1e-6


def test_basis_and_camera(numbers, directions, points):
    assert worst(numbers["basis"], sh_basis(directions)) <= 1e-6
    assert worst(numbers["projected"], Camera(FOCAL).project(points)) <= 1e-6


def test_projection_matrix(numbers, points):
    """OpenGL's projection puts points where Camera.project does, in the centred square of a canvas of 640 x 480."""
    clip = torch.cat([points, torch.ones(len(points), 1)], 1) @ torch.tensor(numbers["clip"]).view(4, 4).T
    ndc = clip[:, :3] / clip[:, 3:]
    pixels = torch.stack([(ndc[:, 0] + 1) * 320, (1 - ndc[:, 1]) * 240], 1)
    expected = Camera(FOCAL).project(points) * 480 + torch.tensor([80.0, 0.0])
    assert float((pixels - expected).abs().max()) <= 1e-3
    assert bool((ndc[:, 2].abs() < 1).all())


def test_half_precision(numbers):
    expected = np.array(HALVES, dtype=np.uint16).view(np.float16).astype(np.float64)
    np.testing.assert_array_equal(np.array([float(value) for value in numbers["halves"]]), expected)
