"""Which format a file has, told by what is in it and not by its name; and reading it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from stylerig_fast.errors import CheckpointError, FaceModelError
from stylerig_fast.face.formats import (
    basel2009,
    basel_hdf5,
    deep3d,
    flame,
    guo_expression,
    hdf5,
    ict,
    matlab,
    npz,
    surrey,
)
from stylerig_fast.face.formats.landmark_files import read_landmark_file
from stylerig_fast.face.formats.raw_model import Counts, RawFaceModel, read_in_child, take
from stylerig_fast.face.formats.to_face_model import LandmarkSource, assemble, cut, move_origin, with_landmarks
from stylerig_fast.face.model import FaceModel
from stylerig_fast.face.model_io import load_face_model
from stylerig_fast.untrusted import Limits, read_pickle

KNOWN = (
    "Basel 2009 (01_MorphableModel.mat), BFM_model_front.mat, Basel 2017 or 2019 (.h5), FLAME (.pkl), Surrey or "
    "another eos model (.bin), ICT (FaceXModel folder or packed .npz), this package's own (.safetensors)"
)
_HEAD = 128  # bytes that tell formats apart


def read_face_model(
    path: str | Path,
    *,
    expression: str | Path | None = None,
    landmarks: str | Path | LandmarkSource | None = None,
    identity: int = 80,
    expressions: int = 64,
    albedo: int = 80,
    limits: Limits | None = None,
) -> FaceModel:
    """Reads a morphable model of any format that is known here; see docs/convert.md.

    The result is in decimetres, looks toward +z with y up, has outward triangles and its origin where the open face
    model has it. A model without colours gets grey skin and a smooth basis.

    Args:
        path: the file, or ICT's folder.
        expression: a second file with the expressions: Guo et al.'s ``Exp_Pca.bin`` for Basel 2009 (with
            ``std_exp.txt``, and ``BFM_exp_idx.mat`` if it is about fewer vertices, beside it or beside the model), eos'
            blendshapes for Surrey.
        landmarks: a file with the 68 landmarks' vertices, or a mapping of them, or a function that finds them on a
            model; by default those of the file, or those published for the mesh.
        identity: components to keep at most.
        expressions: components to keep at most; named units are all kept.
        albedo: components to keep at most; also how many a model without colours gets.
        limits: of the child process that reads the file.

    Raises:
        FaceModelError: the file is missing, damaged, of no known format, or lacks something; the message says what
            to do.
    """
    path = Path(path)
    counts = Counts(identity, expressions, albedo)
    source = read_landmark_file(landmarks) if isinstance(landmarks, (str, Path)) else landmarks
    kind = _kind(path, limits)
    if expression is not None and kind not in ("basel2009", "surrey"):
        raise FaceModelError(f"{path}: this format has its expressions in it; leave --expression out")
    if kind in ("own", "ict"):
        return _ready(path, kind, counts, source, limits)
    parts = _READERS[kind](path, counts, Path(expression) if expression is not None else None, limits)
    return assemble(parts, str(path), counts, source)


def _kind(path: Path, limits: Limits | None) -> str:
    """The format's short name, a key of `_READERS`, ``own`` or ``ict``."""
    if path.is_dir():
        return "ict"
    if not path.is_file():
        raise FaceModelError(f"{path}: no such file; expected a face model: {KNOWN}")
    try:
        with open(path, "rb") as file:
            start = file.read(_HEAD)
    except OSError as error:
        raise FaceModelError(f"{path}: cannot be read ({error.strerror})") from error
    if matlab.is_matlab(start):
        names = read_in_child("matlab:matlab_names", path, limits)
        if "meanshape" in names:
            return "deep3d"
        if "shapeMU" in names:
            return "basel2009"
        raise FaceModelError(f"{path}: a MATLAB file with {', '.join(sorted(names)[:20])}; expected {KNOWN}")
    # A safetensors file begins with its header's length; the header is JSON.
    if start[8:9] == b"{" and int.from_bytes(start[:8], "little") < 1 << 26:
        return "own"
    for kind, found in (
        ("basel_hdf5", start.startswith(hdf5.MAGIC)),
        ("ict", start.startswith(npz.MAGIC)),
        ("surrey", surrey.looks_like_eos(start)),
        ("flame", start.startswith(_PICKLES)),
    ):
        if found:
            return kind
    raise FaceModelError(f"{path}: of no known format; expected {KNOWN}")


# Protocols 2 to 5; and 0 and 1, which begin with a dictionary's mark.
_PICKLES = (b"\x80\x02", b"\x80\x03", b"\x80\x04", b"\x80\x05", b"(d", b"}q")


def _ready(path: Path, kind: str, counts: Counts, landmarks: LandmarkSource | None, limits: Limits | None) -> FaceModel:
    """Formats whose reader gives a whole model."""
    model = load_face_model(path) if kind == "own" else ict.load_ict(path, limits=limits)
    model = cut(model, counts)
    if landmarks is not None:
        model = with_landmarks(model, landmarks, str(path))
    # Our own file was placed when it was made.
    return model if kind == "own" and landmarks is None else move_origin(model, str(path))


def _read_basel2009(path: Path, counts: Counts, expression: Path | None, limits: Limits | None) -> RawFaceModel:
    if expression is None:
        expression = guo_expression.find_beside(guo_expression.BASIS, path)
        if expression is None:
            raise FaceModelError(
                f"{path}: Basel 2009 has no expressions; give Guo et al.'s {guo_expression.BASIS} with --expression"
            )
    basis = read_in_child("guo_expression:read_guo_expression", expression, limits, count=counts.expression)
    text = guo_expression.find_beside(guo_expression.STD_FILE, expression, path)
    if text is None:
        raise FaceModelError(f"{expression}: needs {guo_expression.STD_FILE} beside it, its standard deviations")
    std = guo_expression.read_std(text, int(basis["components"][0]))
    tree = read_in_child("basel2009:read_basel2009", path, limits, identity=counts.identity, albedo=counts.albedo)
    trim = None
    if tree.get("shapeMU") is not None and basis["basis"].shape[1] * 3 != tree["shapeMU"].size:
        indices = guo_expression.find_beside(guo_expression.INDICES, expression, path)
        if indices is not None:
            found = read_in_child("guo_expression:read_trim_indices", indices, limits)
            trim = take(found, "trimIndex", str(indices), whole=True)
    return basel2009.basel2009_parts(tree, str(path), counts, basis["basis"], std, trim)


def _read_surrey(path: Path, counts: Counts, expression: Path | None, limits: Limits | None) -> RawFaceModel:
    tree = read_in_child("surrey:read_eos", path, limits)
    blendshapes = None
    if expression is not None:
        blendshapes = read_in_child("surrey:read_blendshapes", expression, limits)
    return surrey.surrey_parts(tree, str(path), counts, blendshapes)


def _read_deep3d(path: Path, counts: Counts, expression: Path | None, limits: Limits | None) -> RawFaceModel:
    tree = read_in_child("deep3d:read_deep3d", path, limits, **vars(counts))
    return deep3d.deep3d_parts(tree, str(path), counts)


def _read_basel_hdf5(path: Path, counts: Counts, expression: Path | None, limits: Limits | None) -> RawFaceModel:
    tree = read_in_child("basel_hdf5:read_basel_hdf5", path, limits, **vars(counts))
    return basel_hdf5.basel_hdf5_parts(tree, str(path), counts)


def _read_flame(path: Path, counts: Counts, expression: Path | None, limits: Limits | None) -> RawFaceModel:
    try:
        tree = read_pickle(path, limits or Limits())  # in a child process of its own
    except CheckpointError as error:
        raise FaceModelError(str(error)) from error
    return flame.flame_parts(tree, str(path), counts)


_READERS: dict[str, Callable[[Path, Counts, Path | None, Limits | None], RawFaceModel]] = {
    "basel2009": _read_basel2009,
    "basel_hdf5": _read_basel_hdf5,
    "deep3d": _read_deep3d,
    "flame": _read_flame,
    "surrey": _read_surrey,
}
