"""The family against the paper's equations in float64 (`stylegan2_reference`), at widths no checkpoint has."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from stylerig_fast.generators import load_generator, save_generator
from stylerig_fast.generators.formats import stylegan2_ada
from stylerig_fast.generators.precision import without_tf32
from stylerig_fast.generators.stylegan2 import CONFIG_E, CONFIG_F, StyleGAN2
from stylerig_fast.untrusted import read_pickle
from tests.generators import stylegan2_reference as reference
from tests.generators.checkpoints import random_network, write_ada

DEVICES = ["cpu", *([pytest.param("cuda", marks=pytest.mark.gpu)] if torch.cuda.is_available() else [])]
CHANNELS = (10, 12, 6, 5)  # 4 to 32 px
W_DIM = 24


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A converted generator, as a folder from which each test loads its own."""
    place = tmp_path_factory.mktemp("stylegan2")
    for clamp in (None, 0.8):
        path = write_ada(
            place / "file.pkl", network(), SynthesisLayer={"conv_clamp": clamp}, ToRGBLayer={"conv_clamp": clamp}
        )
        save_generator(place / str(clamp), stylegan2_ada.convert(read_pickle(path), str(path), "small"))
    return place


def network() -> dict[str, Tensor]:
    return random_network(CHANNELS, W_DIM)


def load(folder: Path, clamp: float | None = None) -> StyleGAN2:
    generator = load_generator(folder / str(clamp))
    assert isinstance(generator, StyleGAN2)
    return generator


def load_double(folder: Path, clamp: float | None = None) -> StyleGAN2:
    generator = load(folder, clamp).double()
    generator.load_state_dict(generator.state_dict())  # the tables of squares are made anew, in float64
    return generator


def codes(n: int = 2, seed: int = 0) -> Tensor:
    return torch.randn(n, 2 * len(CHANNELS), W_DIM, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("clamp", [None, 0.8])
def test_pictures(folder: Path, clamp: float | None) -> None:
    ws = codes()
    expected = reference.synthesis(network(), ws, clamp=clamp)
    found = load(folder, clamp).synthesis(ws)
    assert found.is_contiguous() and found.dtype == torch.float32 and found.shape == (2, 3, 32, 32)
    assert (found - expected).abs().max() < 1e-5 * expected.std()
    # In float64 nothing is left but the rounding of the stored gains to float32.
    found = load_double(folder, clamp).synthesis(ws.double())
    assert (found - expected).abs().max() < 2e-6 * expected.std()
    if clamp:
        assert (expected - reference.synthesis(network(), ws)).abs().max() > 0.1  # it does cut off


@pytest.mark.parametrize("channels", [(7, 9, 5, 6, 3, 4), (3,), (64, 16)])
def test_other_sizes(tmp_path: Path, channels: tuple[int, ...]) -> None:
    net = random_network(channels, w_dim=17, mapping_layers=1)
    path = write_ada(tmp_path / "file.pkl", net)
    generator = stylegan2_ada.convert(read_pickle(path), str(path), "other")
    ws = torch.randn(1, 2 * len(channels), 17)
    expected = reference.synthesis(net, ws)
    assert generator.resolution == expected.shape[-1] == 2 << len(channels)
    assert (generator.synthesis(ws) - expected).abs().max() < 1e-5 * expected.std()


def test_mapping(folder: Path) -> None:
    z = torch.randn(3, W_DIM)
    torch.testing.assert_close(load(folder).mapping(z).double(), reference.mapping(network(), z), atol=1e-5, rtol=0)
    z = torch.randn(2, W_DIM, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(load_double(folder).mapping, (z,))


@pytest.mark.parametrize(("dtype", "bound"), [(torch.bfloat16, 0.03), (torch.float16, 0.004)])
@pytest.mark.parametrize("clamp", [None, 0.8])
def test_lower_precision(folder: Path, dtype: torch.dtype, bound: float, clamp: float | None) -> None:
    ws = codes(4)
    expected = reference.synthesis(network(), ws, clamp=clamp)
    found = load(folder, clamp).set_precision(dtype).synthesis(ws)
    assert found.dtype == torch.float32
    assert (found - expected).square().mean().sqrt() < bound * expected.std()


def test_float16_stays_finite(folder: Path) -> None:
    """Weights 3000 times and styles 20,000 times as large: demodulation takes both out, if nothing overflows before."""
    generator = load(folder)
    state = generator.state_dict()
    for name, value in state.items():
        if ".convs." in name and ".conv." in name:
            value.mul_(3000 if name.endswith("conv.weight") else 20000)
    expected = load(folder).synthesis(codes())
    generator.load_state_dict(state)
    torch.testing.assert_close(generator.synthesis(codes()), expected, atol=1e-3, rtol=0)  # but for the ε
    generator.set_precision(torch.float16)
    found = generator.synthesis(codes())
    assert (found - expected).square().mean().sqrt() < 0.004 * expected.std()
    # What would have happened without the pre-normalisation.
    for layer in generator.layers():
        layer.conv.scale = None
    assert not torch.isfinite(generator.synthesis(codes())).all()


def test_rounded_gradients(folder: Path) -> None:
    """Gradients in bfloat16 and float16 point where those in float32 do."""
    probe = torch.randn(2, 3, 32, 32)

    def gradient(generator: StyleGAN2) -> Tensor:
        ws = codes().requires_grad_(True)
        return torch.autograd.grad((generator.synthesis(ws) * probe).sum(), ws)[0]

    expected = gradient(load(folder))
    for dtype in (torch.bfloat16, torch.float16):
        generator = load(folder)
        generator.set_precision(dtype)
        assert F.cosine_similarity(gradient(generator).flatten(), expected.flatten(), dim=0) > 0.99


@pytest.mark.parametrize("device", DEVICES)
def test_batch_does_not_matter(folder: Path, device: str) -> None:
    generator = load(folder).to(device)
    ws, noise = codes(5).to(device), generator.draw_noise(5, seed=1)
    for maps in (None, noise):
        together = generator.synthesis(ws, noise=maps)
        each = [None if maps is None else [map_[i : i + 1] for map_ in maps] for i in range(5)]
        alone = torch.cat([generator.synthesis(ws[i : i + 1], noise=each[i]) for i in range(5)])
        torch.testing.assert_close(together, alone, atol=1e-4, rtol=1e-5)
        # The path for batches on accelerators, all samples at once, on this device too.
        with without_tf32():
            torch.testing.assert_close(generator._synthesis(ws, 32, maps), alone, atol=1e-4, rtol=1e-5)
    torch.testing.assert_close(generator.synthesis(ws.repeat_interleave(2, 0)[::2]), generator.synthesis(ws))
    assert generator.synthesis(ws[:0]).shape == (0, 3, 32, 32)


def test_noise(folder: Path) -> None:
    generator, net, ws = load(folder), network(), codes()
    assert generator.noise_sizes == (4, 8, 8, 16, 16, 32, 32)
    noise = generator.draw_noise(2, seed=3)
    expected = reference.synthesis(net, ws, noise)
    found = generator.synthesis(ws, noise=noise)
    assert (found - expected).abs().max() < 1e-5 * expected.std()
    assert (found - generator.synthesis(ws)).abs().max() > 0.1 * expected.std()
    constant = [layer.noise.expand(2, 1, -1, -1) for layer in generator.layers()]
    torch.testing.assert_close(generator.synthesis(ws, noise=constant), generator.synthesis(ws), atol=1e-5, rtol=0)
    with pytest.raises(ValueError, match="noise has shapes"):
        generator.synthesis(ws, noise=noise[:-1])


@pytest.mark.parametrize("resolution", [32, 8])
@pytest.mark.parametrize("clamp", [None, 0.8])
def test_gradients(folder: Path, resolution: int, clamp: float | None) -> None:
    generator = load_double(folder, clamp)
    ws = codes().double().requires_grad_(True)
    probe = torch.randn(2, 3, resolution, resolution, dtype=torch.float64)

    def loss(ws: Tensor) -> Tensor:
        return (generator.synthesis(ws, resolution) * probe).sum()

    (gradient,) = torch.autograd.grad(loss(ws), ws)
    assert (gradient.abs().amax((0, 2)) > 0).all()  # every slot reaches the picture
    step = 1e-6 * torch.randn_like(ws)
    with torch.no_grad():
        expected = (loss(ws + step) - loss(ws - step)) / 2
    torch.testing.assert_close((gradient * step).sum(), expected, rtol=1e-5, atol=1e-12)


def test_gradcheck() -> None:
    torch.manual_seed(0)
    generator = StyleGAN2(channels=(3, 2), w_dim=4, mapping_layers=1).double().requires_grad_(False)
    ws = torch.randn(1, 4, 4, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(generator.synthesis, (ws,))


def test_smaller_pictures_are_box_means(folder: Path) -> None:
    generator = load(folder)
    whole = generator.synthesis(codes())
    for resolution in (16, 4):
        expected = F.avg_pool2d(whole, 32 // resolution)
        torch.testing.assert_close(generator.synthesis(codes(), resolution), expected, atol=2e-5, rtol=0)


def test_slots_feed_their_layers(folder: Path) -> None:
    generator, ws = load(folder), codes(1)
    inputs: dict[str, Tensor] = {}
    for name, module in generator.blocks.named_modules():
        if name.endswith("affine"):
            module.register_forward_pre_hook(lambda _, args, name=name: inputs.__setitem__(name, args[0]))
    generator.synthesis(ws)
    reached = [sorted(name for name, w in inputs.items() if torch.equal(w, ws[:, slot])) for slot in range(5)]
    assert reached == [
        ["0.convs.0.conv.affine"],
        ["0.to_rgb.conv.affine", "1.convs.0.conv.affine"],
        ["1.convs.1.conv.affine"],
        ["1.to_rgb.conv.affine", "2.convs.0.conv.affine"],
        ["2.convs.1.conv.affine"],
    ]


def test_folder_holds_everything(folder: Path, tmp_path: Path) -> None:
    generator = load(folder, 0.8)
    assert (generator.name, generator.clamp, generator.channels, generator.num_ws) == ("small", 0.8, CHANNELS, 8)
    save_generator(tmp_path / "again", generator)
    again = load_generator(tmp_path / "again")
    assert again.config() == generator.config() and again.fingerprint() == generator.fingerprint()
    assert torch.equal(again.synthesis(codes()), generator.synthesis(codes()))
    assert not any(value.requires_grad for value in again.parameters())
    generator.set_precision(torch.bfloat16)
    with pytest.raises(ValueError, match="rounded"):
        save_generator(tmp_path / "rounded", generator)


def test_published_widths() -> None:
    with torch.device("meta"):
        full, narrow, half = (StyleGAN2(channels=channels) for channels in (CONFIG_F, CONFIG_E, CONFIG_E[:-2]))
    assert (full.num_ws, full.resolution, full.channels) == (18, 1024, CONFIG_F)
    assert (narrow.num_ws, half.num_ws, half.resolution) == (18, 14, 256)
    # What NVlabs' code prints for config F at 1024 px and for its 256 px configuration.
    counts = [sum(p.numel() for p in generator.parameters()) for generator in (full, half)]
    assert counts == [30_370_060, 24_767_458]


def test_sample_truncates(folder: Path) -> None:
    generator = load(folder)
    ws = generator.sample(3, seed=5, psi=0.5)
    assert ws.shape == (3, 8, W_DIM) and torch.equal(ws, ws[:, :1].expand_as(ws))
    mean = generator.w_mean.expand_as(ws)
    assert mean.abs().max() > 0
    torch.testing.assert_close(2 * (ws - mean), generator.sample(3, seed=5, psi=1) - mean, atol=1e-6, rtol=1e-5)
    mixed = generator.sample(3, seed=5, psi=0.5, cutoff=4)
    assert torch.equal(mixed[:, :4], ws[:, :4]) and not torch.equal(mixed[:, 4:], ws[:, 4:])


def test_wrong_shapes_are_named(folder: Path) -> None:
    generator = load(folder)
    with pytest.raises(ValueError, match=r"\(1, 7, 24\), expected torch.float32 \(B, 8, 24\)"):
        generator.synthesis(torch.zeros(1, 7, 24))
    with pytest.raises(ValueError, match="resolution is 64"):
        generator.synthesis(torch.zeros(1, 8, 24), 64)
    with pytest.raises(ValueError, match="z is"):
        generator.mapping(torch.zeros(24))
