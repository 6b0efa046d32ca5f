"""An Engine without weights, for tests of what is around the Engine."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import torch

from stylerig_fast.face.rotation import degrees_to_axis_angle
from stylerig_fast.params import FaceParams

NUM_WS = 16
UNITS = ("jawOpen", "mouthSmileLeft", "mouthSmileRight")


class StandIn:
    """Remembers what it is asked, and paints every person in a colour that tells the code."""

    device = torch.device("cpu")
    resolution = 8
    generator = SimpleNamespace(num_ws=NUM_WS)

    def __init__(self):
        self.calls = []

    def sample(self, seed=0, n=1, psi=0.7):
        self.calls.append(("sample", seed, n, psi))
        generator = torch.Generator().manual_seed(seed)
        return psi * torch.randn(n, 1, 512, generator=generator).expand(n, NUM_WS, 512)

    def params(self, w):
        degrees = torch.stack([30 * w[:, 0, 0], 10 * w[:, 0, 1], 0 * w[:, 0, 2]], dim=1)
        batch = len(w)
        return FaceParams(
            identity=torch.zeros(batch, 2),
            albedo=torch.zeros(batch, 2),
            expression=torch.zeros(batch, len(UNITS)),
            illumination=torch.ones(batch, 9, 3),
            rotation=degrees_to_axis_angle(degrees),
            translation=torch.zeros(batch, 3),
            expression_names=UNITS,
        )

    def render(self, w):
        colour = (w[:, 0, :3].sigmoid() * 255).byte().numpy()
        return np.broadcast_to(colour[:, None, None, :], (len(w), self.resolution, self.resolution, 3)).copy()

    def render_params(self, params, size=256):
        image = torch.full((len(params), 3, size, size), 0.5)
        return SimpleNamespace(image=image, mask=torch.ones(len(params), size, size, dtype=torch.bool))

    def edit(self, w, params, clamp=False):
        self.calls.append(("edit", params.completed_by(self.params(w)), clamp))
        return self.render(w)

    def transfer(self, w, source, controls):
        self.calls.append(("transfer", controls))
        return self.render(source)

    def mix(self, w, v, slots):
        self.calls.append(("mix", list(slots)))
        return self.render(v)

    def generate(self, n, seed, psi, **asked):
        self.calls.append(("generate", asked))
        return self.render(self.sample(seed, n, psi))

    def called(self, name):
        return [call for call in self.calls if call[0] == name]
