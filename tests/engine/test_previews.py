"""What small pictures are: box means, or a StyleGAN2's own."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from stylerig_fast import Engine, FaceParams
from stylerig_fast.engine.backends.base import BackendSpec, choose
from stylerig_fast.engine.backends.torch_backend import CompiledBackend
from stylerig_fast.errors import BackendUnavailable
from stylerig_fast.face.model_io import open_face_model
from stylerig_fast.generators.stylegan2 import StyleGAN2
from stylerig_fast.ops import _library
from stylerig_fast.reconstructor import FaceReconstructor, ReconstructorConfig
from stylerig_fast.rignet import RigConfig, RigNet, build

from .conftest import small_parts

needs_kernels = pytest.mark.skipif(
    not _library.has_kernel("styled_epilogue", "cpu"), reason="StyleGAN2 has early previews where it is compiled"
)


def parts_of(generator: StyleGAN2) -> tuple[StyleGAN2, RigNet, FaceReconstructor]:
    model = open_face_model()
    config = ReconstructorConfig(generator.num_ws, model.sizes, model.expression_names, hidden=8)
    return generator, build(RigConfig(generator.num_ws, model.sizes, components=8, rank=2)), FaceReconstructor(config)


def stylegan2(levels: int = 6) -> StyleGAN2:
    torch.manual_seed(0)
    generator = StyleGAN2(channels=(8,) * levels, mapping_layers=1).eval().requires_grad_(False)
    with torch.no_grad():
        for name, value in generator.named_parameters():
            if name.endswith("to_rgb.bias"):
                value.copy_(0.2 * torch.randn(3))
    return generator


def as_bytes(pictures: torch.Tensor) -> torch.Tensor:
    return pictures.add(1).mul(127.5).round().clamp(0, 255).byte().permute(0, 2, 3, 1)


@needs_kernels
def test_early_previews_are_the_pictures_of_a_network_that_ends_there() -> None:
    whole = stylegan2()
    ends_there = StyleGAN2(channels=(8,) * 4, mapping_layers=1).eval().requires_grad_(False)
    known = ends_there.state_dict()
    ends_there.load_state_dict({name: value for name, value in whole.state_dict().items() if name in known})
    early, exact = (Engine(*parts_of(whole), dtype=torch.float32, previews=kind) for kind in ("early", "mean"))
    assert isinstance(early.backend, CompiledBackend)
    w = early.sample(seed=1, n=2)
    wanted = as_bytes(ends_there.synthesis(w[:, : ends_there.num_ws]))
    found = early.render(w, output="torch", resolution=32)
    assert (found.int() - wanted.int()).abs().max() <= 1
    assert (early.edit(w, FaceParams(), resolution=32) == found.numpy()).all()
    for resolution in (128, 64):  # half the width is no preview
        assert (early.render(w, resolution=resolution) == exact.render(w, resolution=resolution)).all()
    assert not (found.numpy() == exact.render(w, resolution=32)).all()
    assert "own small pictures" in str(early.info()["synthesis"])
    assert "own small pictures" not in str(exact.info()["synthesis"])


def test_exported_graphs_have_no_early_previews(tmp_path: Path) -> None:
    pytest.importorskip("onnxruntime")
    generator, rig, _ = parts_of(stylegan2())
    setting = BackendSpec(generator, rig, torch.device("cpu"), graphs=tmp_path, previews="early")
    with pytest.raises(BackendUnavailable, match="the onnxruntime backend: previews='early'"):
        choose("onnxruntime", setting)


def test_who_has_no_early_previews_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(BackendUnavailable, match=r"compiled StyleGAN2 .* this MobileStyleGAN .*previews='mean'"):
        Engine(*small_parts(), previews="early")
    with pytest.raises(ValueError, match="previews is 'late', expected 'mean' or 'early'"):
        Engine(*small_parts(), previews="late")  # type: ignore[arg-type]
    generator, rig, _ = parts_of(stylegan2())
    monkeypatch.setattr(_library, "_library", _library.KernelLibrary(problem="a test took it away", tried=True))
    with pytest.raises(BackendUnavailable, match="this StyleGAN2 has not got here"):
        choose("torch", BackendSpec(generator, rig, torch.device("cpu"), previews="early"))


def test_graphs_that_do_not_run_are_named(tmp_path: Path) -> None:
    for backend in ("auto", "torch"):
        info = Engine(*small_parts(), backend=backend, graphs=tmp_path).info()  # type: ignore[arg-type]
        assert (
            info["graphs"] == f"{tmp_path}: not used; backend='onnxruntime' or 'tensorrt', asked for by name, runs them"
        )
    assert "graphs" not in Engine(*small_parts()).info()
