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
from stylerig_fast.measurement.analyzer import FaceAnalyzer
from stylerig_fast.measurement.edit_kinds import EDIT_KINDS
from stylerig_fast.measurement.edit_runner import measure_edits
from stylerig_fast.measurement.edit_suite import ANGLES, Edit, make_edit
from stylerig_fast.measurement.measurements import MEASURES
from stylerig_fast.measurement.parallel import PictureAnalyzer, analyzing_beside
from stylerig_fast.measurement.people import frontal_people
from stylerig_fast.params import BLOCKS, FaceParams
from stylerig_fast.rignet import SubspaceRigNet
from stylerig_fast.train.directions import LinearWorld
from stylerig_fast.train.initialise import picture_columns
from stylerig_fast.train.personal import Answers, regress, take_off
from stylerig_fast.train.run import counter

_RIDGE = 600.0  # of the regressions, in pictures
_SHARE = 4  # units are asked of every fourth of the people
# The component of an axis-angle that an angle is nearly, and its sign.
_COMPONENT = {"yaw": (1, 1.0), "pitch": (0, -1.0)}


@dataclass(frozen=True)
class _Asked:
    """One edit of everybody.

    Attributes:
        edit: what is asked.
        rows: the requests of the rig that it is made of, see `SubspaceRigNet.request`.
        kept: ``(M,)`` bool, the measures that it should leave to the rendered face model.
    """

    edit: Edit
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
            [each.edit for each in asked],
            pool=pool,
            resolution=resolution,
            progress=None if progress is None else lambda done: progress(made + done, total),
        )
        start = seen.before.select() - seen.rendered.select()
        return [
            ((result.picture.select() - result.rendered.select() - start) / deviation.double()).to(mending)
            for result in seen.results
        ]

    if turns:
        strays = show(turns, slice(None))
        before = FaceParams.from_vector(own, engine.face_model.sizes, engine.face_model.expression_names)
        for pair, wrong in zip(
            zip(turns[::2], turns[1::2], strict=True), torch.cat(strays).split(2 * len(codes)), strict=True
        ):
            rows = pair[0].rows
            request = torch.cat([rig.request(each.edit.apply(before).vector(), own)[:, rows] for each in pair])
            known = torch.isfinite(wrong).all(1)
            means[:, rows], by_person = regress(request[known], person.repeat(2, 1)[known], wrong[known], _RIDGE)
            slopes[:, rows] = by_person @ knowing.T
    if units:
        for asked, stray in zip(units, show(units, few, len(codes) * of_turns), strict=True):
            request = (asked.edit.amount - own[few][:, rig.columns[asked.rows]]).mean(0) / rig.p_std[asked.rows]
            # The smallest change of the units' directions that takes off what all of them do together.
            off = torch.where(asked.kept, stray.nanmean(0), 0.0)[:, None] * request / request.square().sum()
            means[:, asked.rows] += off
    take_off(rig, Answers(means, slopes, mending), picture_columns(rig))


def _turns(rig: SubspaceRigNet) -> list[_Asked]:
    """Less and more of each angle, one after the other."""
    found = []
    for kind in (EDIT_KINDS[angle] for angle in ANGLES):
        component, sign = _COMPONENT[kind.name]
        most = kind.correction or 0.0
        for amount in (-most, most):
            if rig.turns:
                rows = [rig.turns[component], len(rig.columns) + component]
                edit = Edit(f"{kind.name}{amount:+g}", kind, amount, _turned(component, sign * amount))
                found.append(_Asked(edit, rows, torch.ones(len(MEASURES), dtype=torch.bool)))
    return found


def _turned(component: int, degrees: float) -> Callable[[FaceParams], FaceParams]:
    def turned(own: FaceParams) -> FaceParams:
        rotation = own.blocks["rotation"].clone()
        rotation[:, component] += math.radians(degrees)
        return own.with_blocks(rotation=rotation)

    return turned


def _units(rig: SubspaceRigNet, names: Sequence[str]) -> list[_Asked]:
    start = sum(rig.config.sizes[name] for name in BLOCKS[: BLOCKS.index("expression")])
    place = {column: row for row, column in enumerate(rig.columns.tolist())}
    found = []
    for kind in EDIT_KINDS.values():
        if kind.units and kind.correction and "expression" in rig.config.controls and kind.available(names):
            rows = [place[start + names.index(unit)] for unit in kind.units]
            kept = torch.tensor([measure in (*kind.kept, "glasses") for measure in MEASURES])
            found.append(_Asked(make_edit(kind, kind.correction), rows, kept))
    return found
