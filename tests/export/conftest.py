"""Small parts of an Engine, and their export."""

from __future__ import annotations

from pathlib import Path

import pytest

from export.onnx import ExportParts, export_onnx
from stylerig_fast.engine import Engine
from stylerig_fast.engine.backends.base import BackendSpec
from stylerig_fast.engine.backends.torch_backend import EagerBackend
from stylerig_fast.face.model_io import open_face_model
from tests.export.small import small_generator, small_reconstructor, small_rig


def small_parts(name: str = "mobilestylegan", form: str = "subspace") -> ExportParts:
    generator = small_generator(name)
    return ExportParts(
        generator, small_rig(generator.num_ws, form), small_reconstructor(generator.num_ws), open_face_model()
    )


@pytest.fixture(scope="session")
def parts() -> ExportParts:
    return small_parts()


@pytest.fixture(scope="session")
def graphs(parts: ExportParts, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of an export in float32, for any batch."""
    folder = tmp_path_factory.mktemp("graphs")
    export_onnx(parts, folder)
    return folder


@pytest.fixture(scope="session")
def engine(parts: ExportParts) -> Engine:
    """Plain eager torch in float32: what everything is compared with."""
    engine = Engine(parts.generator, parts.rig, parts.reconstructor, parts.face_model, backend="torch")
    return eager(engine)


def eager(engine: Engine) -> Engine:
    """The engine without compiled operations."""
    engine.backend = EagerBackend(BackendSpec(engine.generator, engine.rig_net, engine.device))
    return engine
