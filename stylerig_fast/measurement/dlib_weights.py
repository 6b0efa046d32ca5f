"""Finds dlib and its weights: the HOG face detector, the 68-point predictor, the 128-d descriptor network.

The weights come in the wheel ``face-recognition-models``. Its ``__init__`` needs ``pkg_resources``, which newer
setuptools no longer has, so the files are located and the package is never imported.
"""

from __future__ import annotations

import importlib
import importlib.util
from pathlib import Path
from typing import Any

from stylerig_fast.errors import BackendUnavailable

INSTALL_DLIB = "pip install dlib-bin"
INSTALL_WEIGHTS = "pip install --no-deps face-recognition-models==0.3.0"

SHAPE_PREDICTOR = "shape_predictor_68_face_landmarks.dat"
RECOGNITION = "dlib_face_recognition_resnet_model_v1.dat"


def import_dlib() -> Any:
    """The dlib module.

    Raises:
        BackendUnavailable: it is not installed, or does not load here.
    """
    try:
        return importlib.import_module("dlib")
    except ImportError as error:
        raise BackendUnavailable(
            f"dlib could not be imported ({error}); pictures are measured with it: {INSTALL_DLIB}"
        ) from error


def weights_path(name: str) -> Path:
    """Where the installed wheel keeps one weights file.

    Args:
        name: ``SHAPE_PREDICTOR`` or ``RECOGNITION``.

    Raises:
        BackendUnavailable: the wheel is not installed, or lacks the file.
    """
    spec = importlib.util.find_spec("face_recognition_models")
    if spec is None or not spec.submodule_search_locations:
        raise BackendUnavailable(f"dlib's weights ({name}) are not installed: {INSTALL_WEIGHTS}")
    path = Path(next(iter(spec.submodule_search_locations))) / "models" / name
    if not path.is_file():
        raise BackendUnavailable(
            f"{path} is missing from the installed face-recognition-models; reinstall it: "
            f"{INSTALL_WEIGHTS} --force-reinstall"
        )
    return path
