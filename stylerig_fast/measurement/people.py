"""Which people of a portrait set are edited, and which give their pose."""

from __future__ import annotations

import torch
from torch import Tensor

from stylerig_fast.data.portraits import PortraitSet
from stylerig_fast.measurement.pose import PoseEstimator


def choose_people(
    portraits: PortraitSet, estimator: PoseEstimator, count: int, max_yaw: float = 10.0, seed: int = 0
) -> tuple[Tensor, Tensor]:
    """Chooses people to edit, and people to take a pose from.

    Args:
        portraits: held-out ones.
        estimator: of the pose, from the stored landmarks.
        count: how many of each.
        max_yaw: widest turn of the people to edit, degrees; the pose donors may have any pose.
        seed: of the choice.

    Returns:
        Two index tensors ``(count,)`` into ``portraits``.

    Raises:
        ValueError: there are fewer.
    """
    people = frontal_people(portraits, estimator, max_yaw, seed)
    backwards = _shuffled(portraits, seed).flip(0)
    donors = backwards[portraits.detected[backwards]]
    if len(people) < count:
        raise ValueError(f"{count} people within {max_yaw:g} degrees of yaw asked for, the set has {len(people)}")
    return people[:count], donors[:count]


def frontal_people(portraits: PortraitSet, estimator: PoseEstimator, max_yaw: float = 10.0, seed: int = 0) -> Tensor:
    """Everybody who is turned by ``max_yaw`` degrees at most, in random order; indices into ``portraits``.

    Raises:
        ValueError: nobody is.
    """
    yaw = estimator.fit(portraits.landmarks).yaw
    order = _shuffled(portraits, seed)
    people = order[portraits.detected[order] & (yaw[order].abs() <= max_yaw)]
    if not len(people):
        raise ValueError(f"the portraits show nobody within {max_yaw:g} degrees of yaw")
    return people


def _shuffled(portraits: PortraitSet, seed: int) -> Tensor:
    return torch.randperm(len(portraits), generator=torch.Generator().manual_seed(seed))
