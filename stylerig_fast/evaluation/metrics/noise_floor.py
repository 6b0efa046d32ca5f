"""How much estimators vary by themselves: what they measure on a picture, and on its mirror image.

Nothing but its side changes in a mirror, and yet dlib's descriptor of the person moves by half of what a turn of 15
degrees costs, and measures by a tenth of their standard deviation over people. No edit can be measured to less.
"""

from __future__ import annotations

from stylerig_fast.evaluation.heldout_estimators.identity import identity_distance
from stylerig_fast.evaluation.metrics.registry import Estimates, register_metric
from stylerig_fast.measurement.edit_runner import MeasuredEdits
from stylerig_fast.measurement.measurements import Measurements
from stylerig_fast.measurement.portrait_measures import PortraitStd
from stylerig_fast.measurement.statistics import mean

# Measures whose sign a mirror turns around.
_SIDED = ("yaw", "roll", "light")


@register_metric()
def noise_floor(measured: MeasuredEdits, mirrored: Measurements, std: PortraitStd) -> Estimates:
    """Identity distance, and mean difference of each measure in standard deviations, ``noise_floor.<measure>``.

    The mirror images are those of the first of the measured people.
    """
    count, pictures, found = len(mirrored), measured.before, {}
    if pictures.descriptor is not None and mirrored.descriptor is not None:
        distances = identity_distance(pictures.descriptor[:count], mirrored.descriptor)
        found["noise_floor.identity"] = mean(distances)
    for name, unit in std.values.items():
        sign = -1 if name in _SIDED else 1
        difference = pictures.value(name)[:count] - sign * mirrored.value(name)
        found[f"noise_floor.{name}"] = mean(difference.abs() / unit)
    return found
