from __future__ import annotations

import json
from dataclasses import asdict

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from stylerig_fast.checkpoint import read_checkpoint, save_checkpoint
from stylerig_fast.engine.loading import find_folder
from stylerig_fast.errors import CheckpointError
from stylerig_fast.param_layout import ParamLayout
from stylerig_fast.rignet import SQUARE_LIMIT, BilinearRigNet, RigConfig, RigNet, SubspaceRigNet, build
from tests.format_1 import FORMER, former_state, save_as_format_1

SIZES = {"identity": 5, "albedo": 4, "expression": 3, "illumination": 27, "rotation": 3, "translation": 3}
WIDTH = sum(SIZES.values())


def make(form: str, **options):
    torch.manual_seed(0)
    rig = build(RigConfig(num_ws=2, sizes=SIZES, form=form, w_dim=8, encoder=4, components=6, rank=3, **options))
    with torch.no_grad():
        for parameter in rig.parameters():
            parameter.copy_(0.1 * torch.randn_like(parameter))
        if isinstance(rig, SubspaceRigNet):
            rig.basis.copy_(torch.linalg.qr(torch.randn(16, 6))[0].T)
    return rig


def inputs(batch: int = 3):
    return torch.randn(batch, 2, 8), torch.randn(batch, WIDTH), torch.randn(batch, WIDTH)


def test_columns_are_those_of_the_blocks():
    assert ParamLayout(SIZES).columns(("pose",)).tolist() == [39, 40, 41]
    assert ParamLayout(SIZES).columns(("expression",)).tolist() == [9, 10, 11]


def test_subspace_asks_for_nothing_changes_nothing():
    rig, (w, _, source) = make("subspace"), inputs()
    assert torch.equal(rig(w, source, source), w)


def test_subspace_offset_stays_in_the_subspace():
    rig, (w, p, source) = make("subspace"), inputs()
    d = (rig(w, p, source) - w).flatten(1)
    torch.testing.assert_close(d @ rig.basis.T @ rig.basis, d, atol=1e-5, rtol=1e-4)


def test_subspace_edit_depends_on_the_person_and_linear_does_not():
    w, p, source = inputs(1)
    v = torch.randn(1, 2, 8)
    for form, personal in (("subspace", True), ("linear", False)):
        rig = make(form)
        change = (rig(w, p, source) - w) - (rig(w, source, source) - w)
        other = (rig(v, p, source) - v) - (rig(v, source, source) - v)
        assert bool(torch.allclose(change, other, atol=1e-6)) != personal


@pytest.mark.parametrize("form", ["subspace", "bilinear"])
def test_edit_depends_on_what_f_sees(form):
    rig, (w, p, source) = make(form), inputs(1)
    change = p - source
    other = source + torch.randn_like(source)
    assert not torch.allclose(rig(w, source + change, source), rig(w, other + change, other), atol=1e-4)


@torch.no_grad()
def squares_alone():
    rig, (w, _, source) = make("subspace"), inputs()
    rig.product.zero_()
    rig.direction[: len(rig.columns)] = 0
    rig.p_std.fill_(0.5)
    assert [int(rig.columns[row]) for row in rig.turns] == [39, 40, 41]
    assert rig.direction.shape[0] == len(rig.columns) + 3
    source[:, 40] = 0.2

    def turned(angle):
        request = source.clone()
        request[:, 40] = angle
        return (rig(w, request, source) - w).flatten(1)

    return turned, (rig.direction[len(rig.columns) + 1] * rig.std @ rig.basis).expand(3, -1)


@torch.no_grad()
def test_turns_change_the_square_of_an_angle():
    turned, unit = squares_alone()
    for angle in (-0.7, 0.7):
        torch.testing.assert_close(turned(angle), (0.7**2 - 0.2**2) / 0.5**2 * unit, atol=1e-5, rtol=1e-4)
    # A face that is turned as far to the other side is no further from the front.
    assert float(turned(-0.2).abs().max()) < 1e-6
    assert float(turned(0.2).abs().max()) == 0


@torch.no_grad()
def test_squares_have_an_end():
    turned, unit = squares_alone()
    torch.testing.assert_close(turned(3.0), SQUARE_LIMIT * unit, atol=1e-5, rtol=1e-4)


def test_rigs_without_pose_have_no_turns():
    rig, (w, p, source) = make("subspace", controls=("expression",)), inputs()
    assert len(rig.turns) == 0
    assert rig.direction.shape[0] == 3
    assert not torch.equal(rig(w, p, source), w)


def test_bilinear_is_subspace_multiplied_out():
    rig, (w, p, source) = make("subspace"), inputs()
    rig.gain.uniform_(0.5, 2)
    rig.std.uniform_(1, 3)
    rig.p_std.uniform_(0.5, 2)
    rig.w_mean.normal_()
    rig.source_mean.normal_()
    rig.source_std.uniform_(0.5, 2)
    compact = rig.compact()
    assert compact.config.form == "bilinear"
    torch.testing.assert_close(compact(w, p, source), rig(w, p, source), atol=1e-5, rtol=1e-4)
    assert torch.equal(compact(w, source, source), w)


@pytest.mark.parametrize("form", ["linear", "subspace", "bilinear"])
def test_only_control_columns_matter_to_the_edit(form):
    rig, (w, p, source) = make(form, controls=("pose",)), inputs()
    request = source.clone()
    request[:, rig.columns] = p[:, rig.columns]
    assert not torch.allclose(rig(w, request, source), rig(w, source, source))


@pytest.mark.parametrize("form", ["linear", "subspace", "bilinear"])
def test_gain_scales_the_request(form):
    rig, (w, p, source) = make(form), inputs()
    request = source.clone()
    request[:, rig.columns] = p[:, rig.columns]
    halved = source + 0.5 * (request - source)
    expected = rig(w, halved, source)
    rig.gain.fill_(0.5)
    torch.testing.assert_close(rig(w, request, source), expected)


def test_wrong_shapes_are_named():
    rig, (w, p, source) = make("subspace"), inputs()
    with pytest.raises(ValueError, match=r"w has shape \(3, 3, 8\)"):
        rig(torch.randn(3, 3, 8), p, source)
    with pytest.raises(ValueError, match=r"params has shape \(2, "):
        rig(w, p[:2], source)
    with pytest.raises(ValueError, match="unknown form"):
        build(RigConfig(num_ws=2, sizes=SIZES, form="cubic"))
    with pytest.raises(ValueError, match="unknown controls"):
        build(RigConfig(num_ws=2, sizes=SIZES, controls=("hair",)))


class _NothingFromTheHost(TorchDispatchMode):
    """Refuses what a CUDA graph cannot capture: a tensor that neither was there before nor came from an operation.

    An index of Python numbers is one: torch makes a tensor of it on the host and copies that to the device.
    """

    def __init__(self, *given):
        super().__init__()
        self.known = list(given)

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        for value in tree_leaves((args, kwargs)):
            if isinstance(value, torch.Tensor) and not any(value is one for one in self.known):
                raise AssertionError(f"{func} reads {value}, which comes from the host: on a GPU that waits")
        out = func(*args, **(kwargs or {}))
        self.known += [value for value in tree_leaves(out) if isinstance(value, torch.Tensor)]
        return out


@pytest.mark.parametrize("controls", [("pose", "expression", "illumination"), ("expression",)])
@pytest.mark.parametrize("form", ["linear", "subspace", "bilinear"])
def test_an_edit_can_be_captured_in_a_cuda_graph(form, controls):
    rig = make(form, controls=controls).to("meta")
    given = [value.to("meta") for value in inputs()]
    with torch.no_grad(), _NothingFromTheHost(*given, *rig.parameters(), *rig.buffers()):
        assert rig(*given).device.type == "meta"


@pytest.mark.parametrize("form", ["linear", "subspace", "bilinear"])
def test_a_rig_of_format_1_is_read_and_written_under_todays_names(form, tmp_path):
    rig = make(form)
    save_as_format_1(tmp_path / "former", rig)
    read = RigNet.from_pretrained(tmp_path / "former")
    assert read.state_dict().keys() == rig.state_dict().keys()
    assert all(torch.equal(value, read.state_dict()[name]) for name, value in rig.state_dict().items())
    read.save_pretrained(tmp_path / "current")
    _, tensors = read_checkpoint(tmp_path / "current", "rig")
    assert tensors.keys() == rig.state_dict().keys() and not set(FORMER.values()) & tensors.keys()
    assert json.loads((tmp_path / "current" / "config.json").read_text())["format"] == 2


def test_former_names_in_todays_format_and_unknown_ones_are_refused(tmp_path):
    rig = make("subspace")
    save_checkpoint(tmp_path / "mixed", "rig", asdict(rig.config), former_state(rig))
    with pytest.raises(CheckpointError, match="do not fit the config: delta_factor, deviation"):
        RigNet.from_pretrained(tmp_path / "mixed")
    save_as_format_1(tmp_path / "more", rig, {"unknown": torch.zeros(1)})
    with pytest.raises(CheckpointError, match="do not fit the config: unknown"):
        RigNet.from_pretrained(tmp_path / "more")
    save_as_format_1(tmp_path / "both", rig, {"source_mean": rig.source_mean.clone()})
    with pytest.raises(CheckpointError, match="format 1 with tensors of format 2: source_mean"):
        RigNet.from_pretrained(tmp_path / "both")


def test_the_shipped_rig_is_of_format_1_and_is_read():
    folder = find_folder("mobilestylegan-ffhq") / "rig"
    assert json.loads((folder / "config.json").read_text())["format"] == 1
    rig = RigNet.from_pretrained(folder)
    assert isinstance(rig, BilinearRigNet) and bool(rig.source_factor.abs().sum() > 0)
