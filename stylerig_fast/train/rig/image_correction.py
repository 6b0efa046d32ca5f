"""Step 5: correction of the edits by what edited pictures show: the loop of training, closed through the generator.

F sees neither that eyes close when a head turns nor that its mouth shuts, and the directions of step 2 hold on average
and for small edits. So the rig edits training people, their pictures are rendered and measured, and the difference to
the rendered face model is corrected as in step 3: of turns, for the turn and for the change of the angle's square, per
person; of expressions, the side effects on other measures, on average. The pictures are measured with the estimators of
`stylerig_fast.measurement` alone. The held-out ones of the evaluation have no part in it.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from stylerig_fast.data.portraits import PortraitSet
from stylerig_fast.engine import Engine
from stylerig_fast.face.rotation import SMALL_TURN
from stylerig_fast.measurement.analyzer import FaceAnalyzer
from stylerig_fast.measurement.edit_kinds import EDIT_KINDS
from stylerig_fast.measurement.edit_runner import measure_edits
from stylerig_fast.measurement.edit_suite import ANGLES, Edit, make_edit
from stylerig_fast.measurement.measurements import MEASURES
from stylerig_fast.measurement.parallel import PictureAnalyzer, analyzing_beside
from stylerig_fast.measurement.people import frontal_people
from stylerig_fast.param_layout import ParamLayout
from stylerig_fast.params import FaceParams
from stylerig_fast.rignet import SubspaceRigNet
from stylerig_fast.train.loop import counter
from stylerig_fast.train.rig.closed_form import LinearEditModel, image_ranks
from stylerig_fast.train.rig.person_correction import EditErrors, regress_errors, subtract_errors

_log = logging.getLogger(__name__)

_RIDGE = 600.0  # of the regressions, in pictures
_SHARE = 4  # expressions are rendered of every fourth of the people


@dataclass(frozen=True)
class _TrialEdit:
    """One edit that is rendered for many people.

    Attributes:
        edit: the edit.
        rows: the rig's deltas that it consists of, see `SubspaceRigNet.delta`.
        corrected: ``(M,)`` bool, the measures that should change as on the rendered face model and are corrected.
    """

    edit: Edit
    rows: list[int]
    corrected: Tensor


def correct_with_images(
    engine: Engine, portraits: PortraitSet, edit_model: LinearEditModel, people: int, seed: int = 0
) -> None:
    """Corrects a rig by its edits of training people within 10 degrees of yaw.

    A second process measures pictures while this one renders.

    Args:
        engine: with a `SubspaceRigNet`, which is changed in place.
        portraits: training set.
        edit_model: of step 2; says how measures are corrected.
        people: how many are edited, at most.
        seed: of the choice of people.
    """
    shown, corrective = edit_model.pictures, edit_model.corrective_directions()
    with analyzing_beside(engine.face_model, engine.camera) as (analyzer, pool), counter("pictures of edits") as count:
        codes = portraits.ws(frontal_people(portraits, analyzer.estimator, seed=seed)[:people])
        correct_by_edits_of(engine, analyzer, codes, shown.std, shown.measures, corrective, pool, progress=count)


@torch.no_grad()
def correct_by_edits_of(
    engine: Engine,
    analyzer: FaceAnalyzer,
    codes: Tensor,
    std: Tensor,
    measures: Tensor,
    corrective_directions: Tensor,
    pool: PictureAnalyzer | None = None,
    resolution: int = 512,
    progress: Callable[[int, int], None] | None = None,
) -> None:
    """Renders and measures edits of the given people, and subtracts the errors of the pictures from the rig.

    Args:
        engine: with a `SubspaceRigNet`, which is changed in place.
        analyzer: of rendered face models, and of the pictures unless ``pool`` measures those.
        codes: ``(n, num_ws, w_dim)`` training people; a quarter of them is given expressions.
        std: ``(M,)`` standard deviations of `MEASURES` over portraits.
        measures: ``(K, M)`` regression of the measures on the code, in standard deviations.
        corrective_directions: ``(M, K)`` offsets that change each measure by one standard deviation.
        pool: measures the pictures.
        resolution: of the pictures.
        progress: called with the number of pictures made so far, and of all.
    """
    rig = engine.rig_net
    assert isinstance(rig, SubspaceRigNet)
    turns, expressions = _turns(rig), _expressions(rig, engine.face_model.expression_names)
    source = engine.reconstructor.vector(codes.to(rig.p_std))
    # A few thousand people are too few for 768 components: a person is F's parameters and the measures of the code.
    known = torch.block_diag(measures, torch.eye(source.shape[1]).to(measures))
    person = rig.person(codes.to(rig.p_std), source) @ known
    few = slice(0, max(1, len(codes) // _SHARE))
    per_turn, per_expression = (len(edits) and (1 + len(edits)) for edits in (turns, expressions))
    total = len(codes) * per_turn + len(codes[few]) * per_expression
    means = corrective_directions.new_zeros(len(MEASURES), len(rig.direction))
    slopes = corrective_directions.new_zeros(len(MEASURES), len(rig.direction), len(known))

    def errors_of(edits: Sequence[_TrialEdit], rows: slice, made: int = 0) -> list[Tensor]:
        """Change in pictures beyond the rendered face model's ``(n, M)``, in std, per edit; NaN without a face."""
        measured = measure_edits(
            engine,
            analyzer,
            codes[rows],
            [each.edit for each in edits],
            pool=pool,
            resolution=resolution,
            progress=None if progress is None else lambda done: progress(made + done, total),
        )
        start = measured.before.select() - measured.rendered.select()
        return [
            ((result.picture.select() - result.rendered.select() - start) / std.double()).to(corrective_directions)
            for result in measured.results
        ]

    if turns:
        before = FaceParams.from_vector(source, engine.face_model.sizes, engine.face_model.expression_names)
        both_ways = zip(turns[::2], turns[1::2], strict=True)
        errors = torch.cat(errors_of(turns, slice(None))).split(2 * len(codes))
        for pair, error in zip(both_ways, errors, strict=True):
            rows = pair[0].rows
            delta = torch.cat([rig.delta(each.edit.apply(before).vector(), source)[:, rows] for each in pair])
            detected = torch.isfinite(error).all(1)
            person_twice = person.repeat(2, 1)
            means[:, rows], by_person = regress_errors(delta[detected], person_twice[detected], error[detected], _RIDGE)
            slopes[:, rows] = by_person @ known.T
    if expressions:
        for edit, error in zip(expressions, errors_of(expressions, few, len(codes) * per_turn), strict=True):
            delta = (edit.edit.amount - source[few][:, rig.columns[edit.rows]]).mean(0) / rig.p_std[edit.rows]
            # The smallest change of the expressions' directions that removes the error of all of them together.
            shown = torch.isfinite(error).any(0)
            if not bool(shown.any()):
                _log.warning("%s: no face was found in any of its pictures; it stays uncorrected", edit.edit.name)
            off = torch.where(edit.corrected & shown, error.nanmean(0), 0.0)[:, None] * delta / delta.square().sum()
            means[:, edit.rows] += off
    subtract_errors(rig, EditErrors(means, slopes, corrective_directions), image_ranks(rig))


def _turns(rig: SubspaceRigNet) -> list[_TrialEdit]:
    """Less and more of each angle, one after the other."""
    edits = []
    for kind in (EDIT_KINDS[angle] for angle in ANGLES):
        component, sign = SMALL_TURN[kind.name]
        most = kind.correction or 0.0
        for amount in (-most, most):
            if rig.turns:
                rows = [rig.turns[component], len(rig.columns) + component]
                edit = Edit(f"{kind.name}{amount:+g}", kind, amount, _turned(component, sign * amount))
                edits.append(_TrialEdit(edit, rows, torch.ones(len(MEASURES), dtype=torch.bool)))
    return edits


def _turned(component: int, degrees: float) -> Callable[[FaceParams], FaceParams]:
    def turned(source: FaceParams) -> FaceParams:
        rotation = source.blocks["rotation"].clone()
        rotation[:, component] += math.radians(degrees)
        return source.with_blocks(rotation=rotation)

    return turned


def _expressions(rig: SubspaceRigNet, names: Sequence[str]) -> list[_TrialEdit]:
    place = ParamLayout(rig.config.sizes).within("expression", rig.config.controls)
    edits = []
    for kind in EDIT_KINDS.values():
        if kind.units and kind.correction and "expression" in rig.config.controls and kind.available(names):
            rows = [place[names.index(unit)] for unit in kind.units]
            corrected = torch.tensor([measure in (*kind.kept, "glasses") for measure in MEASURES])
            edits.append(_TrialEdit(make_edit(kind, kind.correction), rows, corrected))
    return edits
