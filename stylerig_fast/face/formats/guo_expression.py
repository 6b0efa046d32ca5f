"""The expression basis of Guo et al. for the Basel Face Model: ``Exp_Pca.bin`` and ``std_exp.txt``.

"CNN-based Real-time Dense Face Reconstruction with Inverse-rendered Photo-realistic Face Images" (2018), as
Deep3DFaceRecon reads it (``util/load_mats.py``): the number K of components as int32, then as float32 the mean
``(V, 3)`` and the components ``(K, V, 3)``, micrometres; the text file has K standard deviations. V is 53,215: the
Basel Face Model's 53,490 vertices without some inside the mouth; ``BFM_exp_idx.mat`` lists them (``trimIndex``,
from 1).

The mean is left out, as in Deep3DFaceRecon: coefficients of 0 are the Basel model's neutral face.

Built from the published layout; no licensed file was at hand.
"""

from __future__ import annotations

import os
import re
from pathlib import Path

import numpy as np

from stylerig_fast.errors import FaceModelError
from stylerig_fast.face.formats.matlab import read_matlab
from stylerig_fast.face.formats.raw_model import MAX_VERTICES

BASIS, STD_FILE, INDICES = "Exp_Pca.bin", "std_exp.txt", "BFM_exp_idx.mat"
_NUMBER = re.compile(r"[-+]?\d+(?:\.\d*)?(?:[eE][-+]?\d+)?")


def read_guo_expression(path: str, count: int) -> dict[str, np.ndarray]:
    """The basis file. Runs in the child process.

    Args:
        path: ``Exp_Pca.bin``.
        count: components to keep at most.

    Returns:
        ``basis (count, V, 3)`` float32 in micrometres, per unit; ``components``: K.

    Raises:
        FaceModelError: the sizes do not fit the file.
    """
    size = os.path.getsize(path)
    with open(path, "rb") as file:
        start = file.read(4)
        components = int(np.frombuffer(start, "<i4")[0]) if len(start) == 4 else 0
        numbers, rest = divmod(size - 4, 4)
        vertices, uneven = divmod(numbers, 3 * (components + 1)) if 1 <= components <= 400 else (0, 1)
        if rest or uneven or not 0 < vertices <= MAX_VERTICES:
            raise FaceModelError(
                f"{path}: {size} bytes are no expression basis of {components} components; expected "
                "4 + 12 V (K + 1) bytes. The file is truncated, or of another format"
            )
        file.seek(4 + 12 * vertices)
        kept = min(count, components)
        raw = file.read(12 * vertices * kept)
    basis = np.frombuffer(raw, "<f4").reshape(kept, vertices, 3)
    return {"basis": basis.astype(np.float32), "components": np.array([components])}


def find_beside(name: str, *files: Path) -> Path | None:
    """The file of that name in the folder of one of ``files``."""
    return next((file.parent / name for file in files if (file.parent / name).is_file()), None)


def read_std(path: Path, components: int) -> np.ndarray:
    """``std_exp.txt``: one standard deviation per component.

    Raises:
        FaceModelError: not so many numbers, or something else.
    """
    try:
        with open(path, encoding="utf-8") as file:
            words = file.read(1 << 16).replace(",", " ").split()
    except (OSError, UnicodeDecodeError) as error:
        raise FaceModelError(f"{path}: cannot be read as text ({error})") from error
    if len(words) < components or not all(_NUMBER.fullmatch(word) for word in words):
        raise FaceModelError(f"{path}: expected {components} numbers, one per expression component")
    return np.array([float(word) for word in words])


def read_trim_indices(path: str) -> dict[str, np.ndarray]:
    """``BFM_exp_idx.mat``. Runs in the child process."""
    return read_matlab(path, {"trimIndex": None})
