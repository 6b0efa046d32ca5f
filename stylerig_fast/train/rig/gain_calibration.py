"""Step 6: gain calibration: each control is scaled until pictures show the change that was asked for.

RigNet is trained against F alone, and of an edit that satisfies F only a part shows in the picture. That share is
measured in the pictures of a few training people with the estimators of `stylerig_fast.measurement`, and changes of the
parameters are scaled from then on (``RigNet.gain``) so that the share becomes its target: about one for the pose, less
for expression and light, whose last tenth costs more of the person's identity than it shows.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from stylerig_fast.data.portraits import PortraitSet
from stylerig_fast.engine import Engine
from stylerig_fast.face.rotation import SMALL_TURN
from stylerig_fast.measurement.analyzer import FaceAnalyzer
from stylerig_fast.measurement.edit_accuracy import control_figures
from stylerig_fast.measurement.edit_runner import frontal_people, measure_edits
from stylerig_fast.measurement.edit_suite import BROWS_UNITS, EYES_UNITS, SMILE_UNITS, standard_requests
from stylerig_fast.measurement.parallel import PictureAnalyzer, analyzing_beside
from stylerig_fast.measurement.range_sweep import UNITS, Sweep, sweep_requests, sweeps
from stylerig_fast.measurement.statistics import Figure
from stylerig_fast.param_layout import ParamLayout

# A gain outside of these means that the control does not reach the picture, which no factor can correct.
LOWEST, HIGHEST = 0.5, 2.5
# Shares within these ranges are left as they are; others are brought to the nearer end.
TARGETS = {
    "yaw": (0.97, 1.03),
    "pitch": (0.97, 1.03),
    # A wide-open mouth hardly opens further, and shows odd teeth instead.
    "jawOpen": (0.75, 0.79),
    "smile": (0.85, 0.9),
    # dlib's lids never meet: of eyes that are visibly closed, its landmarks show this share.
    "eyes": (0.5, 0.55),
    "brows": (0.85, 0.9),
    "illumination": (0.85, 0.9),
}
_UNITS = {"jawOpen": ("jawOpen",), "smile": SMILE_UNITS, "eyes": EYES_UNITS, "brows": BROWS_UNITS}
# Other expressions that landmarks measure, the share they are brought to, and the levels they are measured at.
_MORE = tuple(units for units in UNITS if units not in _UNITS.values())
_MORE_TARGET, _MORE_LEVELS = (0.85, 0.9), (0.0, 0.5, 1.0)

_log = logging.getLogger(__name__)


def calibrate_gains(engine: Engine, portraits: PortraitSet, people: int, seed: int = 0) -> list[dict[str, float]]:
    """`calibrate` on training people within 10 degrees of yaw; a second process measures the pictures.

    Args:
        engine: the trained rig, changed in place.
        portraits: training set.
        people: how many are edited, at most.
        seed: of the choice of people.

    Returns:
        The shares measured in each round, by control.
    """
    with analyzing_beside(engine.face_model, engine.camera) as (analyzer, pool):
        chosen = frontal_people(portraits, analyzer.estimator, seed=seed)[:people]
        return calibrate(engine, analyzer, portraits.ws(chosen), pool)


def calibrate(
    engine: Engine, analyzer: FaceAnalyzer, codes: Tensor, pool: PictureAnalyzer | None = None, rounds: int = 2
) -> list[dict[str, float]]:
    """Sets ``engine.rig_net.gain`` so that pictures show the changes that were asked for.

    Args:
        engine: the trained rig, changed in place.
        analyzer: of rendered face models, and of the pictures unless ``pool`` measures those.
        codes: ``(n, num_ws, 512)`` training people.
        pool: measures the pictures.
        rounds: measurements; an edit is not quite linear in its size, so that one round leaves a difference.

    Returns:
        The shares measured in each round, by control.
    """
    names = engine.face_model.expression_names
    requests = standard_requests(names, quick=True)
    more = [entry for entry in sweep_requests(names) if entry[1] in _MORE and entry[3].amount in _MORE_LEVELS]
    by_round = []
    for _ in range(rounds):
        shares = measured_shares(control_figures(measure_edits(engine, analyzer, codes, requests, pool=pool)))
        if more:
            measured = measure_edits(engine, analyzer, codes, [request for *_, request in more], pool=pool)
            shares |= unit_shares(sweeps(more, measured))
        _apply(engine, shares)
        by_round.append(shares)
        _log.info("share of each change that pictures show: %s", {name: round(v, 3) for name, v in shares.items()})
    return by_round


def measured_shares(figures: Mapping[str, Figure]) -> dict[str, float]:
    """Shares of the change that pictures show, by control; a smile's is the mean of its width's and its corners'."""
    gains = {
        "yaw": ("yaw.gain",),
        "pitch": ("pitch.gain",),
        "jawOpen": ("jaw.gain",),
        "smile": ("smile.smile_width_gain", "smile.corner_height_gain"),
        "eyes": ("eyes.gain",),
        "brows": ("brows.gain",),
        "illumination": ("light.gain",),
    }
    # A face model without the named expression has no value of it.
    return {
        share: sum(figures[name].value for name in names) / len(names)
        for share, names in gains.items()
        if names[0] in figures
    }


def unit_shares(measured: Sequence[Sweep]) -> dict[str, float]:
    """Mean share over the levels of each sweep, by the first of the expressions that it moves together.

    Those that could not be measured are left out.
    """
    shares = {sweep.units[0]: sum(step.gain.value for step in sweep.steps) / len(sweep.steps) for sweep in measured}
    return {unit: share for unit, share in shares.items() if math.isfinite(share)}


def _apply(engine: Engine, shares: Mapping[str, float]) -> None:
    """Multiplies the rig's gains by what brings the shares to their targets."""
    rig, layout = engine.rig_net, ParamLayout(engine.face_model.sizes)
    factor = {}
    for name, share in shares.items():
        lowest, highest = TARGETS.get(name, _MORE_TARGET)
        target = min(max(share, lowest), highest)
        factor[name] = min(max(target / max(share, 1e-3), LOWEST), HIGHEST)
    whole = torch.ones(layout.size, device=rig.gain.device)
    blocks = layout.split(whole)
    for angle in ("pitch", "yaw"):
        blocks["rotation"][SMALL_TURN[angle][0]] = factor[angle]
    expression = blocks["expression"]
    known = [factor[name] for name in _UNITS if name in factor]
    # Expressions that have no measure of their own get the geometric mean of the four main ones.
    expression[:] = math.prod(known) ** (1 / max(1, len(known)))
    together = _UNITS | {units[0]: units for units in _MORE}
    for name in factor.keys() & together.keys():
        for unit in together[name]:
            expression[engine.face_model.expression_names.index(unit)] = factor[name]
    # The constant band is the exposure, which a change of the direction does not touch.
    blocks["illumination"][1:] = factor["illumination"]
    rig.gain.mul_(whole[rig.columns]).clamp_(LOWEST, HIGHEST)
