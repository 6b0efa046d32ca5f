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
from stylerig_fast.measurement.edit_accuracy import edit_accuracy
from stylerig_fast.measurement.edit_kinds import EDIT_KINDS, core_kinds
from stylerig_fast.measurement.edit_runner import measure_edits
from stylerig_fast.measurement.edit_suite import edits_of
from stylerig_fast.measurement.parallel import PictureAnalyzer, analyzing_beside
from stylerig_fast.measurement.people import frontal_people
from stylerig_fast.measurement.range_sweep import Sweep, sweep_edits, sweeps
from stylerig_fast.measurement.statistics import Estimate
from stylerig_fast.param_layout import ParamLayout

# A gain outside of these means that the control does not reach the picture, which no factor can correct.
LOWEST, HIGHEST = 0.5, 2.5
# Expressions other than the core kinds are measured at these levels.
_LEVELS = (0.0, 0.5, 1.0)

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
    edits = edits_of(core_kinds(), names, quick=True)
    more = [edit for edit in sweep_edits(names) if not edit.kind.core and edit.amount in _LEVELS]
    by_round = []
    for _ in range(rounds):
        shares = measured_shares(edit_accuracy(measure_edits(engine, analyzer, codes, edits, pool=pool)))
        if more:
            shares |= unit_shares(sweeps(measure_edits(engine, analyzer, codes, more, pool=pool)))
        _apply(engine, shares)
        by_round.append(shares)
        _log.info("share of each change that pictures show: %s", {name: round(v, 3) for name, v in shares.items()})
    return by_round


def measured_shares(estimates: Mapping[str, Estimate]) -> dict[str, float]:
    """Shares of the change that pictures show, by core kind; a smile's is the mean of its width's and its corners'."""
    shares = {}
    for kind in core_kinds():
        names = [f"{kind.name}.gain", *(f"{kind.name}.{measure}_gain" for measure in kind.also_measured)]
        # A face model without the named expression has no gain of it.
        if names[0] in estimates:
            shares[kind.name] = sum(estimates[name].value for name in names) / len(names)
    return shares


def unit_shares(measured: Sequence[Sweep]) -> dict[str, float]:
    """Mean share over the levels of each sweep, by kind. Those that could not be measured are left out."""
    shares = {sweep.kind.name: sum(step.gain.value for step in sweep.steps) / len(sweep.steps) for sweep in measured}
    return {name: share for name, share in shares.items() if math.isfinite(share)}


def _apply(engine: Engine, shares: Mapping[str, float]) -> None:
    """Multiplies the rig's gains by what brings the shares to their targets."""
    rig, layout = engine.rig_net, ParamLayout(engine.face_model.sizes)
    factor = {}
    for name, share in shares.items():
        lowest, highest = EDIT_KINDS[name].calibrated_gain
        target = min(max(share, lowest), highest)
        factor[name] = min(max(target / max(share, 1e-3), LOWEST), HIGHEST)
    whole = torch.ones(layout.size, device=rig.gain.device)
    blocks = layout.split(whole)
    for angle in ("pitch", "yaw"):
        blocks["rotation"][SMALL_TURN[angle][0]] = factor[angle]
    expression = blocks["expression"]
    known = [factor[kind.name] for kind in core_kinds() if kind.units and kind.name in factor]
    # Expressions that have no measure of their own get the geometric mean of the four main ones.
    expression[:] = math.prod(known) ** (1 / max(1, len(known)))
    for name in factor:
        for unit in EDIT_KINDS[name].units:
            expression[engine.face_model.expression_names.index(unit)] = factor[name]
    # The constant band is the exposure, which a change of the direction does not touch.
    blocks["illumination"][1:] = factor["light"]
    rig.gain.mul_(whole[rig.columns]).clamp_(LOWEST, HIGHEST)
