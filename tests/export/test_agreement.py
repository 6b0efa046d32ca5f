"""Every backend that runs graphs agrees with fp32 eager torch, on 16 people x 8 edits."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from export.onnx import ExportOptions, ExportParts, export_onnx, graph
from stylerig_fast.engine import Engine
from stylerig_fast.engine.edit_request import as_request
from stylerig_fast.errors import BackendUnavailable, CheckpointError
from stylerig_fast.params import FaceParams
from tests.export.conftest import eager
from tests.export.torch_runner import psnr, run

EDITS = [
    as_request(pose={"yaw": 20.0}),
    as_request(pose={"yaw": -20.0, "pitch": 5.0}),
    as_request(pose={"pitch": -8.0, "yaw": 3.0}),
    as_request(expression={"jawOpen": 0.6}),
    as_request(expression={"mouthSmileLeft": 0.7, "mouthSmileRight": 0.7}),
    as_request(expression={"eyeBlinkLeft": 1.0, "eyeBlinkRight": 1.0}),
    as_request(light={"direction": (1, 0, 1), "strength": 0.6}),
    as_request(pose={"yaw": 10.0}, expression={"browInnerUp": 0.8}, light={"direction": (-1, 1, 1)}),
]


def edited(engine: Engine, w: torch.Tensor, request: FaceParams) -> np.ndarray:
    return engine.edit(w, request)


def on_a_gpu(backend: str, parts: ExportParts, graphs: Path) -> Engine:
    """An Engine on the GPU; a skip where the backend itself says that it cannot run there.

    That a package can be imported tells nothing: there are TensorRT's types without TensorRT, ONNX Runtimes without
    CUDA, and GPUs that TensorRT for RTX does not take.
    """
    try:
        return on(backend, parts, graphs, device="cuda")
    except BackendUnavailable as error:
        pytest.skip(str(error))


def on(
    backend: str, parts: ExportParts, graphs: Path, dtype: torch.dtype = torch.float32, device: str = "cpu"
) -> Engine:
    each = (parts.generator, parts.rig, parts.reconstructor, parts.face_model)
    return Engine(*each, backend=backend, graphs=graphs, dtype=dtype, device=device)  # type: ignore[misc]


def test_onnxruntime_on_the_cpu(parts, graphs, engine):
    other = on("onnxruntime", parts, graphs)
    w = engine.sample(n=16, seed=0)
    worst, moved = 0, 0.0
    for request in EDITS:
        expected = edited(engine, w, request)
        worst = max(worst, int(np.abs(edited(other, w, request).astype(int) - expected).max()))
        moved = max(moved, float(np.abs(expected.astype(int) - engine.render(w)).mean()))
    assert moved > 5  # the edits are visible
    print(f"onnxruntime against eager, fp32: largest error {worst} of 255")
    assert worst <= 1
    rendered = np.abs(other.render(w).astype(int) - engine.render(w))
    assert rendered.max() <= 1


def test_onnxruntime_on_the_cpu_in_float16(parts, engine, tmp_path):
    export_onnx(parts, tmp_path, ExportOptions(torch.float16))
    other = on("onnxruntime", parts, tmp_path, torch.float16)
    w = engine.sample(n=16, seed=0)
    figures = [
        psnr(torch.from_numpy(edited(other, w, request)), torch.from_numpy(edited(engine, w, request)), 255)
        for request in EDITS
    ]
    print(f"onnxruntime against eager, fp16: PSNR {min(figures):.1f} dB")
    assert min(figures) >= 40


def test_bfloat16_by_its_operators(parts, engine):
    """ONNX Runtime has no bfloat16 on the CPU: torch runs the graph's operators."""
    model = graph(parts, "edit", ExportOptions(torch.bfloat16))
    w = engine.sample(n=16, seed=0)
    source = engine.params(w)
    figures = []
    for request in EDITS:
        params = request.completed_by(source)
        images = run(model, w=w, params=params.vector(), source=source.vector())
        figures.append(psnr(images, torch.from_numpy(edited(engine, w, request)), 255))
    print(f"operators in torch against eager, bf16: PSNR {min(figures):.1f} dB")
    assert min(figures) >= 40


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@pytest.mark.parametrize("backend", ["onnxruntime", "tensorrt"])
def test_on_a_gpu(backend, parts, graphs, engine):
    other = on_a_gpu(backend, parts, graphs)
    w = engine.sample(n=16, seed=0)
    for request in EDITS:
        difference = np.abs(edited(other, w.cuda(), request).astype(int) - edited(engine, w, request))
        assert difference.max() <= 2


@pytest.mark.slow
def test_the_real_generator(tmp_path):
    """The shipped rig and MobileStyleGAN-FFHQ at 1024 px, in three precisions."""
    try:
        engine = eager(Engine.from_pretrained(backend="torch"))
    except CheckpointError as error:
        pytest.skip(str(error))
    w = engine.sample(n=2, seed=5)
    source = engine.params(w)
    edits = [EDITS[0], EDITS[3]]
    expected = [edited(engine, w, request) for request in edits]
    for name, dtype in {"fp32": torch.float32, "fp16": torch.float16}.items():
        export_onnx(ExportParts.of(engine), tmp_path / name, ExportOptions(dtype))
        other = Engine.from_pretrained(backend="onnxruntime", graphs=tmp_path / name, dtype=dtype)
        for request, wanted in zip(edits, expected, strict=True):
            found = edited(other, w, request)
            largest = int(np.abs(found.astype(int) - wanted).max())
            figure = psnr(torch.from_numpy(found), torch.from_numpy(wanted), 255)
            print(f"MobileStyleGAN-FFHQ {name}: largest {largest} of 255, PSNR {figure:.1f} dB")
            assert figure >= 40
            assert largest <= 2 or dtype != torch.float32
    model = graph(ExportParts.of(engine), "edit", ExportOptions(torch.bfloat16))
    params = edits[0].completed_by(source)
    images = run(model, w=w[:1], params=params.vector()[:1], source=source.vector()[:1])
    figure = psnr(images, torch.from_numpy(expected[0][:1]), 255)
    print(f"MobileStyleGAN-FFHQ bf16, operators in torch: PSNR {figure:.1f} dB")
    assert figure >= 40
