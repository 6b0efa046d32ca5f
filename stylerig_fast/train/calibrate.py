"""Gain calibration: how much of a request arrives in the picture, measured on training people, made up for.

RigNet is trained against F alone, and an edit that satisfies F arrives in the picture only in part. The share is
measured on the pictures of a few training people with the estimators of `stylerig_fast.measurement`, and the request is
scaled from then on (``RigNet.gain``) so that the share becomes what it should be: about one for the pose; for
expression and light less, for the last tenth costs more of the person than it shows.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from stylerig_fast.engine import Engine
from stylerig_fast.measurement.analyzer import FaceAnalyzer
from stylerig_fast.measurement.edit_accuracy import edit_accuracy
from stylerig_fast.measurement.edit_kinds import EDIT_KINDS, core_kinds
from stylerig_fast.measurement.edit_runner import measure_edits
from stylerig_fast.measurement.edit_suite import edits_of
from stylerig_fast.measurement.parallel import PictureAnalyzer
from stylerig_fast.measurement.range_sweep import Sweep, sweep_edits, sweeps
from stylerig_fast.measurement.statistics import Estimate
from stylerig_fast.params import BLOCKS

# A gain beyond these says that the control does not reach the picture, which no factor can mend.
LOWEST, HIGHEST = 0.5, 2.5
# The other expressions are measured at these levels.
_LEVELS = (0.0, 0.5, 1.0)

_log = logging.getLogger(__name__)


def calibrate(
    engine: Engine, analyzer: FaceAnalyzer, codes: Tensor, pool: PictureAnalyzer | None = None, rounds: int = 2
) -> list[dict[str, float]]:
    """Sets ``engine.rig_net.gain`` so that pictures answer with the change that was asked for.

    Args:
        engine: the trained rig, changed in place.
        analyzer: of rendered face models, and of the pictures unless ``pool`` measures those.
        codes: ``(n, num_ws, 512)`` training people.
        pool: measures the pictures.
        rounds: measurements; an edit's size is not quite linear in the request, so one round leaves a rest.

    Returns:
        The shares that were measured in each round, by control.
    """
    names = engine.face_model.expression_names
    edits = edits_of(core_kinds(), names, quick=True)
    more = [edit for edit in sweep_edits(names) if not edit.kind.core and edit.amount in _LEVELS]
    rounds_seen = []
    for _ in range(rounds):
        shares = measured_shares(edit_accuracy(measure_edits(engine, analyzer, codes, edits, pool=pool)))
        if more:
            shares |= unit_shares(sweeps(measure_edits(engine, analyzer, codes, more, pool=pool)))
        _apply(engine, shares)
        rounds_seen.append(shares)
        _log.info("share of the request in the picture: %s", {name: round(v, 3) for name, v in shares.items()})
    return rounds_seen


def measured_shares(found: Mapping[str, Estimate]) -> dict[str, float]:
    """Shares of the request that arrive, by core kind; a smile is its width's and its corners' mean."""
    shares = {}
    for kind in core_kinds():
        names = [f"{kind.name}.gain", *(f"{kind.name}.{measure}_gain" for measure in kind.also_measured)]
        # A face model without the named unit has no gain of it.
        if names[0] in found:
            shares[kind.name] = sum(found[name].value for name in names) / len(names)
    return shares


def unit_shares(found: Sequence[Sweep]) -> dict[str, float]:
    """Shares of the request that arrive, of the other kinds; if measured."""
    shares = {sweep.kind.name: sum(step.gain.value for step in sweep.steps) / len(sweep.steps) for sweep in found}
    return {name: share for name, share in shares.items() if math.isfinite(share)}


def _apply(engine: Engine, shares: Mapping[str, float]) -> None:
    rig, sizes = engine.rig_net, engine.face_model.sizes
    factor = {}
    for name, share in shares.items():
        lowest, highest = EDIT_KINDS[name].calibrated_gain
        wanted = min(max(share, lowest), highest)
        factor[name] = min(max(wanted / max(share, 1e-3), LOWEST), HIGHEST)
    whole = torch.ones(sum(sizes[name] for name in BLOCKS), device=rig.gain.device)
    start = dict(zip(BLOCKS, torch.tensor([0, *(sizes[name] for name in BLOCKS)]).cumsum(0).tolist(), strict=False))
    # Axis-angle is nearly (−pitch, yaw, −roll) in radians.
    whole[start["rotation"]] = factor["pitch"]
    whole[start["rotation"] + 1] = factor["yaw"]
    expression = whole[start["expression"] : start["expression"] + sizes["expression"]]
    known = [factor[kind.name] for kind in core_kinds() if kind.units and kind.name in factor]
    # Units that have no measure of their own are taken to answer like those that have.
    expression[:] = math.prod(known) ** (1 / max(1, len(known)))
    for name in factor:
        for unit in EDIT_KINDS[name].units:
            expression[engine.face_model.expression_names.index(unit)] = factor[name]
    # The constant band is the exposure, which a change of direction leaves alone.
    whole[start["illumination"] + 3 : start["illumination"] + 27] = factor["light"]
    rig.gain.mul_(whole[rig.columns]).clamp_(LOWEST, HIGHEST)
