"""What a portrait set shows: measures of its pictures, and their standard deviations.

Changes of different measures are compared in standard deviations over portraits: a change of pitch counts as much as
one of brow height that is as unusual among the generator's portraits.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, fields

import torch
from torch import Tensor

from stylerig_fast.data.portraits import PortraitSet
from stylerig_fast.images import to_float
from stylerig_fast.measurement.expression import FaceMeasures, measure_face
from stylerig_fast.measurement.lighting import measure_light
from stylerig_fast.measurement.pose import PoseEstimator

_BLOCK = 256  # pictures measured at once
# Standard deviations by which the published figures of rigs of a generator are scaled, by the generator's name. They
# were measured on its held-out portraits; today's pose fit gives 13.05 degrees of yaw and 1.04 of roll there, and the
# rest as it stands here. Portraits of any other generator are measured.
REFERENCE_STD: dict[str, dict[str, float]] = {
    "mobilestylegan-ffhq": {
        "yaw": 12.5,
        "pitch": 7.0,
        "roll": 1.0,
        "mouth_opening": 0.0565,
        "mouth_width": 0.0778,
        "corner_height": 0.0411,
        "light": 0.188,
        "eye_opening": 0.0154,
        "brow_height": 0.0291,
    }
}
# Distance of two people by dlib, over the square root of two: what one person is from the mean, squared sums.
REFERENCE_IDENTITY = {"mobilestylegan-ffhq": 0.73 / math.sqrt(2)}


@dataclass(frozen=True)
class PortraitStd:
    """Standard deviations of measures over portraits.

    Attributes:
        values: by measure, in its units.
        origin: where they come from, for the report.
        identity: of dlib's descriptor from its mean, by the distance of two people; None leaves it to be measured on
            the people who are edited.
    """

    values: Mapping[str, float]
    origin: str
    identity: float | None = None

    def __getitem__(self, measure: str) -> float:
        return self.values[measure]


def measure_portraits(portraits: PortraitSet, estimator: PoseEstimator) -> dict[str, Tensor]:
    """Pose, expression and light of portraits, ``(N,)`` each, by their stored landmarks and pictures.

    Args:
        portraits: all of them are measured; where no face was detected the landmarks, and so the measures, are a guess.
        estimator: of the pose.
    """
    pose = estimator.fit(portraits.landmarks)
    face = measure_face(portraits.landmarks, pose.yaw)
    light = [
        measure_light(to_float(portraits.images[rows]), portraits.landmarks[rows]).asymmetry
        for rows in torch.arange(len(portraits)).split(_BLOCK)
    ]
    return {
        "yaw": pose.yaw,
        "pitch": pose.pitch,
        "roll": pose.roll,
        **{each.name: getattr(face, each.name) for each in fields(FaceMeasures)},
        "eye_opening": face.eye_opening,
        "light": torch.cat(light),
    }


def portrait_std(portraits: PortraitSet, estimator: PoseEstimator) -> PortraitStd:
    """Standard deviations of the measures over a portrait set; `REFERENCE_STD` for the generators listed there.

    Args:
        portraits: held-out ones; those without a detected face are left out.
        estimator: of the pose.
    """
    reference = REFERENCE_STD.get(portraits.generator)
    if reference is not None:
        return PortraitStd(reference, f"reference of {portraits.generator}", REFERENCE_IDENTITY[portraits.generator])
    seen = portraits.subset(portraits.detected)
    measured = measure_portraits(seen, estimator)
    return PortraitStd(
        {name: float(value.std()) for name, value in measured.items()}, f"{len(seen)} held-out portraits"
    )
