"""Baselines behind the one interface of `measurement.edit_method.EditMethod`, fitted on training portraits.

`fit_baselines` gives all of them by name: no edit, style mixing, the two linear directions per control, the paper's
steering network, and direct optimisation of the code through F.
"""

from stylerig_fast.evaluation.methods.fit import Sample, fit_baselines
from stylerig_fast.evaluation.methods.latent_optimization import DirectOptimisation
from stylerig_fast.evaluation.methods.linear_direction import FilterDirection, PatternDirection
from stylerig_fast.evaluation.methods.no_edit import NoEdit
from stylerig_fast.evaluation.methods.steering import Steering
from stylerig_fast.evaluation.methods.style_mixing import StyleMixing

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
