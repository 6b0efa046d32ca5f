"""Baselines behind the one interface of `measurement.edit_method.EditMethod`, fitted on training portraits.

`fit_baselines` gives all of them by name: no edit, style mixing, the two linear directions per control, the paper's
steering network, and direct optimisation of the code through F.
"""

from stylerig_fast.evaluation.baselines.directions import FilterDirection, PatternDirection
from stylerig_fast.evaluation.baselines.fitted import Sample, fit_baselines
from stylerig_fast.evaluation.baselines.mixing import StyleMixing
from stylerig_fast.evaluation.baselines.no_edit import NoEdit
from stylerig_fast.evaluation.baselines.optimisation import DirectOptimisation
from stylerig_fast.evaluation.baselines.steering import Steering

__all__ = [
    "DirectOptimisation",
    "FilterDirection",
    "NoEdit",
    "PatternDirection",
    "Sample",
    "Steering",
    "StyleMixing",
    "fit_baselines",
]
