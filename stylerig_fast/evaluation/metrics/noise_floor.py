"""How far estimators trust themselves: what they see of a picture, and of its mirror image.

Nothing but its side changes in a mirror, and yet dlib's descriptor of the person moves by half of what a turn of 15
degrees costs, and measures by a tenth of their spread over people. No edit can be measured to less.
"""

from __future__ import annotations

from stylerig_fast.evaluation.heldout_estimators.identity import identity_distance
from stylerig_fast.measurement.analyzer import SPREAD, Measurements
from stylerig_fast.measurement.statistics import Figure, mean

# Measures that a mirror turns around.
_SIDED = ("yaw", "roll", "light")


def mirror_figures(pictures: Measurements, mirrored: Measurements) -> dict[str, Figure]:
    """Identity distance, and mean difference of each measure in deviations over portraits.

    Args:
        pictures: what was seen in pictures, of more people or as many.
        mirrored: in the mirror images of the first of them.
    """
    count = len(mirrored.values)
    figures = {"mirror.identity": mean(identity_distance(pictures.descriptor[:count], mirrored.descriptor))}
    for name, spread in SPREAD.items():
        sign = -1 if name in _SIDED else 1
        off = pictures.value(name)[:count] - sign * mirrored.value(name)
        figures[f"mirror.{name}"] = mean(off.abs() / spread)
    return figures
