"""Writes a `FaceModel` in the layouts of published models, as their files have them: units, order, axes, numbering."""

from __future__ import annotations

import dataclasses
import json
import pickle
import struct
import sys
import types
from pathlib import Path

import numpy as np
import torch

from stylerig_fast.face.model import FaceModel
from stylerig_fast.face.model_io import open_face_model

SHIFT = np.array([0.0, 0.31, -0.45])  # decimetres: no format has its origin where the open model has it


def small_model(identity: int = 6, expression: int = 7, albedo: int = 5) -> FaceModel:
    """The open model's geometry with few components, named as those of a file without names."""
    model = open_face_model()
    jaw = model.expression_names.index("jawOpen")
    chosen = [jaw, *range(43, 43 + expression - 1)]
    return dataclasses.replace(
        model,
        identity=model.identity[:identity].clone(),
        expression=model.expression[chosen].clone(),
        expression_names=tuple(f"residual_{k:02d}" for k in range(expression)),
        albedo=model.albedo[:albedo].clone(),
    )


def in_file(model: FaceModel, unit: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Mean ``(V, 3)``, identity and expression as columns ``(3 V, K)``, in a unit of so many decimetres."""
    mean = (model.mean.double().numpy() + SHIFT) / unit
    return mean, columns(model.identity) / unit, columns(model.expression) / unit


def columns(modes: torch.Tensor) -> np.ndarray:
    return modes.double().flatten(1).T.numpy()


def split(basis: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Columns of length one, and their lengths."""
    lengths = np.linalg.norm(basis, axis=0)
    return basis / np.where(lengths > 0, lengths, 1), lengths  # the open model's tongueOut moves nothing


def clockwise(model: FaceModel) -> np.ndarray:
    return model.triangles.numpy()[:, [0, 2, 1]]


def write_deep3d(model: FaceModel, path: Path, **changes: np.ndarray | None) -> None:
    from scipy.io import savemat

    mean, identity, expression = in_file(model, 1.0)
    fields = {
        "meanshape": mean.reshape(1, -1).astype(np.float32),
        "idBase": identity.astype(np.float32),
        "exBase": expression.astype(np.float32),
        "meantex": 255 * model.albedo_mean.numpy().reshape(1, -1),
        "texBase": 255 * columns(model.albedo).astype(np.float32),
        "tri": model.triangles.numpy().astype(np.float64) + 1,
        "point_buf": np.ones((model.num_vertices, 8)),
        "keypoints": model.landmarks.numpy()[None].astype(np.uint16) + 1,
    }
    fields = {name: value for name, value in (fields | changes).items() if value is not None}
    savemat(path, fields)


def write_basel2009(model: FaceModel, path: Path, **changes: np.ndarray | None) -> None:
    """``01_MorphableModel.mat``; the expressions go beside it with `write_guo`."""
    from scipy.io import savemat

    mean, identity, _ = in_file(model, 1e-5)
    basis, deviations = split(identity)
    colours, spread = split(255 * columns(model.albedo))
    fields = {
        "shapeMU": mean.reshape(-1, 1).astype(np.float32),
        "shapePC": basis.astype(np.float32),
        "shapeEV": deviations[:, None].astype(np.float32),
        "texMU": 255 * model.albedo_mean.numpy().reshape(-1, 1),
        "texPC": colours.astype(np.float32),
        "texEV": spread[:, None].astype(np.float32),
        "tl": clockwise(model).astype(np.float64) + 1,
        "segbin": np.zeros((model.num_vertices, 4), bool),
    }
    savemat(path, {name: value for name, value in (fields | changes).items() if value is not None}, do_compression=True)


def write_guo(expression: torch.Tensor, folder: Path) -> None:
    """``Exp_Pca.bin`` and ``std_exp.txt`` for modes ``(E, V, 3)``."""
    basis, deviations = split(columns(expression) / 1e-5)
    mean = np.full(basis.shape[0], 7.0, "<f4")  # not used
    content = struct.pack("<i", len(deviations)) + mean.tobytes() + basis.T.astype("<f4").tobytes()
    (folder / "Exp_Pca.bin").write_bytes(content)
    (folder / "std_exp.txt").write_text(" ".join(f"{value:.8e}" for value in deviations) + "\n")


def write_hdf5(model: FaceModel, path: Path, landmarks: list[dict] | None = None, scaled: bool = False) -> None:
    """Basel 2017's layout; ``scaled`` writes layout 0.8, whose basis has the deviations in it."""
    import h5py

    mean, identity, expression = in_file(model, 1e-2)
    with h5py.File(path, "w") as file:
        parts = {
            "shape": (mean.reshape(-1), identity),
            "expression": (np.zeros(mean.size), expression),
            "color": (model.albedo_mean.numpy().reshape(-1), columns(model.albedo)),
        }
        for part, (centre, basis) in parts.items():
            directions, deviations = split(basis)
            stored = directions * deviations if scaled else directions
            file[f"{part}/model/mean"] = centre.astype(np.float32)
            file.create_dataset(f"{part}/model/pcaBasis", data=stored.astype(np.float32), compression="gzip")
            file[f"{part}/model/pcaVariance"] = (deviations**2).astype(np.float32)
            file[f"{part}/model/noiseVariance"] = np.zeros(1, np.float32)
            file[f"{part}/version/majorVersion"] = np.int32(0)
            file[f"{part}/version/minorVersion"] = np.int32(8 if scaled else 9)
        file["shape/representer/points"] = mean.T.astype(np.float32)
        file["shape/representer/cells"] = model.triangles.numpy().T.astype(np.int32)
        if landmarks is not None:
            file["metadata/landmarks/json"] = np.frombuffer(json.dumps(landmarks).encode(), np.int8)


def numbered_places(model: FaceModel) -> list[dict]:
    places = (model.mean.double().numpy() + SHIFT)[model.landmarks.numpy()] * 100
    return [{"id": str(k + 1), "coordinates": place.tolist()} for k, place in enumerate(places)]


def eos_matrix(values: np.ndarray) -> bytes:
    values = np.asarray(values, "<f4").reshape(len(values), -1) if np.size(values) else np.zeros((0, 1), "<f4")
    return struct.pack("<ii", *values.shape) + values.tobytes(order="F")


def eos_pca(mean: np.ndarray, basis: np.ndarray, triangles: np.ndarray) -> bytes:
    directions, deviations = split(basis) if basis.size else (basis, np.zeros(0))
    content = eos_matrix(mean.reshape(-1, 1)) + eos_matrix(directions) + eos_matrix(deviations**2)
    return content + struct.pack("<Q", len(triangles)) + np.asarray(triangles, "<i4").tobytes()


def eos_text(text: str) -> bytes:
    return struct.pack("<Q", len(text.encode())) + text.encode()


def eos_blendshapes(offsets: dict[str, np.ndarray]) -> bytes:
    shapes = [eos_text(name) + eos_matrix(value.reshape(-1, 1)) for name, value in offsets.items()]
    return struct.pack("<Q", len(shapes)) + b"".join(shapes)


def write_eos(model: FaceModel, path: Path, version: int = 4, colours: bool = True, definitions: bool = True) -> None:
    """An eos model with a PCA model of the expressions from version 2, landmark definitions from version 3."""
    mean, identity, expression = in_file(model, 1e-2)
    triangles, nothing = model.triangles.numpy(), np.zeros((0, 0))
    content = struct.pack("<I", version) + eos_pca(mean, identity, triangles)
    if colours:
        content += eos_pca(model.albedo_mean.numpy(), columns(model.albedo), triangles)
    else:
        content += eos_pca(nothing, nothing, np.zeros((0, 3)))
    if version >= 2:
        content += struct.pack("<Bi", 0, 0) + eos_pca(np.zeros(mean.size), expression, triangles)
    if version >= 3:
        named = [eos_text(str(k + 1)) + struct.pack("<i", v) for k, v in enumerate(model.landmarks.tolist())]
        content += struct.pack("<BQ", 0, 68) + b"".join(named) if definitions else struct.pack("<B", 1)
    content += struct.pack("<Q", 2) + np.zeros((2, 2), "<f8").tobytes()
    if version >= 4:
        content += struct.pack("<Q", 0)
    path.write_bytes(content)


def flame_fields(model: FaceModel) -> dict[str, np.ndarray]:
    """FLAME's fields as plain arrays; the lower half of the face hangs on the jaw."""
    mean, identity, expression = in_file(model, 10.0)
    count = len(mean)
    directions = np.zeros((count, 3, 300 + max(10, expression.shape[1])), np.float32)
    directions[:, :, : identity.shape[1]] = identity.reshape(count, 3, -1)
    directions[:, :, 300 : 300 + expression.shape[1]] = expression.reshape(count, 3, -1)
    weights = np.zeros((count, 5), np.float32)
    weights[:, 2] = 1 / (1 + np.exp((mean[:, 1] - mean[:, 1].mean()) / 0.005))
    weights[:, 1] = 1 - weights[:, 2]
    regressor = np.zeros((5, count))
    nearest = np.argsort(((mean - (mean.mean(0) + np.array([0, 0.01, -0.07]))) ** 2).sum(1))[:4]
    regressor[:, nearest] = 0.25
    rng = np.random.default_rng(0)
    return {
        "v_template": mean,
        "shapedirs": directions,
        "posedirs": rng.normal(0, 1e-3, (count, 3, 36)),
        "J_regressor": regressor,
        "weights": weights,
        "kintree_table": np.array([[4294967295, 0, 1, 1, 1], [0, 1, 2, 3, 4]], np.uint32),
        "f": model.triangles.numpy().astype(np.uint32),
    }


def write_flame(fields: dict[str, np.ndarray], path: Path, chumpy: bool = True) -> None:
    """A pickle as FLAME's are: arrays of chumpy, and the regressor as SciPy's sparse matrix."""
    from scipy.sparse import csc_matrix

    module = types.ModuleType("chumpy.ch")

    class Ch:
        pass

    Ch.__module__, Ch.__qualname__ = "chumpy.ch", "Ch"
    module.Ch = Ch  # type: ignore[attr-defined]

    def wrapped(value: np.ndarray) -> object:
        array = Ch()
        array.__dict__.update(x=value, _dirty_vars=set(), _itr=None, _status="new")
        return array

    stored: dict[str, object] = dict(fields)
    if chumpy:
        stored |= {name: wrapped(fields[name]) for name in ("v_template", "shapedirs", "posedirs") if name in fields}
    if "J_regressor" in fields:
        stored["J_regressor"] = csc_matrix(fields["J_regressor"])
    stored |= {"bs_type": "lrotmin", "bs_style": "lbs"}
    sys.modules["chumpy"], sys.modules["chumpy.ch"] = types.ModuleType("chumpy"), module
    try:
        with open(path, "wb") as file:
            pickle.dump(stored, file, protocol=2)
    finally:
        del sys.modules["chumpy"], sys.modules["chumpy.ch"]


def write_ict(model: FaceModel, path: Path) -> None:
    """The packed form of the ICT model."""
    mean, identity, expression = in_file(model, 0.1)
    np.savez_compressed(
        path,
        mean=mean.astype(np.float32),
        identity=identity.T.reshape(-1, *mean.shape).astype(np.float32),
        expression=expression.T.reshape(-1, *mean.shape).astype(np.float32),
        expression_names=np.array(model.expression_names),
        faces=np.hstack([model.triangles.numpy(), np.full((len(model.triangles), 1), -1)]),
        landmarks68=model.landmarks.numpy(),
    )


def write_landmarks(model: FaceModel, path: Path) -> Path:
    path.write_text(" ".join(map(str, model.landmarks.tolist())))
    return path
