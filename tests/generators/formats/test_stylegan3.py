from __future__ import annotations

import copy
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from stylerig_fast.errors import CheckpointError
from stylerig_fast.generators.formats import stylegan3
from stylerig_fast.generators.stylegan3 import StyleGAN3
from stylerig_fast.untrusted import Record, read_pickle
from tests.generators import stylegan3_nvlabs as nvlabs

SMALL = {"img_resolution": 32, "num_layers": 4, "channel_base": 200, "channel_max": 12}


def convert(record: Record) -> StyleGAN3:
    generator = stylegan3.convert({"G_ema": record}, "some.pkl", "small")
    assert isinstance(generator, StyleGAN3)
    return generator


@pytest.mark.parametrize("variant", ["t", "r"])
def test_golden_parity(shared: Path, variant: str) -> None:
    path = shared / "goldens" / f"stylegan3_{variant}_64.pkl"
    tree = read_pickle(path)
    assert stylegan3.matches(tree)
    with np.load(path.with_suffix(".npz")) as file:
        golden = {key: torch.from_numpy(file[key]) for key in file.files}
    generator = stylegan3.convert(tree, path.name, "golden")
    assert generator.name == "golden"
    assert not generator.training
    assert not any(value.requires_grad for value in generator.parameters())

    image, ws = golden["image"], golden["ws"]
    # The issue asks for 1e-3; sums of float32 in another order give 5e-6.
    error = float((generator.synthesis(ws) - image).abs().max() / image.std())
    mapped = generator.truncate(generator.mapping(golden["z"]), float(golden["psi"]))
    mapped_error = float((mapped - golden["w_mapped"]).abs().max() / golden["w_mapped"].std())
    assert error < 5e-5
    assert mapped_error < 5e-5
    print(f"{variant}: image {error:.1e}, w {mapped_error:.1e} of their standard deviations")
    for dtype, bound, least in ((torch.bfloat16, 0.15, 50), (torch.float16, 0.02, 70)):
        generator = stylegan3.convert(tree, path.name, "golden").set_precision(dtype)
        difference = generator.synthesis(ws) - image
        psnr = 20 * torch.log10((image.max() - image.min()) / difference.square().mean().sqrt())
        print(f"{variant} {dtype}: {difference.abs().max() / image.std():.4f}, {psnr:.1f} dB")
        assert difference.abs().max() < bound * image.std()
        assert psnr > least


def test_golden_r_is_radial(shared: Path) -> None:
    tree = read_pickle(shared / "goldens" / "stylegan3_r_64.pkl")
    generator = stylegan3.convert(tree, "r.pkl", "r")
    assert isinstance(generator, StyleGAN3)
    assert generator.architecture.use_radial_filters
    assert generator.architecture.conv_kernel == 1
    assert generator.num_ws == 8


def test_stylegan2_is_not_taken_for_it(shared: Path) -> None:
    assert not stylegan3.matches(read_pickle(shared / "goldens" / "stylegan2_ada_64.pkl"))


@pytest.mark.parametrize("tree", [None, [], {}, {"G_ema": None}, {"G_ema": {}}, 3, "G_ema", np.zeros(3)])
def test_anything_else_does_not_match(tree: Any) -> None:
    assert not stylegan3.matches(tree)
    assert not stylegan3.matches({"G_ema": Record(nvlabs.KIND, "Generator", {"_modules": None})})


def test_arguments_by_position_and_left_out() -> None:
    record = nvlabs.make(**SMALL)
    expected = convert(record)
    fields = copy.deepcopy(record.fields)
    keywords = fields["_init_kwargs"]
    fields["_init_args"] = [
        keywords.pop(name) for name in ("z_dim", "c_dim", "w_dim", "img_resolution", "img_channels")
    ]
    keywords.update(
        magnitude_ema_beta=0.9977, num_fp16_res=0, mapping_kwargs={"lr_multiplier": 0.5, "freeze_layers": 1}
    )
    again = convert(Record(record.kind, record.name, fields))
    assert again.config() == expected.config()
    assert again.fingerprint() == expected.fingerprint()
    assert again.config()["conv_clamp"] == 256
    assert again.config()["mapping_layers"] == 2


def arguments(**changes: Any) -> Callable[[Record], None]:
    return lambda record: record.fields["_init_kwargs"].update(changes)


def layer(record: Record, index: int) -> Record:
    modules = nvlabs.sub(record, "synthesis").fields["_modules"]
    return modules[next(name for name in modules if name.startswith(f"L{index}_"))]


def attribute(index: int, **changes: Any) -> Callable[[Record], None]:
    return lambda record: layer(record, index).fields.update(changes)


def scale_filter(record: Record) -> None:
    layer(record, 1).fields["_buffers"]["down_filter"] *= np.float32(1.0001)


def without_filter(record: Record) -> None:
    layer(record, 2).fields["_buffers"]["up_filter"] = None


def with_filter(record: Record) -> None:
    layer(record, 4).fields["_buffers"]["up_filter"] = np.ones(1, np.float32)


def without_weight(record: Record) -> None:
    del layer(record, 0).fields["_parameters"]["weight"]


def narrow(record: Record) -> None:
    parameters = layer(record, 0).fields["_parameters"]
    parameters["weight"] = parameters["weight"][:-1]


def with_more(record: Record) -> None:
    record.fields["_modules"]["encoder"] = nvlabs.module("Encoder", {"weight": np.zeros(3, np.float32)})


def renamed(record: Record) -> None:
    modules = nvlabs.sub(record, "synthesis").fields["_modules"]
    modules["L0_20_12"] = modules.pop(next(name for name in modules if name.startswith("L0_")))


def zero_magnitude(record: Record) -> None:
    layer(record, 3).fields["_buffers"]["magnitude_ema"] = np.zeros((), np.float32)


def without_gain(record: Record) -> None:
    del nvlabs.sub(layer(record, 1), "affine").fields["weight_gain"]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (arguments(c_dim=10), "takes labels"),
        (arguments(img_channels=1), "RGB"),
        (arguments(z_dim=25), "different lengths"),
        (arguments(teeth=3, claws=4), "does not have: teeth, claws"),
        (arguments(mapping_kwargs={"embed_features": 3}), "mapping_kwargs.embed_features"),
        (arguments(mapping_kwargs=3), "mapping_kwargs is 3"),
        (arguments(img_resolution=48), "make no StyleGAN3: resolution is 48"),
        (arguments(img_resolution="32"), "argument resolution is '32', expected int"),
        (arguments(num_layers=4.5), "num_layers is 4.5, expected int"),
        (arguments(num_layers=None), "num_layers is None, expected int"),
        (arguments(channel_max=10**400), "channel_max is 1000"),
        (arguments(first_cutoff=float("nan")), "first_cutoff is nan"),
        (arguments(use_radial_filters="yes"), "use_radial_filters is 'yes', expected bool"),
        (arguments(channel_max=10**9), r"weight has shape \(12, 12\), expected \(50, 50\)"),
        (arguments(num_layers=5), r"a module synthesis.L\d_\d+_\d+, but synthesis holds input, L0_"),
        (arguments(mapping_kwargs={"num_layers": 3}), "a module mapping.fc2, but mapping holds fc0, fc1"),
        (arguments(mapping_kwargs={"num_layers": 1}), "2 tensors that this architecture does not have: mapping.fc1"),
        (arguments(filter_size=4), "padding is|up_filter has shape|differs"),
        (arguments(conv_clamp=None), "L0_36_12.conv_clamp is 256"),
        (arguments(output_scale=0.5), "synthesis.output_scale is 0.25"),
        (attribute(1, padding=[9, 8, 9, 9]), r"padding is \[9, 8, 9, 9\]"),
        (attribute(2, up_factor=8), "up_factor is 8"),
        (attribute(4, is_torgb=False), "is_torgb is False"),
        (scale_filter, "down_filter differs by 0.0001"),
        (without_filter, "lacks the tensor synthesis.L2_.*up_filter"),
        (with_filter, "1 tensors that this architecture does not have: synthesis.L4_.*up_filter"),
        (without_weight, "lacks the tensor synthesis.L0_.*weight"),
        (narrow, r"weight has shape \(11, 12, 3, 3\)"),
        (with_more, "encoder.weight"),
        (renamed, "a module synthesis.L0_36_12"),
        (zero_magnitude, "magnitude_ema is 0.0"),
        (without_gain, "has no weight_gain"),
    ],
)
def test_refusals(change: Callable[[Record], None], message: str) -> None:
    record = nvlabs.make(**SMALL)
    change(record)
    with pytest.raises(CheckpointError, match=message) as caught:
        convert(record)
    assert str(caught.value).startswith("some.pkl: ")


def test_no_averaged_generator() -> None:
    with pytest.raises(CheckpointError, match="G_ema"):
        stylegan3.convert({"G": nvlabs.make(**SMALL)}, "some.pkl", "small")
