from __future__ import annotations

from pathlib import Path

import pytest
import torch

from stylerig_fast.errors import CheckpointError
from stylerig_fast.generators.formats import rosinality
from stylerig_fast.generators.stylegan2 import StyleGAN2
from stylerig_fast.untrusted import read_pickle
from tests.generators.checkpoints import random_network, rosinality_state, write_rosinality
from tests.generators.formats.golden import check_parity, load_golden, relative_error
from tests.generators.stylegan2_reference import mapping, synthesis


def convert(path: Path) -> StyleGAN2:
    tree = read_pickle(path)
    assert rosinality.matches(tree)
    generator = rosinality.convert(tree, path.name, "name")
    assert isinstance(generator, StyleGAN2)
    assert not generator.training and not any(value.requires_grad for value in generator.parameters())
    return generator


def small() -> dict[str, torch.Tensor]:
    return random_network((6, 5, 4, 7), w_dim=8, mapping_layers=3)


def test_golden(shared: Path) -> None:
    path = shared / "goldens" / "rosinality_stylegan2_64.pt"
    golden = load_golden(shared, "rosinality_stylegan2_64")
    generator = convert(path)
    assert generator.channels == (32, 32, 32, 32, 32)
    check_parity(generator, golden, 1e-5)  # measured: 3.5e-6
    # Measured: 0.071 and 0.014; 0.0067 and 0.0014.
    for dtype, largest, mean in ((torch.bfloat16, 0.15, 0.03), (torch.float16, 0.015, 0.003)):
        found = relative_error(convert(path).set_precision(dtype), golden)
        assert found[0] < largest and found[1] < mean


def test_other_widths(tmp_path: Path) -> None:
    net, ws, z = small(), torch.randn(2, 8, 8), torch.randn(2, 8)
    generator = convert(write_rosinality(tmp_path / "file.pt", net))
    assert (generator.channels, generator.w_dim) == ((6, 5, 4, 7), 8)
    assert torch.equal(generator.w_mean, net["mapping.w_avg"])
    expected = synthesis(net, ws)
    assert (generator.synthesis(ws) - expected).abs().max() < 1e-5 * expected.std()
    torch.testing.assert_close(generator.mapping(z).double(), mapping(net, z), atol=1e-5, rtol=0)


def test_filter_of_the_buffers(tmp_path: Path) -> None:
    net, ws = random_network((6, 5), w_dim=8, resample_filter=(1, 2, 4, 4, 2, 1)), torch.randn(1, 4, 8)
    expected = synthesis(net, ws)
    generator = convert(write_rosinality(tmp_path / "file.pt", net))
    assert (generator.synthesis(ws) - expected).abs().max() < 1e-5 * expected.std()


def test_whole_training_state_and_bare_state_dict(tmp_path: Path) -> None:
    net, ws = small(), torch.randn(1, 8, 8)
    expected = convert(write_rosinality(tmp_path / "file.pt", net)).synthesis(ws)
    state = rosinality_state(net)
    torch.save({"g": state, "d": {}, "g_ema": state, "g_optim": {"state": {}}, "args": None}, tmp_path / "training.pt")
    torch.save(state, tmp_path / "bare.pt")
    for name in ("training.pt", "bare.pt"):
        generator = convert(tmp_path / name)
        assert torch.equal(generator.synthesis(ws), expected)
        # Neither has a mean.
        codes = generator.mapping(torch.randn(50000, 8))
        torch.testing.assert_close(generator.w_mean, codes.mean(0), atol=0.05, rtol=0)
    torch.save(state | {"latent_avg": torch.full((8,), 0.25)}, tmp_path / "bare.pt")
    assert torch.equal(convert(tmp_path / "bare.pt").w_mean, torch.full((8,), 0.25))


def test_without_noise_buffers(tmp_path: Path) -> None:
    state = {name: value for name, value in rosinality_state(small()).items() if not name.startswith("noises.")}
    torch.save({"g_ema": state}, tmp_path / "file.pt")
    first, again = convert(tmp_path / "file.pt"), convert(tmp_path / "file.pt")
    ws = torch.randn(1, 8, 8)
    assert torch.equal(first.synthesis(ws), again.synthesis(ws))  # drawn, but the same each time
    maps = [layer.noise.flatten() for layer in first.layers()]
    assert abs(float(torch.cat(maps).std()) - 1) < 0.05 and not torch.equal(maps[1], maps[2])


def test_without_kernels(tmp_path: Path) -> None:
    net, ws = small(), torch.randn(1, 8, 8)
    state = {name: value for name, value in rosinality_state(net).items() if not name.endswith("kernel")}
    torch.save({"g_ema": state}, tmp_path / "file.pt")
    expected = synthesis(net, ws)
    assert (convert(tmp_path / "file.pt").synthesis(ws) - expected).abs().max() < 1e-5 * expected.std()


@pytest.mark.parametrize(
    "name",
    [
        "convs.2.conv.weight",
        "convs.5.noise.weight",
        "to_rgbs.1.bias",
        "noises.noise_3",
        "style.2.bias",
        "conv1.activate.bias",
    ],
)
def test_missing_tensor(tmp_path: Path, name: str) -> None:
    state = rosinality_state(small())
    del state[name]
    torch.save({"g_ema": state}, tmp_path / "file.pt")
    with pytest.raises(CheckpointError, match=f"file.pt: lacks the tensor {name}"):
        convert(tmp_path / "file.pt")


def test_leftover_tensors(tmp_path: Path) -> None:
    state = rosinality_state(small())
    del state["to_rgbs.2.conv.weight"]  # so that the blocks seem to end before it
    torch.save({"g_ema": state | {"extra": torch.zeros(2)}}, tmp_path / "file.pt")
    with pytest.raises(CheckpointError, match=r"\d+ tensors that this architecture does not have.*convs\.4"):
        convert(tmp_path / "file.pt")


def test_tensors_that_do_not_fit(tmp_path: Path) -> None:
    torch.save({"g_ema": rosinality_state(small()), "latent_avg": torch.zeros(9)}, tmp_path / "file.pt")
    with pytest.raises(CheckpointError, match=r"w_mean would have shape \(9,\), expected \(8,\)"):
        convert(tmp_path / "file.pt")
    torch.save({"g_ema": rosinality_state(small()), "latent_avg": "mean"}, tmp_path / "file.pt")
    with pytest.raises(CheckpointError, match="latent_avg is 'mean', expected a tensor"):
        convert(tmp_path / "file.pt")
