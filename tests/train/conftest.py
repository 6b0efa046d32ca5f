"""A small world in which F has something to find: portraits rendered from parameters that are linear in the code."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from stylerig_fast.data.portraits import write_shard
from stylerig_fast.face import Camera, FaceModel
from stylerig_fast.face.model_io import open_face_model
from stylerig_fast.param_layout import BLOCKS
from stylerig_fast.params import FaceParams
from stylerig_fast.render import render

NUM_WS = 4
SPREAD = {"identity": 0.7, "albedo": 0.5, "expression": 0.1, "illumination": 0.15, "rotation": 0.15, "translation": 0.1}


@pytest.fixture(scope="session")
def face_model() -> FaceModel:
    return open_face_model()


def world_params(model: FaceModel, w: torch.Tensor) -> FaceParams:
    """Parameters ``(N, …)`` that the code's first slots decide."""
    draw = torch.Generator().manual_seed(7)
    scale = torch.cat([torch.full((model.sizes[name],), SPREAD[name]) for name in BLOCKS])
    mix = torch.randn(512, len(scale), generator=draw) / 512**0.5
    params = FaceParams.from_vector(w.mean(1) * NUM_WS**0.5 @ mix * scale, model.sizes, model.expression_names)
    gamma = params.blocks["illumination"].clone()
    gamma[:, 0] += 3.0
    translation = params.blocks["translation"] + torch.tensor([0.0, 0.0, -11.0])
    return params.with_blocks(illumination=gamma, translation=translation)


@pytest.fixture(scope="session")
def world(tmp_path_factory: pytest.TempPathFactory, face_model: FaceModel) -> Path:
    """A folder of three shards of 32 portraits, 32 px."""
    folder = tmp_path_factory.mktemp("world")
    draw = torch.Generator().manual_seed(0)
    for shard in range(3):
        w_a, w_b = torch.randn(2, 32, 512, generator=draw)
        mix = torch.rand(32, NUM_WS, generator=draw).half().float()
        w_a, w_b = w_a.half().float(), w_b.half().float()
        w = torch.lerp(w_a[:, None], w_b[:, None], mix[..., None])
        rendered = render(face_model, world_params(face_model, w), Camera(), 32)
        image = torch.where(rendered.mask[:, None], rendered.image, torch.full_like(rendered.image, 0.3)).clamp(0, 1)
        write_shard(
            folder / f"portraits-{shard:05d}-of-00003.parquet",
            w_a=w_a.numpy(),
            w_b=w_b.numpy(),
            mix=mix.numpy(),
            images=image.mul(255).round().to(torch.uint8).permute(0, 2, 3, 1).contiguous().numpy(),
            landmarks=rendered.landmarks.numpy(),
            detected=torch.ones(32, dtype=torch.bool).numpy(),
            generator="small world",
        )
    return folder
