"""The metrics of a rig, one file each; importing this package registers them (`registry.register_metric`).

`reconstructor_error` measures a reconstructor, `rig` makes the report of a rig alone, `results` is what a report is.
"""

from stylerig_fast.evaluation.metrics import (  # noqa: F401
    artifacts,
    background,
    disentanglement,
    edit_accuracy,
    frechet_distance,
    identity,
    noise_floor,
    off_target_change,
    reconstructor_agreement,
)
