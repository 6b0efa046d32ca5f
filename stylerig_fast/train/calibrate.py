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
from stylerig_fast.face.rotation import SMALL_TURN
from stylerig_fast.measurement.analyzer import FaceAnalyzer
from stylerig_fast.measurement.edit_accuracy import control_figures
from stylerig_fast.measurement.edit_runner import measure_edits
from stylerig_fast.measurement.edit_suite import BROWS_UNITS, EYES_UNITS, SMILE_UNITS, standard_requests
from stylerig_fast.measurement.parallel import PictureAnalyzer
from stylerig_fast.measurement.range_sweep import UNITS, Sweep, sweep_requests, sweeps
from stylerig_fast.measurement.statistics import Figure
from stylerig_fast.param_layout import ParamLayout

# A gain beyond these says that the control does not reach the picture, which no factor can mend.
LOWEST, HIGHEST = 0.5, 2.5
# Shares between these are left alone.
TARGETS = {
    "yaw": (0.97, 1.03),
    "pitch": (0.97, 1.03),
    # A wide-open mouth that is asked for still more hardly opens further, and shows odd teeth.
    "jawOpen": (0.75, 0.79),
    "smile": (0.85, 0.9),
    # dlib's lids never meet: of eyes that are closed for everybody to see, its landmarks show this much.
    "eyes": (0.5, 0.55),
    "brows": (0.85, 0.9),
    "illumination": (0.85, 0.9),
}
_UNITS = {"jawOpen": ("jawOpen",), "smile": SMILE_UNITS, "eyes": EYES_UNITS, "brows": BROWS_UNITS}
# Other units that landmarks measure, to what share, and at which levels beside rest.
_MORE = tuple(units for units in UNITS if units not in _UNITS.values())
_MORE_TARGET, _MORE_LEVELS = (0.85, 0.9), (0.0, 0.5, 1.0)

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
    requests = standard_requests(names, quick=True)
    more = [entry for entry in sweep_requests(names) if entry[1] in _MORE and entry[3].amount in _MORE_LEVELS]
    rounds_seen = []
    for _ in range(rounds):
        shares = measured_shares(control_figures(measure_edits(engine, analyzer, codes, requests, pool=pool)))
        if more:
            measured = measure_edits(engine, analyzer, codes, [request for *_, request in more], pool=pool)
            shares |= unit_shares(sweeps(more, measured))
        _apply(engine, shares)
        rounds_seen.append(shares)
        _log.info("share of the request in the picture: %s", {name: round(v, 3) for name, v in shares.items()})
    return rounds_seen


def measured_shares(figures: Mapping[str, Figure]) -> dict[str, float]:
    """Shares of the request that arrive, by what they are about; a smile is its width's and its corners' mean."""
    found = {
        "yaw": ("yaw.gain",),
        "pitch": ("pitch.gain",),
        "jawOpen": ("jaw.gain",),
        "smile": ("smile.smile_width_gain", "smile.corner_height_gain"),
        "eyes": ("eyes.gain",),
        "brows": ("brows.gain",),
        "illumination": ("light.gain",),
    }
    # A face model without the named unit has no figure of it.
    return {
        share: sum(figures[name].value for name in names) / len(names)
        for share, names in found.items()
        if names[0] in figures
    }


def unit_shares(found: Sequence[Sweep]) -> dict[str, float]:
    """Shares of the request that arrive, of other units, by the first of those that move together; if measured."""
    shares = {sweep.units[0]: sum(step.gain.value for step in sweep.steps) / len(sweep.steps) for sweep in found}
    return {unit: share for unit, share in shares.items() if math.isfinite(share)}


def _apply(engine: Engine, shares: Mapping[str, float]) -> None:
    rig, layout = engine.rig_net, ParamLayout(engine.face_model.sizes)
    factor = {}
    for name, share in shares.items():
        lowest, highest = TARGETS.get(name, _MORE_TARGET)
        wanted = min(max(share, lowest), highest)
        factor[name] = min(max(wanted / max(share, 1e-3), LOWEST), HIGHEST)
    whole = torch.ones(layout.size, device=rig.gain.device)
    blocks = layout.split(whole)
    for angle in ("pitch", "yaw"):
        blocks["rotation"][SMALL_TURN[angle][0]] = factor[angle]
    expression = blocks["expression"]
    known = [factor[name] for name in _UNITS if name in factor]
    # Units that have no measure of their own are taken to answer like those that have.
    expression[:] = math.prod(known) ** (1 / max(1, len(known)))
    together = _UNITS | {units[0]: units for units in _MORE}
    for name in factor.keys() & together.keys():
        for unit in together[name]:
            expression[engine.face_model.expression_names.index(unit)] = factor[name]
    # The constant band is the exposure, which a change of direction leaves alone.
    blocks["illumination"][1:] = factor["illumination"]
    rig.gain.mul_(whole[rig.columns]).clamp_(LOWEST, HIGHEST)
