"""How an edit depends on the person: F's answers to the rig, regressed on the person and made up for.

One direction for everybody turns some heads by 12 degrees and some by 25 where 20 were asked for, and more one way than
the other. F sees most of that before any picture is made (what it sees leaves half the error in edited pictures that
the request leaves), and how much a person differs is close to linear in the code and in F's own parameters of it. So
the rig is asked for one coefficient at a time, of many people; what F then sees wrong in yaw, pitch and sideways light
is regressed on the person; and the regression, times the offset that mends it, is taken off. What is left is a
product of request and person, which `SubspaceRigNet` holds at low rank. It is the cycle consistency of the controls
that F judges well, solved instead of descended. What pictures show wrong is made up for in the same way (`pictured`).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from stylerig_fast.data.portraits import PortraitSet
from stylerig_fast.face import FaceModel
from stylerig_fast.face.rotation import SMALL_TURN
from stylerig_fast.param_layout import ParamLayout, edited_blocks
from stylerig_fast.params import FaceParams
from stylerig_fast.reconstructor import FaceReconstructor
from stylerig_fast.rignet import SubspaceRigNet
from stylerig_fast.train.initialise import f_columns

TASKS = ("yaw", "pitch", "light")  # degrees, degrees, and the sideways band of gamma, mean over RGB
_SIDEWAYS = 3  # the basis function that is x
# How far a coefficient is moved to see the answer: radians, units, and deviations of gamma over people.
_TURN, _UNIT, _LIGHT = math.radians(18.0), 0.7, 2.0
_RIDGE = 400.0  # of the regressions, in people
_CHUNK = 500


@dataclass(frozen=True)
class Answers:
    """What edits do wrong, and how that is mended.

    Attributes:
        means: ``(T, C)`` of each of T tasks, per unit of each of the rig's C requests (`SubspaceRigNet.delta`).
        slopes: ``(T, C, K + P)`` how it changes with the person (`SubspaceRigNet.person`).
        mending: ``(T, K)`` offsets that move each task by one.
    """

    means: Tensor
    slopes: Tensor
    mending: Tensor


@torch.no_grad()
def answer_personally(
    rig: SubspaceRigNet,
    reconstructor: FaceReconstructor,
    portraits: PortraitSet,
    own: Tensor,
    model: FaceModel,
    people: int,
    seed: int = 0,
) -> None:
    """Fills the product of request and person of a rig that has directions, and corrects their means.

    Args:
        rig: with the directions of the linear world; changed in place.
        reconstructor: F.
        portraits: training set.
        own: ``(N, P)`` F of its codes.
        model: the face model.
        people: asked for each turn; a quarter of them for each other coefficient.
        seed: of the choice of people and of the sign of their requests.
    """
    rig.product.zero_()
    draw = torch.Generator().manual_seed(seed)
    mending = _mending(rig)
    names = [name for name in edited_blocks(rig.config.controls) for _ in range(model.sizes[name])]
    means = mending.new_zeros(len(TASKS), len(rig.direction))
    slopes = mending.new_zeros(len(TASKS), len(rig.direction), rig.config.components + own.shape[1])
    for row, name in enumerate(names):
        count = min(len(portraits), people if name == "rotation" else max(1, people // 4))
        chosen = torch.randperm(len(portraits), generator=draw)[:count]
        sign = 2.0 * torch.randint(2, (count,), generator=draw) - 1
        step = {
            "rotation": torch.full((count,), _TURN),
            "expression": torch.full((count,), _UNIT),
            "illumination": sign * _LIGHT * max(float(own[:, rig.columns[row]].std()), 1e-3),
        }[name].to(own)
        rows = [row]
        if name == "rotation":
            # Either way of everybody, for what a turn does to an angle's square.
            rows, chosen, step = [row, len(names) + rig.turns.index(row)], chosen.repeat(2), torch.cat([step, -step])
        person, request, wrong = _wrong(rig, reconstructor, portraits, own, chosen, row, step, model)
        means[:, rows], slopes[:, rows] = regress(request[:, rows], person, wrong, _RIDGE)
    take_off(rig, Answers(means, slopes, mending), f_columns(rig))


def regress(request: Tensor, person: Tensor, wrong: Tensor, ridge: float) -> tuple[Tensor, Tensor]:
    """What is wrong per unit of each request, as a ridge regression on the person.

    Args:
        request: ``(N, R)``.
        person: ``(N, D)`` of unit variance.
        wrong: ``(N, T)``.
        ridge: in rows of N.

    Returns:
        At the average person ``(T, R)``, and slopes ``(T, R, D)``.
    """
    size = request.square().mean(0).sqrt().clamp_min(1e-6)
    known = torch.cat([torch.ones_like(person[:, :1]), person], dim=1)
    design = torch.einsum("nr,nd->nrd", request / size, known).flatten(1)
    penalty = torch.full_like(design[:1], ridge).view(request.shape[1], -1)
    penalty[:, 0] = 0  # what is the same for everybody is not shrunk
    found = torch.linalg.solve(design.T @ design + torch.diag(penalty.flatten()), design.T @ wrong)
    found = found.T.unflatten(1, (request.shape[1], -1)) / size[:, None]
    return found[..., 0], found[..., 1:]


@torch.no_grad()
def take_off(rig: SubspaceRigNet, answers: Answers, columns: slice) -> None:
    """Takes what edits do wrong off the rig: its means, and by person.

    The dependence on the person is written as a product of request and person: per task the singular vectors of its
    slopes, of all tasks those that move the code the most, as many as there are columns.

    Args:
        rig: changed in place.
        answers: what is wrong.
        columns: of the rig's rank, which are written anew.
    """
    rig.direction.sub_(answers.means.T @ answers.mending)
    terms = []
    for slopes, mending in zip(answers.slopes, answers.mending, strict=True):
        left, size, right = torch.linalg.svd(slopes, full_matrices=False)
        terms.append((size * mending.norm(), left.T, right, mending.expand(len(size), -1)))
    size, left, right, mending = (torch.cat(parts) for parts in zip(*terms, strict=True))
    for value in (rig.delta_factor, rig.code_factor, rig.source_factor):
        value[:, columns] = 0
    rig.product[columns] = 0
    kept = size.argsort(descending=True)[: columns.stop - columns.start]
    kept = kept[size[kept] > 0]
    written, codes = slice(columns.start, columns.start + len(kept)), rig.config.components
    root = size[kept].sqrt()[:, None]
    rig.delta_factor[:, written] = (left[kept] * root).T
    rig.code_factor[:, written] = (right[kept, :codes] * root).T
    rig.source_factor[:, written] = (right[kept, codes:] * root).T
    rig.product[written] = -torch.nn.functional.normalize(mending[kept], dim=1)


def _mending(rig: SubspaceRigNet) -> Tensor:
    """Offsets ``(tasks, K)`` that move each task by one; zeros where the rig does not control it."""
    result = torch.zeros(len(TASKS), rig.config.components, device=rig.direction.device)
    layout, direction = ParamLayout(rig.config.sizes), rig.direction[: len(rig.p_std)] / rig.p_std[:, None]
    if turns := layout.within("rotation", rig.config.controls):
        for row, angle in enumerate(("yaw", "pitch")):
            component, sign = SMALL_TURN[angle]
            result[row] = sign * direction[turns[component]] * math.radians(1)
    if lights := layout.within("illumination", rig.config.controls):
        first = lights[3 * _SIDEWAYS]
        result[2] = direction[first : first + 3].sum(0)
    return result


def _wrong(
    rig: SubspaceRigNet,
    reconstructor: FaceReconstructor,
    portraits: PortraitSet,
    own: Tensor,
    chosen: Tensor,
    row: int,
    step: Tensor,
    model: FaceModel,
) -> tuple[Tensor, Tensor, Tensor]:
    """People, requests of the rig, and what F sees wrong ``(N, tasks)``, for ``step`` more of one coefficient."""
    people, requests, wrong = [], [], []
    for rows, size in zip(chosen.split(_CHUNK), step.split(_CHUNK), strict=True):
        w, before = portraits.ws(rows).to(own.device), own[rows]
        asked = before.clone()
        asked[:, rig.columns[row]] += size
        after = _tasks(reconstructor.vector(rig(w, asked, before)), model)
        wrong.append(after - _tasks(asked, model))
        people.append(rig.person(w, before))
        requests.append(rig.delta(asked, before))
    return torch.cat(people), torch.cat(requests), torch.cat(wrong)


def _tasks(vector: Tensor, model: FaceModel) -> Tensor:
    params = FaceParams.from_vector(vector, model.sizes, model.expression_names)
    sideways = params.blocks["illumination"][:, _SIDEWAYS].mean(-1, keepdim=True)
    return torch.cat([params.pose_degrees()[:, :2], sideways], dim=1)
