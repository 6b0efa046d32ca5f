"""All baselines of a portrait set, fitted on its training shards."""

from __future__ import annotations

import copy

from stylerig_fast.data.portraits import PortraitSet
from stylerig_fast.evaluation.methods.latent_optimization import DirectOptimisation
from stylerig_fast.evaluation.methods.linear_direction import FilterDirection, PatternDirection
from stylerig_fast.evaluation.methods.no_edit import NoEdit
from stylerig_fast.evaluation.methods.steering import Steering
from stylerig_fast.evaluation.methods.style_mixing import StyleMixing
from stylerig_fast.evaluation.methods.training_sample import Sample, take_sample
from stylerig_fast.measurement.edit_method import EditMethod
from stylerig_fast.measurement.pose import PoseEstimator
from stylerig_fast.reconstruction import FaceReconstructor

__all__ = ["Sample", "fit_baselines", "take_sample"]


def fit_baselines(
    portraits: PortraitSet, reconstructor: FaceReconstructor, estimator: PoseEstimator, seed: int = 0
) -> tuple[dict[str, EditMethod], Sample]:
    """Baselines by name, and the sample that they were fitted on.

    Args:
        portraits: training ones.
        reconstructor: the F that requests are made with.
        estimator: the judge's pose estimator.
        seed: of every draw.
    """
    # The baselines compute on the CPU wherever the rig does.
    frozen = copy.deepcopy(reconstructor).to("cpu").requires_grad_(False)
    sample = take_sample(portraits, frozen.vector, estimator, seed)
    sizes = frozen.config.sizes
    return {
        "no edit": NoEdit(),
        "style mixing": StyleMixing(sample),
        "pattern direction": PatternDirection(sample),
        "filter direction": FilterDirection(sample),
        "steering": Steering(sample, frozen, sizes, seed=seed),
        "direct optimisation": DirectOptimisation(sample, frozen, translation=sizes["translation"]),
    }, sample
