from __future__ import annotations

import pytest
import torch

from stylerig_fast.face.lighting import sh_basis
from stylerig_fast.params import FaceParams

SIZES = {"identity": 5, "albedo": 4, "expression": 3, "illumination": 27, "rotation": 3, "translation": 3}
NAMES = ("jawOpen", "mouthSmileLeft", "residual_00")


def people(batch: int = 2, seed: int = 0) -> FaceParams:
    draw = torch.Generator().manual_seed(seed)
    vector = 0.2 * torch.randn(batch, sum(SIZES.values()), generator=draw)
    params = FaceParams.from_vector(vector, SIZES, NAMES)
    gamma = params.blocks["illumination"].clone()
    gamma[:, 0] = 3.0
    return params.with_blocks(illumination=gamma)


def test_vector_round_trip():
    params = people(3)
    again = FaceParams.from_vector(params.vector(), SIZES, NAMES)
    for name, value in params.blocks.items():
        assert torch.equal(value, getattr(again, name)), name


def test_pose_sets_only_what_is_named():
    params = people()
    before, after = params.pose_degrees(), params.with_pose(yaw=20).pose_degrees()
    torch.testing.assert_close(after[:, 0], torch.full((2,), 20.0), atol=1e-4, rtol=0)
    torch.testing.assert_close(after[:, 1:], before[:, 1:], atol=1e-4, rtol=0)


def test_one_face_widens_to_a_batch_of_angles():
    params = people(1).with_pose(yaw=[-10.0, 0.0, 10.0])
    assert len(params) == 3
    torch.testing.assert_close(params.pose_degrees()[:, 0], torch.tensor([-10.0, 0.0, 10.0]), atol=1e-4, rtol=0)


def test_named_expression():
    params = people().with_expression(jawOpen=0.6, mouthSmileLeft=[0.1, 0.2])
    expected = torch.tensor([[0.6, 0.1], [0.6, 0.2]])
    torch.testing.assert_close(params.blocks["expression"][:, :2], expected)


def test_unknown_expression_names_near_ones():
    with pytest.raises(ValueError, match=r"'jawopen'.*jawOpen"):
        people().with_expression(jawopen=1.0)


def test_partial_params_apply_to_the_person():
    partial = (
        FaceParams().with_pose(yaw=15).with_pose(pitch=3).with_expression(jawOpen=0.5).with_light(direction=(1, 0, 1))
    )
    person = people()
    whole = partial.completed_by(person)
    direct = person.with_pose(yaw=15, pitch=3).with_expression(jawOpen=0.5).with_light(direction=(1, 0, 1))
    assert whole.complete
    torch.testing.assert_close(whole.vector(), direct.vector())


def test_partial_block_overrides():
    block = torch.zeros(2, 3)
    whole = FaceParams(rotation=block).completed_by(people())
    assert torch.equal(whole.blocks["rotation"], block)


def test_light_keeps_exposure_and_turns_toward_the_direction():
    params = people()
    lit = params.with_light(direction=(1.0, 0.0, 1.0))
    draw = torch.Generator().manual_seed(0)
    normals = torch.nn.functional.normalize(torch.randn(20000, 3, generator=draw), dim=1)
    facing = normals[:, 2].clamp_min(0)[:, None, None]  # how large a normal is in the picture
    before, after = (
        (facing * (sh_basis(normals) @ p.blocks["illumination"].transpose(0, 1).flatten(1)).view(-1, 2, 3)).mean(0)
        for p in (params.with_blocks(illumination=linear_only(params)), lit.with_blocks(illumination=linear_only(lit)))
    )
    torch.testing.assert_close(after, before, rtol=0.02, atol=0)
    torch.testing.assert_close(lit.blocks["illumination"][:, 4:], params.blocks["illumination"][:, 4:])
    expected = torch.tensor([1.0, 0.0, 1.0]) / 2**0.5
    torch.testing.assert_close(lit.light_direction(), expected.expand(2, 3), atol=1e-5, rtol=0)


def linear_only(params: FaceParams) -> torch.Tensor:
    gamma = params.blocks["illumination"].clone()
    gamma[:, 4:] = 0
    return gamma


def test_transfer_takes_only_the_control():
    a, b = people(seed=0), people(seed=1)
    mixed = a.with_controls_from(b, ("pose",))
    assert torch.equal(mixed.blocks["rotation"], b.blocks["rotation"])
    assert torch.equal(mixed.blocks["expression"], a.blocks["expression"])
    with pytest.raises(ValueError, match="unknown control 'hair'"):
        a.with_controls_from(b, ("hair",))


@pytest.mark.parametrize(
    "call",
    [
        lambda p: p.with_pose(yaw=float("nan")),
        lambda p: p.with_expression(jawOpen=float("inf")),
        lambda p: p.with_light(direction=(0, 0, 0)),
        lambda p: p.with_light(direction=(1, 0, 1), strength=1.5),
        lambda p: p.with_pose(yaw=[1.0, 2.0, 3.0]),
        lambda p: p.with_blocks(hair=torch.zeros(2, 3)),
        lambda p: FaceParams(rotation=torch.zeros(2, 4)),
        lambda p: FaceParams(rotation=torch.zeros(2, 3), translation=torch.zeros(3, 3)),
        lambda p: FaceParams(rotation=torch.zeros(2, 3, dtype=torch.long)),
        lambda p: FaceParams(expression=torch.zeros(2, 4), expression_names=NAMES),
        lambda p: FaceParams.from_vector(torch.zeros(2, 7), SIZES),
        lambda p: FaceParams(rotation=torch.zeros(2, 3)).vector(),
        lambda p: FaceParams(expression=torch.zeros(2, 9)).completed_by(p),
    ],
)
def test_bad_input_is_a_value_error(call):
    with pytest.raises(ValueError, match=r".{20,}"):
        call(people())


def test_index_and_cat():
    params = people(3)
    joined = FaceParams.cat([params[0], params[-1]])
    assert torch.equal(joined.vector(), params.vector()[[0, 2]])
    with pytest.raises(IndexError):
        params[3]


def test_angles_by_name() -> None:
    params = people(2).with_pose(yaw=[12.5, -3.0], pitch=4.0)
    assert params.yaw.tolist() == pytest.approx([12.5, -3.0], abs=1e-4)
    assert params.pitch.tolist() == pytest.approx([4.0, 4.0], abs=1e-4)
    assert torch.equal(params.roll, params.pose_degrees()[:, 2])
    assert people(1).with_pose(yaw=12.5).yaw.tolist() == [12.5]


def at_rest(batch: int) -> FaceParams:
    return people(batch).with_blocks(expression=torch.zeros(batch, 3))


def test_repr_says_what_is_held() -> None:
    one = (
        at_rest(1)
        .with_pose(yaw=12.5, pitch=-3, roll=0.5)
        .with_expression(jawOpen=0.6, residual_00=2.0)
        .with_light((1, 0, 0))
    )
    assert repr(one).splitlines() == [
        "FaceParams(batch=1)",
        "  [0] yaw 12.5°, pitch -3.0°, roll 0.5°; jawOpen 0.60; light from (1.00, 0.00, 0.00)",
    ]
    asked = FaceParams().with_pose(yaw=20).with_expression(jawOpen=0.5)
    assert repr(asked) == (
        "FaceParams(without identity, albedo, expression, illumination, rotation, translation; "
        "pending pose(yaw=20); pending expression(jawOpen=0.5))"
    )
    many = repr(at_rest(6))
    assert "expression at rest" in many and many.endswith("  … 2 more") and len(many.splitlines()) == 6
    assert repr(FaceParams(identity=torch.zeros(3, 2))).startswith("FaceParams(batch=3; without albedo")


def test_parameters_do_not_change_when_they_are_read() -> None:
    params = people(2)
    before = dict(vars(params))
    for read in (params.pose_degrees, params.light_direction, params.__repr__):
        read()
    assert all(vars(params)[name] is value for name, value in before.items()) and vars(params).keys() == before.keys()
