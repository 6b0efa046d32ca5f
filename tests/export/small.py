"""Untrained generators of every family, with noise, biases and styles that a trained one would have."""

from __future__ import annotations

from collections.abc import Callable

import torch

from stylerig_fast.face.model_io import open_face_model
from stylerig_fast.generators import Generator
from stylerig_fast.generators.mobilestylegan import MobileStyleGAN
from stylerig_fast.generators.stylegan1 import StyleGAN1
from stylerig_fast.generators.stylegan2 import StyleGAN2
from stylerig_fast.generators.stylegan3 import StyleGAN3
from stylerig_fast.reconstructor import FaceReconstructor, ReconstructorConfig
from stylerig_fast.rignet import LinearRigNet, RigConfig, RigNet, SubspaceRigNet, build

MAKERS: dict[str, Callable[[], Generator]] = {
    "mobilestylegan": lambda: MobileStyleGAN(channels=(16, 16, 12, 8), mapping_layers=1),
    "stylegan1": lambda: StyleGAN1(channels=(16, 12, 10, 8, 8), mapping_layers=1),
    "stylegan2": lambda: StyleGAN2(channels=(16, 16, 12, 8, 8), mapping_layers=1),
    "stylegan2-clamp": lambda: StyleGAN2(channels=(16, 16, 12, 8), mapping_layers=1, clamp=2.0),
    "stylegan3-t": lambda: StyleGAN3(
        resolution=64, channel_base=1024, channel_max=24, num_layers=6, num_critical=2, margin_size=4
    ),
    "stylegan3-r": lambda: StyleGAN3(
        resolution=32,
        conv_kernel=1,
        channel_base=1024,
        channel_max=16,
        num_layers=5,
        num_critical=1,
        use_radial_filters=True,
        margin_size=5,
    ),
}


# What the layers that make colours are multiplied by, so that pictures are about as contrasty as photographs.
COLOURS = {
    "mobilestylegan": ("to_image.", 0.2),
    "stylegan1": ("to_rgb.", 1.2),
    "stylegan2": ("to_rgb.", 0.12),
    "stylegan3-t": ("colours.", 0.3),
}


@torch.no_grad()
def small_generator(name: str) -> Generator:
    """One of `MAKERS`."""
    torch.manual_seed(0)
    generator = MAKERS[name]().eval().requires_grad_(False)
    layers, factor = COLOURS.get(name, ("none", 1.0))
    for key, value in [*generator.named_parameters(), *generator.named_buffers()]:
        if "strength" in key or key.endswith("noise") or (key.endswith("bias") and "style" not in key):
            value.normal_(0, 0.3)
        if key.endswith(("affine.bias", "modulation.bias", "up.bias")):
            value.normal_(1, 0.3)
        elif layers in key and "affine" not in key and "modulation" not in key:
            value.mul_(factor)
    return generator


@torch.no_grad()
def small_rig(num_ws: int, form: str = "subspace") -> RigNet:
    """A rig whose edits are as large as a trained one's."""
    torch.manual_seed(1)
    if form == "bilinear":
        compact = small_rig(num_ws)
        assert isinstance(compact, SubspaceRigNet)
        return compact.compact().eval().requires_grad_(False)
    config = RigConfig(num_ws, open_face_model().sizes, form=form, components=24, rank=4)  # type: ignore[arg-type]
    rig = build(config).eval().requires_grad_(False)
    rig.gain.uniform_(0.5, 2)
    if isinstance(rig, SubspaceRigNet):
        rig.basis.copy_(torch.linalg.qr(torch.randn(num_ws * 512, 24))[0].T)
        rig.std.uniform_(1, 20)
        for value in (rig.w_mean, rig.direction, rig.product, rig.source_mean):
            value.normal_(0, 0.3)
        for value in (rig.p_std, rig.source_std):
            value.uniform_(0.5, 2)
    elif isinstance(rig, LinearRigNet):
        for value in (rig.w_mean, rig.p_mean, rig.bias):
            value.normal_(0, 0.3)
        rig.decoder.normal_(0, 0.02)
        for value in (rig.w_std, rig.p_std):
            value.uniform_(0.5, 2)
    return rig


@torch.no_grad()
def small_reconstructor(num_ws: int) -> FaceReconstructor:
    """F with outputs that depend on the code."""
    torch.manual_seed(2)
    model = open_face_model()
    config = ReconstructorConfig(num_ws, model.sizes, model.expression_names, hidden=16)
    reconstructor = FaceReconstructor(config).eval().requires_grad_(False)
    last = reconstructor.layers[-1]
    last.weight.normal_(0, 0.3)  # type: ignore[union-attr, operator]
    last.bias.normal_(0, 0.3)  # type: ignore[union-attr, operator]
    reconstructor.set_statistics(0.2 * torch.randn(num_ws, 512), torch.rand(num_ws, 512) + 0.5)
    return reconstructor
