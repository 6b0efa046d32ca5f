"""Who looks at pictures in training: a judge that sees all but the person, and a process of its own for it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from stylerig_fast.engine import Engine
from stylerig_fast.evaluation.judge import Judge
from stylerig_fast.evaluation.looking import LookBeside, Looker
from stylerig_fast.face import Camera, FaceModel


def build_judge(model: FaceModel, camera: Camera) -> Judge:
    """Sees all but the person; called in the processes that look."""
    return Judge(model, camera, describe=False)


@contextmanager
def looking_beside(engine: Engine) -> Iterator[tuple[Judge, Looker]]:
    """The judge of this process, and a second process that looks while this one renders."""
    model = engine.face_model.to("cpu")
    with LookBeside(build_judge, (model, engine.camera)) as looker:
        yield build_judge(model, engine.camera), looker
