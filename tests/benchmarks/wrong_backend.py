"""A backend that is fast and wrong."""

from __future__ import annotations

import torch


class WrongBackend:
    name = "wrong"

    def __init__(self, setting):
        self.generator, self.rig = setting.generator, setting.rig

    def pictures(self, w, resolution):
        return torch.zeros(len(w), resolution, resolution, 3, dtype=torch.uint8)

    def edit(self, w, request, own, resolution):
        return self.pictures(w, resolution)

    def describe(self):
        return {"synthesis": "black"}


def make(setting):
    return WrongBackend(setting)
