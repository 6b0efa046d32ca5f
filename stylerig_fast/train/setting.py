"""What both training stages begin with: the seed, the threads, the face model and the portraits."""

from __future__ import annotations

from pathlib import Path
from typing import Protocol

import torch

from stylerig_fast.data.portraits import PortraitSet
from stylerig_fast.face import FaceModel
from stylerig_fast.face.model_io import load_face_model, open_face_model


class Setting(Protocol):
    """The fields that the stages' configs share."""

    @property
    def data(self) -> Path: ...
    @property
    def face_model(self) -> Path | None: ...
    @property
    def size(self) -> int: ...
    @property
    def limit(self) -> int | None: ...
    @property
    def seed(self) -> int: ...
    @property
    def device(self) -> str: ...
    @property
    def threads(self) -> int: ...


def begin(config: Setting) -> tuple[FaceModel, PortraitSet]:
    """Seeds torch and sets its threads; the face model on the training device, and the training portraits."""
    torch.manual_seed(config.seed)
    if config.threads:
        torch.set_num_threads(config.threads)
    model = (load_face_model(config.face_model) if config.face_model else open_face_model()).to(config.device)
    return model, PortraitSet.load(config.data, size=config.size, shards="train", limit=config.limit)
