"""An Engine that answers at once: a real face model, and drawings that move as the request asks."""

from __future__ import annotations

import time
from functools import lru_cache
from types import SimpleNamespace

import numpy as np
import torch

from stylerig_fast.engine.reach import Reach
from stylerig_fast.face import Camera
from stylerig_fast.face.model_io import open_face_model
from stylerig_fast.face.rotation import degrees_to_axis_angle
from stylerig_fast.params import FaceParams

NUM_WS = 16


@lru_cache(1)
def face_model():
    return open_face_model()


class StandIn:
    """Implements `EngineLike`. Each person has a colour; a head turns, a mouth opens, the light moves."""

    device = torch.device("cpu")

    def __init__(self, resolution=512, delay=0.0, reach=True):
        """``delay``: seconds that a picture takes, of waiting, not of work."""
        self.resolution, self.delay = resolution, delay
        self.generator = SimpleNamespace(name="stand-in", num_ws=NUM_WS, w_dim=512, resolution=resolution)
        self.face_model, self.camera = face_model(), Camera()
        angles = {"yaw": (-35.0, 35.0), "pitch": (-18.0, 18.0), "roll": (-3.0, 3.0)}
        self.reach = Reach(angles, {"jawOpen": (0.0, 0.6)}) if reach else None
        self.drawn = 0

    def info(self):
        return {"backend": "stand-in", "device": "cpu", "dtype": "float32"}

    def sample(self, seed=0, n=1, psi=0.7):
        generator = torch.Generator().manual_seed(seed)
        return (psi * torch.randn(n, 1, 512, generator=generator)).repeat(1, NUM_WS, 1)

    def mix_codes(self, w, v, slots):
        mixed = w.clone()
        mixed[:, list(slots)] = v[:, list(slots)]
        return mixed

    def params(self, w):
        """The same of the same code; slots 0 to 3 are the pose, 4 to 7 the expression, the last the light."""
        sizes, batch = self.face_model.sizes, len(w)
        degrees = w[:, 0, :3] * w.new_tensor([10.0, 5.0, 1.0])
        illumination = torch.zeros(batch, 9, 3)
        illumination[:, 0] = 2.6 + 0.2 * w[:, -1, :3]
        illumination[:, 1:4] = 0.3 * w[:, -1, 3:12].reshape(batch, 3, 3)
        translation = torch.tensor([0.0, 0.0, -13.0]).repeat(batch, 1) + 0.02 * w[:, 0, 3:6]
        return FaceParams(
            identity=w[:, 8, : sizes["identity"]].clone(),
            albedo=0.5 * w[:, 9, : sizes["albedo"]],
            expression=(0.2 * w[:, 4, : sizes["expression"]]).clamp(0, 1),
            illumination=illumination,
            rotation=degrees_to_axis_angle(degrees),
            translation=translation,
            expression_names=self.face_model.expression_names,
        )

    def render(self, w, *, resolution=None):
        return self._draw(w, self.params(w), resolution or self.resolution)

    def edit(self, w, params, *, resolution=None):
        own = self.params(w)
        asked = params.completed_by(own)
        if self.reach is not None:
            self.reach.limit(asked, own, clamp=False)
        return self._draw(w, asked, resolution or self.resolution)

    def _draw(self, w, params, size):
        if self.delay:
            time.sleep(self.delay)
        self.drawn += 1
        yaw, pitch, _ = params.pose_degrees()[0].tolist()
        jaw = float(params.expression[0, params.expression_index("jawOpen")])
        x, y, _ = params.light_direction()[0].tolist()
        picture = np.empty((size, size, 3), np.uint8)
        picture[:] = ramp(size, round(x, 2), round(y, 2))[:, :, None]
        centre, radius = size / 2 + np.array([pitch, yaw]) * -size / 200 * np.array([1, -1]), size * 0.3
        top, left = (int(np.clip(value - radius, 0, size - 1)) for value in centre)
        skin = (np.asarray(w[0, -1, :3].sigmoid()) * 200 + 40).astype(np.uint8)
        picture[top : top + int(2 * radius), left : left + int(2 * radius)] = skin
        mouth = top + int(1.4 * radius), left + int(0.7 * radius)
        opening = max(int((0.05 + 0.4 * max(jaw, 0)) * radius), 1)
        picture[mouth[0] : mouth[0] + opening, mouth[1] : mouth[1] + int(0.6 * radius)] = 30
        return picture[None]


class Still(StandIn):
    """Always the same picture ``(1, H, W, 3)``, whatever is asked."""

    def __init__(self, picture):
        super().__init__(resolution=picture.shape[1])
        self.picture = picture

    def edit(self, w, params, *, resolution=None):
        self.drawn += 1
        return self.picture.copy()


@lru_cache(64)
def ramp(size, x, y):
    """A wall that is brighter on the side that the light comes from, with a texture that costs an encoder time."""
    across = np.linspace(-1, 1, size, dtype=np.float32)
    wall = 128 + 60 * (x * across[None, :] - y * across[:, None]) + 6 * np.sin(60 * across[None, :] * across[:, None])
    return wall.clip(0, 255).astype(np.uint8)
