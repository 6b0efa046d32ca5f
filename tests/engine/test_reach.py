"""`Reach.limit` against the same written out, coefficient by coefficient."""

from __future__ import annotations

import warnings

import pytest
import torch

from stylerig_fast import Engine, FaceParams
from stylerig_fast.engine.edit_request import assemble
from stylerig_fast.engine.reach import ANGLES, Reach, ReachWarning

NAMES = ("jawOpen", "mouthSmileLeft", "residual_00")
REACH = Reach({"yaw": (-30.0, 30.0), "pitch": (-15.0, 15.0), "roll": (-3.0, 3.0)}, {"jawOpen": (0.0, 0.5)})


def people(batch: int, seed: int, spread: float) -> FaceParams:
    draw = torch.Generator().manual_seed(seed)
    params = FaceParams(
        identity=torch.zeros(batch, 2),
        albedo=torch.zeros(batch, 2),
        expression=0.8 * torch.randn(batch, len(NAMES), generator=draw),
        illumination=torch.ones(batch, 9, 3),
        rotation=torch.zeros(batch, 3),
        translation=torch.zeros(batch, 3),
        expression_names=NAMES,
    )
    return params.with_pose(**{name: spread * torch.randn(batch, generator=draw) for name in ANGLES})


def written_out(request: FaceParams, source: FaceParams) -> tuple[torch.Tensor, torch.Tensor, set[str]]:
    """Clamped degrees and expression, and the angles that were clamped."""
    degrees, before = request.pose_degrees(), source.pose_degrees()
    expression = request.blocks["expression"].clone()
    named = set()
    for row in range(len(request)):
        for column, name in enumerate(ANGLES):
            low, high = REACH.angles[name]
            value = float(degrees[row, column])
            if abs(value - float(before[row, column])) > 0.5 and not low - 0.01 <= value <= high + 0.01:
                degrees[row, column] = min(max(value, low), high)
                named.add(name)
        for column, high in enumerate((0.5, 1.0)):
            value = float(expression[row, column])
            if abs(value - float(source.blocks["expression"][row, column])) > 1e-3:
                expression[row, column] = min(max(value, 0.0), high)
    return degrees, expression, named


def test_clamped_and_named_as_written_out() -> None:
    request, source = people(40, 0, 20.0), people(40, 1, 20.0)
    degrees, expression, named = written_out(request, source)
    assert named == set(ANGLES)
    with pytest.warns(ReachWarning, match="yaw .* pitch .* roll .* jawOpen .*clamped") as caught:
        clamped = REACH.limit(request, source, clamp=True)
    assert len(caught) == 1
    torch.testing.assert_close(clamped.pose_degrees(), degrees, atol=1e-3, rtol=0)
    assert torch.equal(clamped.blocks["expression"], expression)
    with pytest.warns(ReachWarning, match="may fall short"):
        assert REACH.limit(request, source, clamp=False) is request


def test_what_the_person_has_is_reachable() -> None:
    source = people(5, 2, 60.0)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert REACH.limit(source, source, clamp=True) is source
        copy = source.with_blocks(rotation=source.blocks["rotation"].clone())
        assert REACH.limit(copy, source, clamp=True) is copy


def test_only_a_unit_leaves_the_pose_alone() -> None:
    source = people(3, 3, 10.0)
    with pytest.warns(ReachWarning, match=r"jawOpen 0\.90 \(reachable: 0 to 0\.5\); clamped"):
        clamped = REACH.limit(source.with_expression(jawOpen=0.9), source, clamp=True)
    assert clamped.blocks["rotation"] is source.blocks["rotation"]
    assert torch.equal(clamped.blocks["expression"][:, 0], torch.full((3,), 0.5))


def test_names_of_units_come_from_the_reconstructor() -> None:
    source = people(1, 4, 5.0)
    unnamed = FaceParams(**source.blocks).with_blocks(expression=torch.tensor([[0.9, 0.0, 0.0]]))
    with pytest.warns(ReachWarning, match="jawOpen"):
        REACH.limit(unnamed, source, clamp=False)


def test_infinite_requests_are_refused_before_they_are_clamped() -> None:
    source = people(1, 5, 5.0)
    request = source.with_blocks(expression=torch.tensor([[torch.inf, 0.0, 0.0]]))
    with pytest.raises(ValueError, match="not finite"):
        assemble(torch.zeros(1, 4, 8), source, request, REACH, clamp=True)


def test_the_warning_points_to_the_caller(engine: Engine) -> None:
    with pytest.warns(ReachWarning) as caught:
        engine.edit(engine.sample(seed=1), FaceParams().with_pose(yaw=70.0))
    assert caught[0].filename == __file__
