"""All settings of the three training stages: a dataclass per stage, and for the rig a group per step of the method.

The comment behind each field is its help text on the command line. Groups written without a prefix there (``data`` and
``run``) mean the same in both stages that train a network; the others are named as in ``--cycle.steps``.

Needs none of the optional packages of training, so that ``--help`` works in a plain installation.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar

import tyro

from stylerig_fast.face import FFHQ_FOCAL
from stylerig_fast.rignet import Form

Optimiser = Literal["adamw", "adadelta"]
Preset = Literal["default", "paper"]

# ---- stage "sample" ---------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class SampleConfig:
    """Make a portrait set: random codes, their pictures and landmarks. Started again, it goes on."""

    out: Path  # folder for the shards and sample.json
    count: int = 10_000  # portraits in all; the last shard is the one that training holds out
    shard_size: int = 1_000  # portraits per shard
    size: int = 256  # width and height of the stored pictures in pixels, a power of two
    psi: tuple[float, float] = (0.5, 1.0)  # truncation: drawn uniformly between these for each code
    generator: str = "mobilestylegan-ffhq"  # name of a pretrained generator, or folder of a converted one
    boxes: int = 5  # landmark predictions averaged per face, 1 to 5; 1 is dlib as it comes, and noisier
    batch: int = 4  # pictures made at a time; no effect on the result
    seed: int = 0  # of all codes
    device: str = "cpu"  # of the generator: cpu or cuda
    threads: int = 0  # CPU threads; 0 leaves torch's default
    workers: int = 0  # processes that find landmarks (30 ms per picture), to keep up with a GPU; 0 uses this process


# ---- what both networks' trainings share ------------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True)
class PortraitConfig:
    """The training portraits and the face model."""

    portraits: Annotated[Path, tyro.conf.arg(name="data")]  # folder of portrait shards; the last one is held out
    face_model: Path | None = None  # a face model file; the open face model by default
    size: int = 128  # rendered faces and portraits are compared at this many pixels
    limit: int | None = None  # use only this many portraits


@dataclass(frozen=True, kw_only=True)
class RunConfig:
    """The run: its folder, its randomness, the device."""

    name: str  # the run is written to the folder runs/<name>
    runs: Path = Path("runs")  # folder of all runs
    resume: bool = False  # go on with an interrupted run of the same name
    seed: int = 0  # of every random draw
    device: str = "cpu"  # cpu or cuda
    threads: int = 0  # CPU threads; 0 leaves torch's default
    capture: bool = True  # cuda: replay each optimiser step from one CUDA graph
    log_every: int = 25  # steps between TensorBoard entries
    save_every: int = 100  # steps between states to resume from, and between picture grids


@dataclass(frozen=True)
class RenderWeights:
    """Weights of the paper's render loss. Its landmark weights (17.5 pose, 100 expression, 7.8 illumination) belong to
    sums and pixel units that it does not state, so only their ratios carry over.
    """

    photometric: float = 2.0  # mean squared RGB difference inside the rendered mask
    landmarks: float = 60.0  # mean squared landmark distance, in picture widths
    jaw: float = 0.1  # the 17 jaw-line landmarks, which slide along the silhouette, relative to the inner ones


# ---- stage "reconstructor" --------------------------------------------------------------------------------------


@dataclass(frozen=True)
class PriorWeights:
    """Weights of the statistical regularisation of F's parameters; each multiplies a mean of squares."""

    identity: float = 8e-3  # identity coefficients, in standard deviations (the paper's alpha)
    albedo: float = 1e-3  # albedo coefficients, in standard deviations (the paper's beta)
    expression: float = 5e-2  # expression coefficients (the paper's delta)
    negative_expression: float = 1.5e-1  # how far a named expression lies below 0 or above 1
    asymmetric_expression: float = 1e-1  # difference of left and right: it would otherwise absorb yaw
    light_colour: float = 1e-3  # difference of the light between colour channels: skin tone belongs to the albedo
    light_shape: float = 1e-3  # spherical harmonics of the light of bands 1 and 2


@dataclass(frozen=True)
class ReconstructorTraining:
    """Train the face reconstruction network F."""

    data: Annotated[PortraitConfig, tyro.conf.OmitArgPrefixes]
    preset: Preset = "default"  # paper: the paper's value for every setting that keeps its default
    steps: int = 3500  # optimiser steps
    batch: int = 32  # portraits per step
    optimiser: Optimiser = "adamw"  # adadelta is the paper's
    lr: float = 5e-4  # peak learning rate; cosine decay to zero for adamw, constant for adadelta
    weight_decay: float = 1e-2  # of adamw
    noise: float = 0.7  # standard deviation of the noise added to the standardised code
    hidden: int = 512  # width of the two hidden layers
    focal: float = FFHQ_FOCAL  # focal length of the camera, in picture widths
    pose: float = 1.0  # weight of the squared distance (radians) to the pose fitted to the landmarks alone
    render: RenderWeights = field(default_factory=RenderWeights)
    priors: PriorWeights = field(default_factory=PriorWeights)
    run: Annotated[RunConfig, tyro.conf.OmitArgPrefixes] = field(
        default_factory=lambda: RunConfig(name="reconstructor", log_every=50, save_every=1000)
    )


# ---- stage "rig", in the order of the method --------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True)
class RigDataConfig(PortraitConfig):
    """The training portraits, what made them, the face model and F."""

    reconstructor: Path  # folder of the trained F
    generator: str = ""  # name of a generator, or folder of a converted one; by default the one the portraits name


@dataclass(frozen=True)
class RigNetworkConfig:
    """The network: its form and size."""

    # which parameters the rig edits
    controls: tuple[Literal["pose", "expression", "illumination"], ...] = ("pose", "expression", "illumination")
    form: Form = "subspace"  # linear is the paper's; subspace edits inside the principal components of W+
    components: int = 768  # subspace: principal components of the whole W+ code
    rank: int = 96  # subspace: rank of the person-dependent part of an edit


@dataclass(frozen=True)
class ClosedFormConfig:
    """Step 2: edit directions with the least side effects, solved in closed form. The first four weights are rewards
    per squared standard deviation over portraits; the others are penalties, each 1 for a random offset of one standard
    deviation of the codes.
    """

    start: Literal["linear", "zero"] = "linear"  # start from the solved edit directions, or from no edit at all
    background_components: int = 32  # principal components of hair, clothes and background that edits preserve
    measures: float = 300.0  # measures of the face (pose, mouth, eyes, brows) change as on the rendered face model
    landmarks: float = 0.3  # so do its 51 inner landmarks, mean square in 0.03 outer-eye distances
    corrective: float = 1.0  # strength of the directions that undo the side effects measured on edited pictures
    light: float = 0.3  # F reconstructs the light wanted, compared as colours of the average face
    length: float = 1.0  # length of the offset
    colours: float = 0.9  # change of skin colours where the edit does not move the skin
    background: float = 0.1  # change of hair, clothes and background
    identity: float = 1.0  # change of the identity and albedo that F reconstructs


@dataclass(frozen=True)
class PersonCorrectionConfig:
    """Step 3: correction of the edits per person, by the errors that F reconstructs."""

    people: int = 8000  # training people whose edits are reconstructed; 0 leaves the same edit for everybody


@dataclass(frozen=True)
class CycleWeights:
    """Weights of the losses of step 4. The paper's joint network weights its rotation, expression and illumination
    losses 1 : 1000 : 0.001; those belong to its unknown units and do not carry over.
    """

    reconstruction: float = 1.0  # L_rec: mean squared difference of standardised codes
    edit: float = 1.0  # L_edit
    consistency: float = 1.0  # L_consist
    surface: float = 300.0  # slider requests: mean squared distance of projected vertices, in picture widths
    shading: float = 1.0  # slider requests: mean squared difference of shaded colours
    side_effects: float = 0.02  # penalty on side effects of what this step adds to the solved edit


@dataclass(frozen=True)
class CycleConfig:
    """Step 4: cycle-consistency training against F, the paper's method."""

    steps: int = 200  # optimiser steps
    pairs: int = 8  # pairs of portraits (w, v) per step; each gives one sample per control and direction
    siamese: bool = True  # also train every pair with w and v exchanged
    requests: int = 64  # slider requests per step: random edits as a user would ask for them; 0 for none
    compare: Literal["pictures", "parameters"] = "pictures"  # pairs: F's parameters are rendered, or compared directly
    optimiser: Optimiser = "adamw"  # adadelta is the paper's; it hardly moves the rig here
    lr: float = 1e-4  # peak learning rate; cosine decay to zero for adamw, constant for adadelta
    weight_decay: float = 0.0  # of adamw
    weights: CycleWeights = field(default_factory=CycleWeights)
    render: RenderWeights = field(default_factory=RenderWeights)


@dataclass(frozen=True)
class ImageCorrectionConfig:
    """Step 5: correction of the edits by the errors measured on edited pictures."""

    people: int = 4000  # training people whose edited pictures are measured, at most; 0 skips the step


@dataclass(frozen=True)
class GainCalibrationConfig:
    """Step 6: scaling of each control until pictures show the change that was asked for."""

    people: int = 40  # training people whose edited pictures are measured, at most; 0 leaves all gains at 1


@dataclass(frozen=True, kw_only=True)
class RigRunConfig(RunConfig):
    """The run: its folder, its randomness, the device."""

    dtype: Literal["float32", "bfloat16"] = (
        "float32"  # of the generator in steps 5 and 6; bfloat16 is faster on some CPUs
    )
    preview_people: int = (
        4  # people in the picture grids; 0 for none: without steps 5 and 6 no generator is needed then
    )


@dataclass(frozen=True)
class RigTraining:
    """Train RigNet against a trained F."""

    data: Annotated[RigDataConfig, tyro.conf.OmitArgPrefixes]
    preset: Preset = "default"  # paper: the paper's value for every setting that keeps its default
    network: RigNetworkConfig = field(default_factory=RigNetworkConfig)
    closed_form: ClosedFormConfig = field(default_factory=ClosedFormConfig)
    person: PersonCorrectionConfig = field(default_factory=PersonCorrectionConfig)
    cycle: CycleConfig = field(default_factory=CycleConfig)
    images: ImageCorrectionConfig = field(default_factory=ImageCorrectionConfig)
    gains: GainCalibrationConfig = field(default_factory=GainCalibrationConfig)
    run: Annotated[RigRunConfig, tyro.conf.OmitArgPrefixes] = field(default_factory=lambda: RigRunConfig(name="rig"))


# ---- presets ----------------------------------------------------------------------------------------------------

# The paper's settings where ours differ; what it does not state stays as it is.
PAPER_RECONSTRUCTOR = {"optimiser": "adadelta", "lr": 0.01, "noise": 0.0, "weight_decay": 0.0, "pose": 0.0}
PAPER_RIG = {
    "network": {"form": "linear"},
    "closed_form": {"start": "zero"},
    "person": {"people": 0},
    "cycle": {"optimiser": "adadelta", "lr": 0.01, "requests": 0, "weights": {"side_effects": 0.0}},
    "images": {"people": 0},
    "gains": {"people": 0},
}

_Config = TypeVar("_Config", ReconstructorTraining, RigTraining)


def with_preset(config: _Config) -> _Config:
    """``config`` with the settings of its preset in all fields that still have their defaults."""
    if config.preset == "default":
        return config
    return _fill(config, PAPER_RIG if isinstance(config, RigTraining) else PAPER_RECONSTRUCTOR)


def _fill(config: Any, values: dict[str, Any]) -> Any:
    changed = {}
    for entry in dataclasses.fields(config):
        value, now = values.get(entry.name), getattr(config, entry.name)
        if isinstance(value, dict):
            changed[entry.name] = _fill(now, value)
        elif entry.name in values and now == entry.default:
            changed[entry.name] = value
    return dataclasses.replace(config, **changed)
