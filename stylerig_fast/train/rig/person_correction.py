"""Step 3: correction of the edits per person, by what F reconstructs of them.

One direction for everybody turns some heads by 12 degrees and some by 25 where 20 are wanted, and more to one side than
to the other. F sees most of that before any picture is made (the error it leaves in edited pictures is half of the one
without this step), and the differences between people are close to linear in the code and in F's parameters. So the rig
changes one coefficient at a time, of many people; the error that F then reconstructs in yaw, pitch and sideways light
is regressed on the person; and the regression, times the offset that corrects it, is subtracted. The dependence on the
person is a product of delta and person, which `SubspaceRigNet` holds at low rank. This is the cycle consistency of the
controls that F judges well, solved by regression instead of gradient descent. Step 5 does the same with the errors
measured in pictures.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from stylerig_fast.face import FaceModel
from stylerig_fast.face.rotation import SMALL_TURN
from stylerig_fast.param_layout import ParamLayout, edited_blocks
from stylerig_fast.params import FaceParams
from stylerig_fast.rignet import SubspaceRigNet
from stylerig_fast.train.rig.closed_form import reconstructor_ranks
from stylerig_fast.train.rig.dataset_statistics import DatasetStatistics

# What F judges well: degrees, degrees, and the sideways band of the light, mean over RGB.
QUANTITIES = ("yaw", "pitch", "light")
_SIDEWAYS = 3  # the spherical harmonic that is x
# How far a coefficient is changed: radians, units of an expression, and standard deviations of the light over people.
_TURN, _UNIT, _LIGHT = math.radians(18.0), 0.7, 2.0
_RIDGE = 400.0  # of the regressions, in people
_CHUNK = 500


@dataclass(frozen=True)
class EditErrors:
    """Errors of a rig's edits in Q quantities, and the offsets that correct them.

    Attributes:
        means: ``(Q, C)`` at the average person, per unit of each of the rig's C deltas (`SubspaceRigNet.request`).
        slopes: ``(Q, C, K + P)`` its change with the person (`SubspaceRigNet.person`).
        corrective_directions: ``(Q, K)`` offsets that change each quantity by one.
    """

    means: Tensor
    slopes: Tensor
    corrective_directions: Tensor


@torch.no_grad()
def correct_with_reconstructor(rig: SubspaceRigNet, stats: DatasetStatistics, people: int, seed: int = 0) -> None:
    """Fills the person-dependent part of a rig that has directions, and corrects these.

    Args:
        rig: of step 2, changed in place.
        stats: of the training set.
        people: whose turns are reconstructed; a quarter of them for each other coefficient.
        seed: of the choice of people and of the sign of their edits.
    """
    rig.product.zero_()
    portraits, source, model = stats.portraits, stats.source, stats.model
    draw = torch.Generator().manual_seed(seed)
    corrective = _corrective_directions(rig)
    names = [name for name in edited_blocks(rig.config.controls) for _ in range(model.sizes[name])]
    means = corrective.new_zeros(len(QUANTITIES), len(rig.direction))
    slopes = corrective.new_zeros(len(QUANTITIES), len(rig.direction), rig.config.components + source.shape[1])
    for row, name in enumerate(names):
        count = min(len(portraits), people if name == "rotation" else max(1, people // 4))
        chosen = torch.randperm(len(portraits), generator=draw)[:count]
        sign = 2.0 * torch.randint(2, (count,), generator=draw) - 1
        change = {
            "rotation": torch.full((count,), _TURN),
            "expression": torch.full((count,), _UNIT),
            "illumination": sign * _LIGHT * max(float(source[:, rig.columns[row]].std()), 1e-3),
        }[name].to(source)
        rows = [row]
        if name == "rotation":
            # Everybody is turned both ways, which also shows the effect of the angle's square.
            rows = [row, len(names) + rig.turns.index(row)]
            chosen, change = chosen.repeat(2), torch.cat([change, -change])
        person, delta, errors = _edit_errors(rig, stats, chosen, row, change)
        means[:, rows], slopes[:, rows] = regress_errors(delta[:, rows], person, errors, _RIDGE)
    subtract_errors(rig, EditErrors(means, slopes, corrective), reconstructor_ranks(rig))


def regress_errors(delta: Tensor, person: Tensor, errors: Tensor, ridge: float) -> tuple[Tensor, Tensor]:
    """The errors per unit of each delta, as a ridge regression on the person.

    Args:
        delta: ``(N, R)`` in the rig's units.
        person: ``(N, D)`` of unit variance.
        errors: ``(N, Q)``.
        ridge: in rows of N.

    Returns:
        Errors at the average person ``(Q, R)``, and their slopes ``(Q, R, D)``.
    """
    size = delta.square().mean(0).sqrt().clamp_min(1e-6)
    known = torch.cat([torch.ones_like(person[:, :1]), person], dim=1)
    design = torch.einsum("nr,nd->nrd", delta / size, known).flatten(1)
    penalty = torch.full_like(design[:1], ridge).view(delta.shape[1], -1)
    penalty[:, 0] = 0  # what is the same for everybody is not shrunk
    solution = torch.linalg.solve(design.T @ design + torch.diag(penalty.flatten()), design.T @ errors)
    solution = solution.T.unflatten(1, (delta.shape[1], -1)) / size[:, None]
    return solution[..., 0], solution[..., 1:]


@torch.no_grad()
def subtract_errors(rig: SubspaceRigNet, errors: EditErrors, ranks: slice) -> None:
    """Corrects the rig's directions by the mean errors, and its person-dependent part by their slopes.

    The slopes are written as a product of delta and person: their singular vectors, of all quantities those that move
    the code the most, as many as there are ranks.

    Args:
        rig: changed in place.
        errors: of its edits.
        ranks: of the person-dependent part, which are overwritten.
    """
    rig.direction.sub_(errors.means.T @ errors.corrective_directions)
    terms = []
    for slopes, corrective in zip(errors.slopes, errors.corrective_directions, strict=True):
        left, size, right = torch.linalg.svd(slopes, full_matrices=False)
        terms.append((size * corrective.norm(), left.T, right, corrective.expand(len(size), -1)))
    size, left, right, corrective = (torch.cat(parts) for parts in zip(*terms, strict=True))
    for value in (rig.delta_factor, rig.code_factor, rig.source_factor):
        value[:, ranks] = 0
    rig.product[ranks] = 0
    largest = size.argsort(descending=True)[: ranks.stop - ranks.start]
    largest = largest[size[largest] > 0]
    written, components = slice(ranks.start, ranks.start + len(largest)), rig.config.components
    root = size[largest].sqrt()[:, None]
    rig.delta_factor[:, written] = (left[largest] * root).T
    rig.code_factor[:, written] = (right[largest, :components] * root).T
    rig.source_factor[:, written] = (right[largest, components:] * root).T
    rig.product[written] = -torch.nn.functional.normalize(corrective[largest], dim=1)


def _corrective_directions(rig: SubspaceRigNet) -> Tensor:
    """Offsets ``(Q, K)`` that change each quantity by one; zeros where the rig does not control it."""
    result = torch.zeros(len(QUANTITIES), rig.config.components, device=rig.direction.device)
    layout, direction = ParamLayout(rig.config.sizes), rig.direction[: len(rig.p_std)] / rig.p_std[:, None]
    if turns := layout.within("rotation", rig.config.controls):
        for row, angle in enumerate(("yaw", "pitch")):
            component, sign = SMALL_TURN[angle]
            result[row] = sign * direction[turns[component]] * math.radians(1)
    if lights := layout.within("illumination", rig.config.controls):
        first = lights[3 * _SIDEWAYS]
        result[2] = direction[first : first + 3].sum(0)
    return result


def _edit_errors(
    rig: SubspaceRigNet, stats: DatasetStatistics, chosen: Tensor, row: int, change: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    """Edits one coefficient of many people and lets F reconstruct the result.

    Args:
        rig: the rig.
        stats: of the training set.
        chosen: ``(N,)`` indices of the people.
        row: of the coefficient among those the rig edits.
        change: ``(N,)`` of the coefficient.

    Returns:
        The people ``(N, K + P)``, the rig's deltas ``(N, C)``, and the errors ``(N, Q)``.
    """
    people, deltas, errors = [], [], []
    for rows, size in zip(chosen.split(_CHUNK), change.split(_CHUNK), strict=True):
        w, source = stats.portraits.ws(rows).to(stats.source.device), stats.source[rows]
        target = source.clone()
        target[:, rig.columns[row]] += size
        edited = _quantities(stats.reconstructor.vector(rig(w, target, source)), stats.model)
        errors.append(edited - _quantities(target, stats.model))
        people.append(rig.person(w, source))
        deltas.append(rig.delta(target, source))
    return torch.cat(people), torch.cat(deltas), torch.cat(errors)


def _quantities(vector: Tensor, model: FaceModel) -> Tensor:
    """`QUANTITIES` ``(B, Q)`` of parameters ``(B, P)``."""
    params = FaceParams.from_vector(vector, model.sizes, model.expression_names)
    sideways = params.blocks["illumination"][:, _SIDEWAYS].mean(-1, keepdim=True)
    return torch.cat([params.pose_degrees()[:, :2], sideways], dim=1)
