"""The errors that stylerig_fast raises on purpose.

Every message names the file or argument, what was found, what was expected and what to do next.
Shape and dtype mistakes in tensors are plain ``ValueError`` with the shapes in the message.
"""


class StyleRigError(Exception):
    """Base of every error that this package raises on purpose."""


class CheckpointError(StyleRigError):
    """A generator, reconstructor or rig could not be read: missing, damaged, or for something else."""


class FaceModelError(StyleRigError):
    """A 3D morphable model could not be read, or lacks what was asked of it."""


class DataError(StyleRigError):
    """A portrait set could not be read or written."""


class TrainingDiverged(StyleRigError):
    """Losses or weights became NaN or infinite while training."""


class ExportError(StyleRigError):
    """A graph could not be exported."""


class BackendUnavailable(StyleRigError):
    """A backend, a device or an optional dependency is not there."""
