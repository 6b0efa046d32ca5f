"""``stylerig convert face``: any published face model to this package's own file, and a picture of what it holds."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import tyro

from stylerig_fast.commands.output import check_output, print_report, write_png
from stylerig_fast.untrusted import Limits

if TYPE_CHECKING:
    from collections.abc import Sequence

    from stylerig_fast.face import FaceModel

DETECT = "detect"


@dataclass(kw_only=True)
class ConvertFace:
    """Convert a 3D morphable model (Basel, FLAME, Surrey, ICT) to a face model file of this package."""

    source: tyro.conf.Positional[Path]
    """01_MorphableModel.mat, BFM_model_front.mat, model2017*.h5, model2019*.h5, FLAME's generic_model.pkl, Surrey's
    sfm_shape_3448.bin or another eos model, ICT's FaceXModel folder or a packed .npz, or a .safetensors of this
    package; told apart by what is in it."""
    out: Path
    """File to write, name.safetensors."""
    preview: Path | None = None
    """Also write a contact sheet to this PNG file: landmarks, mean, and the first components both ways."""
    expression: Path | None = None
    """Second file with the expressions: Exp_Pca.bin for Basel 2009 (with std_exp.txt and BFM_exp_idx.mat beside it), or
    Surrey's expression_blendshapes_3448.bin."""
    landmarks: Annotated[str | None, tyro.conf.arg(metavar="FILE|detect")] = None
    """Vertices of the 68 landmarks: a file with 68 numbers (from 0), an eos mapping such as ibug_to_sfm.txt, or detect,
    which finds them with dlib on rendered pictures. By default those in the file or published for its mesh."""
    identity: int = 80
    """Identity components to keep at most."""
    expressions: int = 64
    """Expression components to keep at most; named units are all kept."""
    albedo: int = 80
    """Albedo components to keep at most; a model without colours gets so many smooth ones."""
    crop: bool = False
    """Leave out scalp, back of the head and lower neck, which hair and clothes cover in portraits; wise for FLAME."""
    name: str | None = None
    """Name of the model in messages and in the weights trained for it; by default the format's."""
    licence: str = ""
    """A line about the model's terms, kept in the file."""
    memory: float = 4.0
    """GiB that reading the source may take."""
    seconds: float = 120.0
    """Seconds that reading the source may take."""
    json: bool = False
    """Print figures as one JSON object, and nothing else, on standard output."""

    def run(self) -> None:
        check_output(self.out, ".safetensors")
        if self.preview is not None:
            check_output(self.preview)
        import dataclasses

        from stylerig_fast.face.formats import read_face_model
        from stylerig_fast.face.formats.crop_face import crop_face
        from stylerig_fast.face.model_io import load_face_model, save_face_model

        model = read_face_model(
            self.source,
            expression=self.expression,
            landmarks=self._detect if self.landmarks == DETECT else self.landmarks,
            identity=self.identity,
            expressions=self.expressions,
            albedo=self.albedo,
            limits=Limits(self.seconds, int(self.memory * 2**30)),
        )
        if self.crop:
            model = crop_face(model, str(self.source))
        if self.name is not None:
            model = dataclasses.replace(model, name=self.name)
        save_face_model(model, self.out, self.licence or f"as of {model.name}, which it was converted from")
        model = load_face_model(self.out)
        wrote = [str(self.out)]
        if self.preview is not None:
            from stylerig_fast.commands.face_model_sheet import draw_face_sheet

            write_png(draw_face_sheet(model), self.preview)
            wrote.append(str(self.preview))
        print_report({"wrote": wrote, **_figures(model)}, self.json)

    def _detect(self, model: FaceModel) -> Sequence[int]:
        from stylerig_fast.measurement.landmarks import LandmarkDetector
        from stylerig_fast.open_face.detect_landmarks import detect_landmarks

        detector = LandmarkDetector()

        def detect(pictures):  # type: ignore[no-untyped-def]
            found = detector.detect(pictures)
            return found.points.numpy(), found.detected.numpy()

        return detect_landmarks(model, detect, where=str(self.source)).tolist()


def _figures(model: FaceModel) -> dict[str, object]:
    named = [name for name in model.expression_names if not name.startswith("residual_")]
    return {
        "name": model.name,
        "sha256": model.fingerprint(),
        "vertices": model.num_vertices,
        "triangles": len(model.triangles),
        **{block: model.sizes[block] for block in ("identity", "expression", "albedo")},
        "named expressions": named or "none",
    }
