"""All baselines by name, fitted on the training portraits of a set."""

from __future__ import annotations

import copy

from stylerig_fast.data.portraits import PortraitSet
from stylerig_fast.evaluation.methods.latent_optimization import LatentOptimization
from stylerig_fast.evaluation.methods.linear_direction import FilterDirection, PatternDirection
from stylerig_fast.evaluation.methods.no_edit import NoEdit
from stylerig_fast.evaluation.methods.steering import Steering
from stylerig_fast.evaluation.methods.style_mixing import StyleMixing
from stylerig_fast.evaluation.methods.training_sample import TrainingSample, take_sample
from stylerig_fast.measurement.edit_method import EditMethod
from stylerig_fast.measurement.pose import PoseEstimator
from stylerig_fast.reconstructor import FaceReconstructor


def fit_methods(
    portraits: PortraitSet, reconstructor: FaceReconstructor, estimator: PoseEstimator, seed: int = 0
) -> tuple[dict[str, EditMethod], TrainingSample]:
    """Baselines by name, and the sample that they were fitted on.

    Args:
        portraits: training ones.
        reconstructor: the F that targets are made with.
        estimator: of the pose, as the evaluation's.
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
        "latent optimization": LatentOptimization(sample, frozen, translation=sizes["translation"]),
    }, sample
