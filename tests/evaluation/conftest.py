"""Held-out portraits with their stored landmarks, and dlib where it is installed."""

from __future__ import annotations

import io
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import torch

from stylerig_fast.errors import BackendUnavailable
from stylerig_fast.evaluation.heldout_estimators.identity import IdentityEncoder
from stylerig_fast.face import FaceModel
from stylerig_fast.face.landmarks import MIRROR
from stylerig_fast.measurement.landmarks import LandmarkDetector


@dataclass(frozen=True)
class Portraits:
    images: np.ndarray  # (N, 256, 256, 3) uint8
    landmarks: torch.Tensor  # (N, 68, 2) image widths


@pytest.fixture(scope="module", autouse=True)
def one_thread() -> Iterator[None]:
    """Small matrices are slower on several threads, and much slower on a busy machine."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def read_landmarks(path: Path) -> torch.Tensor:
    """Landmarks ``(N, 68, 2)`` in image widths of the faces that dlib found in a shard."""
    pq = pytest.importorskip("pyarrow.parquet")
    table = pq.read_table(path, columns=["landmarks68", "detected"])
    points = np.asarray(table["landmarks68"].combine_chunks().flatten()).reshape(-1, 68, 2) / 256
    return torch.from_numpy(points[np.asarray(table["detected"])]).float()


@pytest.fixture(scope="session")
def stored_landmarks(shared: Path) -> torch.Tensor:
    """The held-out shard's landmarks, ``(N, 68, 2)``."""
    return read_landmarks(sorted((shared / "data" / "portraits").glob("*.parquet"))[-1])


@pytest.fixture(scope="session")
def portraits(shared: Path) -> Portraits:
    """Twenty-four held-out portraits."""
    pq = pytest.importorskip("pyarrow.parquet")
    image = pytest.importorskip("PIL.Image")
    path = sorted((shared / "data" / "portraits").glob("*.parquet"))[-1]
    table = pq.read_table(path, columns=["image", "landmarks68"]).slice(0, 24)
    images = [np.asarray(image.open(io.BytesIO(b)).convert("RGB")) for b in table["image"].to_pylist()]
    points = np.array(table["landmarks68"].to_pylist(), dtype=np.float32).reshape(-1, 68, 2) / 256
    return Portraits(np.stack(images), torch.from_numpy(points))


@pytest.fixture(scope="session")
def detector() -> Iterator[LandmarkDetector]:
    try:
        yield LandmarkDetector()
    except BackendUnavailable as error:
        pytest.skip(str(error))


@pytest.fixture(scope="session")
def encoder() -> Iterator[IdentityEncoder]:
    try:
        yield IdentityEncoder()
    except BackendUnavailable as error:
        pytest.skip(str(error))


@pytest.fixture(scope="session")
def landmark_model(shared: Path) -> FaceModel:
    """A real 3DMM (ICT) cut down to its 68 landmark vertices, in decimetres around their middle."""
    with np.load(shared / "data" / "ict_facekit" / "ict_facekit_f16.npz") as file:
        vertices = file["landmarks68"]
        mean, identity, expression = (
            torch.from_numpy(file[key][..., vertices, :].astype(np.float32)) / 10
            for key in ("mean", "identity", "expression")
        )
        names = tuple(str(name) for name in file["expression_names"])
    return FaceModel(
        name="ict-landmarks",
        mean=mean - mean.mean(0),
        identity=identity,
        expression=expression,
        albedo_mean=torch.ones(68, 3),
        albedo=torch.zeros(1, 68, 3),
        triangles=torch.zeros(0, 3, dtype=torch.int32),
        landmarks=torch.arange(68),
        mirror=torch.tensor(MIRROR),
        expression_names=names,
    )
