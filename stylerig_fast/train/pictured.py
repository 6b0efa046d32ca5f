"""What edited pictures show wrong, made up for: the loop of training, closed through the generator.

F sees neither that eyes close when a head turns nor that its mouth shuts; the directions are right on average and for
small steps. So the rig edits training people, their pictures are rendered and measured, and what they show beyond the
rendered face model is taken off: of turns, and of what they add to an angle's square, as it depends on the person; of
expressions, what they move on average besides themselves. Faces' measures do this, not what training must not see:
dlib's descriptor of the person, the fitted light, the surroundings.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from stylerig_fast.data.portraits import PortraitSet
from stylerig_fast.engine import Engine
from stylerig_fast.face.rotation import SMALL_TURN
from stylerig_fast.measurement.analyzer import FaceAnalyzer, Measurements
from stylerig_fast.measurement.edit_runner import frontal_people, measure_edits
from stylerig_fast.measurement.edit_suite import BROWS_UNITS, EYES_UNITS, KEPT, SMILE_UNITS, Kind, Request, express
from stylerig_fast.measurement.parallel import PictureAnalyzer, analyzing_beside
from stylerig_fast.param_layout import ParamLayout
from stylerig_fast.params import FaceParams
from stylerig_fast.rignet import SubspaceRigNet
from stylerig_fast.train.directions import LinearWorld
from stylerig_fast.train.initialise import picture_columns
from stylerig_fast.train.observed import ANGLES, MEASURES
from stylerig_fast.train.personal import Answers, regress, take_off
from stylerig_fast.train.run import counter

TURNS: dict[Kind, float] = {"yaw": 20.0, "pitch": 10.0}  # degrees, either way
UNITS: dict[Kind, tuple[tuple[str, ...], float]] = {
    "jaw": (("jawOpen",), 0.5),
    "smile": (SMILE_UNITS, 0.8),
    "eyes": (EYES_UNITS, 1.0),
    "brows": (BROWS_UNITS, 1.0),
}
_RIDGE = 600.0  # of the regressions, in pictures
_SHARE = 4  # units are asked of every fourth of the people


@dataclass(frozen=True)
class _Asked:
    """One edit of everybody.

    Attributes:
        request: what is asked.
        rows: the requests of the rig that it is made of, see `SubspaceRigNet.delta`.
        kept: ``(M,)`` bool, the measures that it should leave to the rendered face model.
    """

    request: Request
    rows: list[int]
    kept: Tensor


def look_at_edits(engine: Engine, portraits: PortraitSet, world: LinearWorld, people: int, seed: int = 0) -> None:
    """`answer_pictures` of training people within 10 degrees of yaw; a second process looks while this one renders.

    Args:
        engine: with a `SubspaceRigNet`, which is changed in place.
        portraits: training set.
        world: says how measures are mended.
        people: how many, if there are as many.
        seed: of the choice of people.
    """
    seen, mending = world.observed, world.mending()
    with analyzing_beside(engine.face_model, engine.camera) as (analyzer, pool), counter("pictures of edits") as count:
        codes = portraits.ws(frontal_people(portraits, analyzer.estimator, seed=seed)[:people])
        answer_pictures(engine, analyzer, codes, seen.deviation, seen.measures, mending, pool, progress=count)


@torch.no_grad()
def answer_pictures(
    engine: Engine,
    analyzer: FaceAnalyzer,
    codes: Tensor,
    deviation: Tensor,
    measures: Tensor,
    mending: Tensor,
    pool: PictureAnalyzer | None = None,
    resolution: int = 512,
    progress: Callable[[int, int], None] | None = None,
) -> None:
    """Renders edits of training people and takes off what they show wrong.

    Args:
        engine: with a `SubspaceRigNet`, which is changed in place.
        analyzer: of rendered face models, and of the pictures unless ``pool`` measures those.
        codes: ``(n, num_ws, w_dim)`` training people; a quarter of them is asked for expressions.
        deviation: ``(M,)`` of `MEASURES` over portraits.
        measures: ``(K, M)`` what the code says of them, in deviations.
        mending: ``(M, K)`` offsets that move each measure by one deviation.
        pool: measures the pictures.
        resolution: of the pictures.
        progress: called with the number of pictures made so far, and of all.
    """
    rig = engine.rig_net
    assert isinstance(rig, SubspaceRigNet)
    turns, units = _turns(rig), _units(rig, engine.face_model.expression_names)
    own = engine.reconstructor.vector(codes.to(rig.p_std))
    # A few thousand people say little of 768 components: F's parameters of them say more, and what measures they have.
    knowing = torch.block_diag(measures, torch.eye(own.shape[1]).to(measures))
    person = rig.person(codes.to(rig.p_std), own) @ knowing
    few = slice(0, max(1, len(codes) // _SHARE))
    of_turns, of_units = (len(asked) and (1 + len(asked)) for asked in (turns, units))
    total = len(codes) * of_turns + len(codes[few]) * of_units
    means = mending.new_zeros(len(MEASURES), len(rig.direction))
    slopes = mending.new_zeros(len(MEASURES), len(rig.direction), len(knowing))

    def show(asked: Sequence[_Asked], rows: slice, made: int = 0) -> list[Tensor]:
        """What pictures show beyond the rendered face model, ``(n, M)`` deviations per edit; NaN without a face."""
        seen = measure_edits(
            engine,
            analyzer,
            codes[rows],
            [each.request for each in asked],
            pool=pool,
            resolution=resolution,
            progress=None if progress is None else lambda done: progress(made + done, total),
        )
        start = _values(seen.before) - _values(seen.rendered)
        return [
            ((_values(edit.picture) - _values(edit.rendered) - start) / deviation.double()).to(mending)
            for edit in seen.edits
        ]

    if turns:
        strays = show(turns, slice(None))
        before = FaceParams.from_vector(own, engine.face_model.sizes, engine.face_model.expression_names)
        for pair, wrong in zip(
            zip(turns[::2], turns[1::2], strict=True), torch.cat(strays).split(2 * len(codes)), strict=True
        ):
            rows = pair[0].rows
            request = torch.cat([rig.delta(each.request.apply(before).vector(), own)[:, rows] for each in pair])
            known = torch.isfinite(wrong).all(1)
            means[:, rows], by_person = regress(request[known], person.repeat(2, 1)[known], wrong[known], _RIDGE)
            slopes[:, rows] = by_person @ knowing.T
    if units:
        for asked, stray in zip(units, show(units, few, len(codes) * of_turns), strict=True):
            level = UNITS[asked.request.kind][1]
            request = (level - own[few][:, rig.columns[asked.rows]]).mean(0) / rig.p_std[asked.rows]
            # The smallest change of the units' directions that takes off what all of them do together.
            off = torch.where(asked.kept, stray.nanmean(0), 0.0)[:, None] * request / request.square().sum()
            means[:, asked.rows] += off
    take_off(rig, Answers(means, slopes, mending), picture_columns(rig))


def _turns(rig: SubspaceRigNet) -> list[_Asked]:
    """Less and more of each angle, one after the other."""
    found = []
    for angle, most in TURNS.items():
        component, sign = SMALL_TURN[angle]
        for amount in (-most, most):
            if rig.turns:
                rows = [rig.turns[component], len(rig.columns) + component]
                request = Request(f"{angle}{amount:+g}", angle, amount, _turned(component, sign * amount))
                found.append(_Asked(request, rows, torch.ones(len(MEASURES), dtype=torch.bool)))
    return found


def _turned(component: int, degrees: float) -> Callable[[FaceParams], FaceParams]:
    def turned(own: FaceParams) -> FaceParams:
        rotation = own.blocks["rotation"].clone()
        rotation[:, component] += math.radians(degrees)
        return own.with_blocks(rotation=rotation)

    return turned


def _units(rig: SubspaceRigNet, names: Sequence[str]) -> list[_Asked]:
    place = ParamLayout(rig.config.sizes).within("expression", rig.config.controls)
    found = []
    for kind, (units, level) in UNITS.items():
        if "expression" in rig.config.controls and all(unit in names for unit in units):
            rows = [place[names.index(unit)] for unit in units]
            kept = torch.tensor([measure in (*KEPT[kind], "glasses") for measure in MEASURES])
            found.append(_Asked(express(kind, units, level), rows, kept))
    return found


def _values(seen: Measurements) -> Tensor:
    """`MEASURES` ``(B, M)`` float64; NaN where no face was found."""
    angles = torch.stack([seen.value(name) for name in MEASURES[ANGLES]], dim=1)
    rest = torch.stack([seen.value("light"), seen.value("glasses")], dim=1)
    return torch.cat([angles, seen.measures.stacked().double(), rest], dim=1)
