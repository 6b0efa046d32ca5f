"""Roll turns the picture: the sign, what is left alone, and that the rig is never asked for it."""

from __future__ import annotations

import pytest
import torch

from stylerig_fast import Engine, FaceParams
from stylerig_fast.engine.edit_request import split_roll
from stylerig_fast.engine.roll import PIVOT, turned


def dotted(size: int, x: float, y: float) -> torch.Tensor:
    """A black picture with a white patch around a place in picture widths."""
    picture = torch.zeros(1, size, size, 3, dtype=torch.uint8)
    row, column = round(y * size), round(x * size)
    picture[:, row - 3 : row + 3, column - 3 : column + 3] = 255
    return picture


def centre(picture: torch.Tensor) -> tuple[float, float]:
    """Centre of what is bright, in picture widths."""
    weight = picture[0, :, :, 0].double()
    axis = (torch.arange(len(weight)) + 0.5) / len(weight)
    return float((weight.sum(0) * axis).sum() / weight.sum()), float((weight.sum(1) * axis).sum() / weight.sum())


def test_positive_roll_tips_the_top_to_the_right_about_the_pivot():
    x, y = centre(turned(dotted(128, PIVOT[0], PIVOT[1] - 0.4), [30.0]))
    assert x == pytest.approx(PIVOT[0] + 0.4 * 0.5, abs=0.01)
    assert y == pytest.approx(PIVOT[1] - 0.4 * 0.866, abs=0.01)
    still = centre(turned(dotted(128, *PIVOT), [30.0]))
    assert still == pytest.approx(PIVOT, abs=0.01)


def test_each_picture_has_its_own_angle_and_small_ones_do_nothing():
    pictures = torch.randint(0, 256, (3, 64, 64, 3), dtype=torch.uint8)
    result = turned(pictures, [0.0, 10.0, 0.9])
    assert torch.equal(result[0], pictures[0]) and torch.equal(result[2], pictures[2])
    assert not torch.equal(result[1], pictures[1])
    assert turned(pictures, [0.0, 0.2, 0.0]) is pictures
    with pytest.raises(ValueError, match="2 angles for 3 pictures"):
        turned(pictures, [0.0, 1.0])


def test_there_and_back_is_where_it_was():
    axis = torch.linspace(0, 255, 128)
    ramp = torch.stack([axis[None, :].expand(128, 128), axis[:, None].expand(128, 128)], -1)
    picture = torch.cat([ramp, ramp[..., :1]], -1).round().to(torch.uint8)[None]
    back = turned(turned(picture, [12.0]), [-12.0])
    inside = slice(40, 88)
    assert (back[0, inside, inside].int() - picture[0, inside, inside].int()).abs().max() <= 3


def test_the_rig_gets_the_persons_own_roll(engine: Engine):
    w = engine.sample(seed=3, n=2)
    source = engine.params(w)
    request = source.with_pose(yaw=10.0, roll=torch.tensor([15.0, float(source.pose_degrees()[1, 2])]))
    upright, rolls = split_roll(request, source)
    assert rolls[0] == pytest.approx(15.0 - float(source.pose_degrees()[0, 2]), abs=1e-3) and rolls[1] == 0
    assert torch.allclose(upright.pose_degrees()[:, 2], source.pose_degrees()[:, 2], atol=1e-3)
    assert torch.allclose(upright.pose_degrees()[:, 0], torch.tensor(10.0), atol=1e-3)


@pytest.mark.filterwarnings("ignore::stylerig_fast.engine.reach.ReachWarning")
def test_an_edit_with_roll_is_the_edit_turned(engine: Engine):
    w = engine.sample(seed=3)
    plain = engine.edit(w, FaceParams().with_pose(yaw=5.0), output="torch")
    roll = float(engine.params(w).pose_degrees()[0, 2])
    rolled = engine.edit(w, FaceParams().with_pose(yaw=5.0, roll=roll + 10.0), output="torch")
    assert (rolled.int() - turned(plain, [10.0]).int()).abs().max() <= 1
