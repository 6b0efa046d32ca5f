"""How an edit depends on the person: F's answers to the rig, regressed on the code and made up for.

One direction for everybody turns some heads by 12 degrees and some by 25 where 20 were asked for. F sees most of that
before any picture is made (what it sees leaves half the error in edited pictures that the request leaves), and how much
a person differs is close to linear in the code. So the rig is asked for one coefficient at a time, of many people; what
F then sees wrong in yaw, pitch and sideways light is regressed on the code; and the regression, times the direction to
mend it, is taken off. What is left is again a product of request and code, which `SubspaceRigNet` holds at low
rank. It is the cycle consistency of the controls that F judges well, solved instead of descended.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from stylerig_fast.data.portraits import PortraitSet
from stylerig_fast.face import FaceModel
from stylerig_fast.params import BLOCKS, CONTROLS, FaceParams
from stylerig_fast.reconstruction import FaceReconstructor
from stylerig_fast.rignet import SubspaceRigNet

TASKS = ("yaw", "pitch", "light")  # degrees, degrees, and the sideways band of gamma, mean over RGB
_SIDEWAYS = 3  # the basis function that is x
# How far a coefficient is moved to see the answer: radians, units, and deviations of gamma over people.
_TURN, _UNIT, _LIGHT = math.radians(18.0), 0.7, 2.0
_RIDGE = 400.0  # of the regressions, in people
_CHUNK = 500


@torch.no_grad()
def answer_personally(
    rig: SubspaceRigNet,
    reconstructor: FaceReconstructor,
    portraits: PortraitSet,
    own: Tensor,
    model: FaceModel,
    people: int,
    rounds: int = 1,
    seed: int = 0,
) -> None:
    """Fills the product of request and code of a rig that has directions, and corrects their means.

    Args:
        rig: with the directions of the linear world; changed in place.
        reconstructor: F.
        portraits: training set.
        own: ``(N, P)`` F of its codes.
        model: the face model.
        people: asked for each turn; a quarter of them for each other coefficient.
        rounds: repetitions, each on what the last one left.
        seed: of the choice of people and of the sign of their requests.
    """
    rig.product.zero_()
    draw = torch.Generator().manual_seed(seed)
    blocks = [name for name in BLOCKS if name in {CONTROLS[control] for control in rig.config.controls}]
    mending = _mending(rig, blocks)
    names = [name for name in blocks for _ in range(model.sizes[name])]
    slopes = torch.zeros(len(TASKS), len(names), rig.config.components, device=own.device)
    for _ in range(rounds):
        means = torch.zeros(len(names), len(TASKS), device=own.device)
        for row, name in enumerate(names):
            count = min(len(portraits), people if name == "rotation" else max(1, people // 4))
            chosen = torch.randperm(len(portraits), generator=draw)[:count]
            sign = 2.0 * torch.randint(2, (count,), generator=draw) - 1
            step = {
                "rotation": sign * _TURN,
                "expression": torch.full((count,), _UNIT),
                "illumination": sign * _LIGHT * max(float(own[:, rig.columns[row]].std()), 1e-3),
            }[name].to(own)
            means[row], slopes_of_row = _regress(*_wrong(rig, reconstructor, portraits, own, chosen, row, step, model))
            slopes[:, row] += slopes_of_row
        rig.direction.sub_(means @ mending)
        _hold(rig, slopes, mending)


def _mending(rig: SubspaceRigNet, blocks: Sequence[str]) -> Tensor:
    """Offsets ``(tasks, K)`` that move each task by one; zeros where the rig does not control it."""
    result = torch.zeros(len(TASKS), rig.config.components, device=rig.direction.device)
    sizes, direction = rig.config.sizes, rig.direction / rig.p_std[:, None]
    start = 0
    for name in blocks:
        if name == "rotation":
            # Axis-angle is nearly (−pitch, yaw, −roll).
            result[0] = direction[start + 1] * math.radians(1)
            result[1] = -direction[start] * math.radians(1)
        if name == "illumination":
            result[2] = direction[start + 3 * _SIDEWAYS : start + 3 * _SIDEWAYS + 3].sum(0)
        start += sizes[name]
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
) -> tuple[Tensor, Tensor]:
    """Whitened codes ``(N, K)``, and what F sees wrong ``(N, tasks)`` per unit of the standardised request."""
    codes, wrong = [], []
    for rows, size in zip(chosen.split(_CHUNK), step.split(_CHUNK), strict=True):
        w, before = portraits.ws(rows).to(own.device), own[rows]
        asked = before.clone()
        asked[:, rig.columns[row]] += size
        after = _tasks(reconstructor.vector(rig(w, asked, before)), model)
        wrong.append((after - _tasks(asked, model)) * (rig.p_std[row] / size)[:, None])
        codes.append(rig.whitened(w))
    return torch.cat(codes), torch.cat(wrong)


def _tasks(vector: Tensor, model: FaceModel) -> Tensor:
    params = FaceParams.from_vector(vector, model.sizes, model.expression_names)
    sideways = params.blocks["illumination"][:, _SIDEWAYS].mean(-1, keepdim=True)
    return torch.cat([params.pose_degrees()[:, :2], sideways], dim=1)


def _regress(codes: Tensor, values: Tensor) -> tuple[Tensor, Tensor]:
    """Mean ``(tasks,)`` at the average code, and slopes ``(tasks, K)``, by ridge regression."""
    mean, centre = values.mean(0), codes.mean(0)
    x = codes - centre
    system = x.T @ x + _RIDGE * torch.eye(x.shape[1], device=x.device)
    slopes = torch.linalg.solve(system, x.T @ (values - mean)).T
    return mean - slopes @ centre, slopes


def _hold(rig: SubspaceRigNet, slopes: Tensor, mending: Tensor) -> None:
    """Writes ``- q @ slopes[k] @ y * mending[k]``, summed over the tasks k, into the rig's product."""
    share = rig.config.rank // len(TASKS)
    rig.product.zero_()
    for task in range(len(TASKS)):
        left, size, right = torch.linalg.svd(slopes[task], full_matrices=False)
        kept = slice(task * share, task * share + min(share, len(size)))
        width = kept.stop - kept.start
        root = size[:width].sqrt()
        rig.request_factor[:, kept] = left[:, :width] * root
        rig.code_factor[:, kept] = right[:width].T * root
        rig.product[kept] = -mending[task]
