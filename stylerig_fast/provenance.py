"""What weights were trained for: the generator and the face model, by name and by content."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from stylerig_fast.errors import CheckpointError
from stylerig_fast.face import FaceModel
from stylerig_fast.generators.base import Generator


@dataclass(frozen=True)
class Provenance:
    """Names and fingerprints, as stored in the config of a reconstructor and of a rig; empty where not known.

    Attributes:
        generator: `Generator.name`.
        generator_sha256: `Generator.fingerprint`.
        face_model: `FaceModel.name`.
        face_model_sha256: `FaceModel.fingerprint`.
    """

    generator: str = ""
    generator_sha256: str = ""
    face_model: str = ""
    face_model_sha256: str = ""

    @staticmethod
    def of(generator: Generator, face_model: FaceModel) -> Provenance:
        return Provenance(generator.name, generator.fingerprint(), face_model.name, face_model.fingerprint())

    @staticmethod
    def read_from(config: dict[str, Any]) -> Provenance:
        """Takes the provenance out of a checkpoint's config; empty where it has none.

        Args:
            config: has ``provenance`` as ``dataclasses.asdict`` made it, or ``trained_for``, its former name.

        Raises:
            ValueError: there is something else in its place.
        """
        values = config.pop("provenance", config.pop("trained_for", {}))
        if not isinstance(values, dict) or not all(isinstance(value, str) for value in values.values()):
            raise ValueError(f"provenance is {values!r}, expected names and sha256 sums")
        return Provenance(**values)

    def check(self, what: str, found: Provenance) -> None:
        """Raises CheckpointError, naming both, unless these weights belong to what was ``found``.

        Args:
            what: the weights, for the message: "rig".
            found: the generator and face model at hand; what is empty on either side is not compared.
        """
        for part in ("generator", "face_model"):
            trained, given = getattr(self, f"{part}_sha256"), getattr(found, f"{part}_sha256")
            if trained and given and trained != given:
                label = part.replace("_", " ")
                raise CheckpointError(
                    f"the {what} was trained for the {label} {getattr(self, part)!r} (sha256 {trained[:12]}…), not "
                    f"for {getattr(found, part)!r} ({given[:12]}…); load that {label}, train a {what} for this one, or "
                    "take them together anyway with allow_mismatch=True (--allow-mismatch)"
                )
