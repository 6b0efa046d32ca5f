"""Evaluation of rigs and reconstructors, by estimators of pictures.

    engine = Engine.from_pretrained("mobilestylegan-ffhq")
    held_out, training = (PortraitSet.load("portraits/", shards=shards) for shards in ("held-out", "train"))
    evaluation = evaluate(engine, held_out, training, EvaluationPlan.quick())
    print(evaluation.rig.estimates["yaw.gain"])
    write_report("report/", evaluation)

`evaluate` does everything; `measure_rig` and `measure_reconstructor` make the report of one of them alone. The metrics
are in `metrics`, one file each, the baselines in `methods`, and estimators that training never reads in
`heldout_estimators`.
"""

from stylerig_fast.evaluation.html_report.folder import write_report
from stylerig_fast.evaluation.metrics.reconstructor_error import measure_reconstructor
from stylerig_fast.evaluation.metrics.rig import measure_rig
from stylerig_fast.evaluation.plan import EvaluationPlan
from stylerig_fast.evaluation.protocol import Evaluation, evaluate

__all__ = ["Evaluation", "EvaluationPlan", "evaluate", "measure_reconstructor", "measure_rig", "write_report"]
