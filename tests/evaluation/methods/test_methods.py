"""Baselines on a made-up world: codes of three slots whose first numbers are the measures."""

from __future__ import annotations

import pytest
import torch

from stylerig_fast.data.latent_pca import LatentPCA
from stylerig_fast.evaluation.methods.latent_optimization import LatentOptimization
from stylerig_fast.evaluation.methods.linear_direction import FilterDirection, PatternDirection
from stylerig_fast.evaluation.methods.no_edit import NoEdit
from stylerig_fast.evaluation.methods.steering import Steering
from stylerig_fast.evaluation.methods.style_mixing import StyleMixing
from stylerig_fast.evaluation.methods.training_sample import TrainingSample
from stylerig_fast.measurement.edit_kinds import EDIT_KINDS, core_kinds
from stylerig_fast.measurement.edit_method import EditBatch, ScaledMethod
from stylerig_fast.measurement.edit_suite import make_edit
from stylerig_fast.param_layout import BLOCKS
from stylerig_fast.params import FaceParams
from stylerig_fast.reconstructor import FaceReconstructor, ReconstructorConfig
from tests.measured import measurements

SLOTS, WIDTH, PEOPLE = 4, 16, 600
SIZES = {"identity": 2, "albedo": 2, "expression": 2, "illumination": 27, "rotation": 3, "translation": 3}


class Codes:
    """The one method of a portrait set that the PCA needs."""

    def __init__(self, codes):
        self.codes = codes

    def __len__(self):
        return len(self.codes)

    def ws(self, index=None):
        return self.codes.clone() if index is None else self.codes[index]


class LinearReconstructor:
    """Every parameter is one number of the code; yaw (column 1 of the rotation) is the first of slot 0."""

    def vector(self, w):
        return w.flatten(1)[:, : sum(SIZES.values())]


@pytest.fixture(scope="module")
def sample():
    codes = torch.randn(PEOPLE, SLOTS, WIDTH, generator=torch.Generator().manual_seed(0))
    # Whoever looks right also has a high last number: the pattern takes it along, the filter does not need it.
    codes[:, 3, 15] = 0.8 * codes[:, 0, 0] + 0.6 * codes[:, 3, 15]
    space = LatentPCA.fit(Codes(codes), SLOTS * WIDTH)
    names = tuple(kind.measure for kind in core_kinds())
    measures = codes.flatten(1)[:, : len(names)] * torch.tensor([10.0, 5, 1, 1, 1, 1, 1])
    params = LinearReconstructor().vector(codes)
    return TrainingSample(codes, space.whiten_all(Codes(codes)), space, measures, names, params)


def batch(sample, kind, amount, **changes):
    source = FaceParams.from_vector(sample.params[:5], SIZES, ("jawOpen", "smile"))
    edit = make_edit(EDIT_KINDS[kind], amount)
    return EditBatch(edit, source, edit.apply(source), measurements(5), measurements(5, changes=changes))


def test_directions_move_the_measure_as_asked(sample):
    w = sample.codes[:5]
    edited = batch(sample, "yaw", 10.0, yaw=10.0)
    for editor, follows in ((PatternDirection(sample), 0.8), (FilterDirection(sample), 0.0)):
        moved = editor.edit(w, edited) - w
        # A whole deviation of yaw is one number of the code; the pattern takes the correlated number along.
        assert moved[:, 0, 0].mean() == pytest.approx(1.0, abs=0.25)
        assert moved[:, 3, 15].mean() == pytest.approx(follows, abs=0.3)
        assert torch.allclose(moved, moved[:1].expand_as(moved), atol=1e-6)  # the same for everybody


def test_mixing_takes_the_narrowest_slots_of_someone_who_has_it(sample):
    editor = StyleMixing(sample)
    assert editor.ranges["yaw"] == (0, 1)
    w = sample.codes[:5]
    mixed = editor.edit(w, batch(sample, "yaw", 10.0, yaw=10.0))
    assert torch.equal(mixed[:, 1:], w[:, 1:])
    assert (mixed[:, 0, 0] - w[:, 0, 0] - 1).abs().max() < 0.3
    fixed = StyleMixing(sample, slots=(1, 3)).edit(w, batch(sample, "yaw", 10.0, yaw=10.0))
    assert torch.equal(fixed[:, 0], w[:, 0]) and not torch.equal(fixed[:, 1], w[:, 1])


def test_no_edit_and_half_an_edit(sample):
    w = sample.codes[:5]
    edited = batch(sample, "yaw", 10.0, yaw=10.0)
    assert NoEdit().edit(w, edited) is w
    whole, half = (ScaledMethod(PatternDirection(sample), s).edit(w, edited) - w for s in (1.0, 0.5))
    assert torch.allclose(half, whole / 2, atol=1e-6)


def test_steering_learns_and_ignores_the_person(sample):
    editor = Steering(sample, LinearReconstructor(), SIZES, steps=150)
    w = sample.codes[:5]
    edited = batch(sample, "jaw", 1.0, mouth_opening=1.0)
    seen = LinearReconstructor().vector(editor.edit(w, edited))
    target = edited.target.vector()
    before = LinearReconstructor().vector(w)
    column = SIZES["identity"] + SIZES["albedo"]
    gain = (seen - before)[:, column] / (target - before)[:, column]
    assert gain.mean() > 0.6
    other = editor.edit(w.flip(0), edited) - w.flip(0)
    assert torch.allclose(other, editor.edit(w, edited) - w, atol=1e-5)


def test_optimisation_gets_from_f_what_is_asked(sample):
    config = ReconstructorConfig(
        num_ws=SLOTS, w_dim=WIDTH, sizes=SIZES, expression_names=("jawOpen", "smile"), hidden=8
    )
    assert sum(config.sizes[name] for name in BLOCKS) == sample.params.shape[1]
    editor = LatentOptimization(sample, LinearReconstructor(), steps=120, prior=0.01)
    w = sample.codes[:5]
    edited = batch(sample, "jaw", 1.0, mouth_opening=1.0)
    seen = LinearReconstructor().vector(editor.edit(w, edited))
    assert FaceReconstructor(config).vector(w).shape == seen.shape
    column = SIZES["identity"] + SIZES["albedo"]
    assert (seen - edited.target.vector())[:, column].abs().max() < 0.3
