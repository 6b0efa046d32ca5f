"""Run on the pretended device by test_pretended_cuda.py: the Engine, every backend and family of generators."""

from __future__ import annotations

import copy
from collections import Counter
from typing import Any

import pytest
import torch

from stylerig_fast import Engine, FaceParams
from stylerig_fast.engine.backends.cuda_graph import CudaGraphBackend
from stylerig_fast.engine.reach import Reach
from stylerig_fast.errors import BackendUnavailable
from tests.export.small import MAKERS, small_generator, small_reconstructor, small_rig

from .waits import counted

REACH = Reach({"yaw": (-30.0, 30.0), "pitch": (-15.0, 15.0), "roll": (-3.0, 3.0)}, {"jawOpen": (0.0, 0.5)})
TURNED = FaceParams().with_pose(yaw=12.0, pitch=-5.0).with_expression(jawOpen=0.3).with_light(direction=(1, 0, 1))

# All that waits: pictures for NumPy, read when they are there, and what F sees of a person for the first time, of which
# the CPU makes the request.
PICTURE = (
    "stylerig_fast/engine/transfers.py: torch.cuda.current_stream(pictures.device).synchronize() (stream.synchronize)"
)
PERSON = (
    "stylerig_fast/engine/params_cache.py: source = FaceParams.from_vector(self.reconstructor.vector(w).cpu(), "
    "config.sizes, config.expression_names) (device to host)"
)
# Parameters that the Engine gave lie on the device.
PARAMS = (
    'stylerig_fast/engine/edit_request.py: return FaceParams.from_vector(request.vector().to("cpu", dtype), sizes, '
    "request.expression_names) (device to host)"
)


def engine_of(family: str, **options: Any) -> Engine:
    generator = small_generator(family)
    parts = generator, small_rig(generator.num_ws, "bilinear"), small_reconstructor(generator.num_ws)
    return Engine(*parts, reach=REACH, device="cuda", **options)


@pytest.fixture(scope="module")
def engine() -> Engine:
    return engine_of("stylegan2")


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16])
@pytest.mark.parametrize("family", MAKERS)
def test_a_captured_edit_is_the_uncaptured_one(family: str, dtype: torch.dtype) -> None:
    captured, plain = (engine_of(family, dtype=dtype, backend=name) for name in ("cuda_graph", "torch"))
    w = captured.sample(seed=1)
    assert isinstance(captured.backend, CudaGraphBackend)
    for asked in (FaceParams(), TURNED):
        inputs = captured._rig_inputs(w, asked, False)[:3]
        found = captured.backend.edit(*inputs, resolution=captured.resolution)
        assert found.float().std() > 1
        assert torch.equal(found, captured.backend._draw(captured.rig_net(*inputs), captured.resolution))
        assert torch.equal(found, plain.backend.edit(*inputs, resolution=plain.resolution))


def test_auto_takes_the_graph_and_says_why_not_others(engine: Engine) -> None:
    info = engine.info()
    assert (info["backend"], info["device"]) == ("cuda_graph", "cuda:0")
    for name in ("onnxruntime", "tensorrt"):
        with pytest.raises(BackendUnavailable, match=f"(?i){name}"):
            engine_of("stylegan2", backend=name)


@pytest.mark.parametrize("backend", ["cuda_graph", "torch"])
def test_what_waits_between_a_request_and_its_picture(backend: str) -> None:
    engine = engine_of("stylegan2", backend=backend)
    people = [engine.sample(seed=seed) for seed in range(4)]
    v = engine.sample(seed=9)
    from_cpu, source = people[2].cpu(), engine.params(people[1])
    # Captures, and makes the page-locked buffers.
    engine.mix(people[0], v, range(4))
    for resolution in (None, engine.resolution // 2):
        engine.edit(people[0], TURNED, resolution=resolution)
    found: dict[str, Counter[str]] = {}
    for name, act in {
        "the same person": lambda: engine.edit(people[0], TURNED.with_pose(yaw=5.0)),
        "a preview": lambda: engine.edit(people[0], TURNED.with_pose(yaw=6.0), resolution=engine.resolution // 2),
        "another person": lambda: engine.edit(people[1], TURNED),
        "as a tensor": lambda: engine.edit(people[1], TURNED.with_pose(yaw=7.0), output="torch"),
        "beyond reach": lambda: engine.edit(people[1], TURNED.with_pose(yaw=29.0), output="torch", clamp=True),
        "from the CPU": lambda: engine.edit(from_cpu, TURNED, output="torch"),
        "of its own parameters": lambda: engine.edit(people[1], source.with_pose(yaw=3.0)),
        "transferred": lambda: engine.transfer(people[1], v),
        "a picture": lambda: engine.render(people[1]),
        "a random person": lambda: engine.sample(seed=11),
        "generated": lambda: engine.generate(seed=12, pose={"yaw": 4.0}),
        "mixed": lambda: engine.mix(people[1], v, range(4)),
    }.items():
        with counted() as waits:
            act()
        found[name] = waits
    assert found == {
        "the same person": {PICTURE: 1},
        "a preview": {PICTURE: 1},
        "another person": {PERSON: 1, PICTURE: 1},
        "as a tensor": {},
        "beyond reach": {},
        "from the CPU": {PERSON: 1},
        "of its own parameters": {PARAMS: 1, PERSON: 1, PICTURE: 1},
        "transferred": {PARAMS: 1, PICTURE: 1},
        "a picture": {PICTURE: 1},
        "a random person": {},
        "generated": {PERSON: 1, PICTURE: 1},
        "mixed": {PICTURE: 1},
    }


def test_what_else_an_engine_does(engine: Engine) -> None:
    cpu = Engine(*(copy.deepcopy(part).cpu() for part in (engine.generator, engine.rig_net, engine.reconstructor)))
    w, v = (engine.sample(seed=seed) for seed in (0, 1))
    acts = {
        "transfer": lambda e: e.transfer(w, v, ("pose", "expression")),
        "generate": lambda e: e.generate(n=2, seed=3, pose={"yaw": 10.0}, light={"direction": (1, 0, 1)}),
        "rolled": lambda e: e.edit(w, FaceParams().with_pose(roll=8.0)),
        "two of one": lambda e: e.edit(w, e.params(w).expand(2).with_pose(yaw=[5.0, -5.0])),
        "none": lambda e: e.render(w[:0]),
    }
    for name, act in acts.items():
        found, wanted = act(engine), act(cpu)
        assert found.shape == wanted.shape, name
        assert found.size == 0 or abs(found.astype(int) - wanted.astype(int)).max() <= 1, name
    rendered, expected = (e.render_params(e.params(w), size=32) for e in (engine, cpu))
    torch.testing.assert_close(rendered.image.cpu(), expected.image)
    torch.testing.assert_close(engine.mesh(engine.params(w)).vertices.cpu(), cpu.mesh(cpu.params(w)).vertices)
