from __future__ import annotations

import dataclasses
import json
import warnings
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import torch

from stylerig_fast import Engine, FaceParams
from stylerig_fast.engine.backends.base import checked_device
from stylerig_fast.engine.loading import find_folder, placed
from stylerig_fast.engine.reach import Reach, ReachWarning
from stylerig_fast.errors import BackendUnavailable, CheckpointError
from stylerig_fast.face.model_io import open_face_model
from stylerig_fast.generators import save_generator
from stylerig_fast.param_layout import CONTROLS
from stylerig_fast.provenance import Provenance
from stylerig_fast.rignet import RigConfig, RigNet, build

from .conftest import small_generator, small_parts


def test_pictures_are_uint8_at_the_surface(engine: Engine) -> None:
    w = engine.sample(seed=7, n=2)
    image = engine.render(w)
    size = engine.resolution
    assert isinstance(image, np.ndarray) and image.dtype == np.uint8 and image.shape == (2, size, size, 3)
    as_torch = engine.render(w, output="torch")
    assert as_torch.dtype == torch.uint8
    assert np.array_equal(as_torch.numpy(), image)
    assert engine.render(w, resolution=32).shape == (2, 32, 32, 3)


def test_asking_for_what_is_there_changes_nothing(engine: Engine) -> None:
    w = engine.sample(seed=1, n=3)
    assert torch.equal(engine.rig(w, engine.params(w)), w)
    assert torch.equal(engine.rig(w, FaceParams()), w)
    assert np.array_equal(engine.edit(w, FaceParams()), engine.render(w))


def test_partial_and_whole_requests_are_the_same(engine: Engine) -> None:
    w = engine.sample(seed=1)
    whole = engine.rig(w, engine.params(w).with_pose(yaw=12).with_expression(jawOpen=0.4))
    partial = engine.rig(w, FaceParams().with_pose(yaw=12).with_expression(jawOpen=0.4))
    torch.testing.assert_close(whole, partial)
    assert not torch.equal(whole, w)


def test_one_person_edited_by_a_batch(engine: Engine) -> None:
    w = engine.sample(seed=1)
    batch = engine.rig(w, FaceParams().with_pose(yaw=[-10.0, 0.0, 10.0]))
    assert batch.shape == (3, *w.shape[1:])
    for row, yaw in enumerate((-10.0, 0.0, 10.0)):
        torch.testing.assert_close(batch[row : row + 1], engine.rig(w, FaceParams().with_pose(yaw=yaw)))


def test_only_controls_reach_the_rig(engine: Engine) -> None:
    w = engine.sample(seed=1)
    params = engine.params(w)
    moved = params.with_blocks(identity=params.blocks["identity"] + 1, translation=params.blocks["translation"] + 1)
    torch.testing.assert_close(engine.rig(w, moved), w)


def test_transfer_takes_the_controls_of_the_source(engine: Engine) -> None:
    w, v = engine.sample(seed=1), engine.sample(seed=2)
    request = engine.transfer_params(w, v, ("pose",))
    assert torch.equal(request.blocks["rotation"], engine.params(v).blocks["rotation"])
    assert torch.equal(request.blocks["expression"], engine.params(w).blocks["expression"])
    assert engine.transfer(w, source=v, controls=tuple(CONTROLS)).shape[0] == 1
    with pytest.raises(ValueError, match="unknown control"):
        engine.transfer(w, source=v, controls=("hair",))


def test_mix_swaps_the_slots(engine: Engine) -> None:
    w, v = engine.sample(seed=1), engine.sample(seed=2)
    mixed = engine.mix_codes(w, v, range(2))
    assert torch.equal(mixed[:, :2], v[:, :2]) and torch.equal(mixed[:, 2:], w[:, 2:])
    with pytest.raises(ValueError, match="slots"):
        engine.mix(w, v, slots=[99])


def test_generate_holds_the_controls(engine: Engine) -> None:
    images = engine.generate(
        n=2, seed=3, pose={"yaw": -15}, expression={"jawOpen": 0.2}, light={"direction": (1, 0, 1)}
    )
    request = FaceParams().with_pose(yaw=-15).with_expression(jawOpen=0.2).with_light(direction=(1, 0, 1))
    assert np.array_equal(images, engine.edit(engine.sample(3, 2), request))


def test_mesh_and_info(engine: Engine) -> None:
    mesh = engine.mesh(engine.params(engine.sample(seed=1, n=2)))
    assert mesh.vertices.shape == mesh.colours.shape == (2, engine.face_model.num_vertices, 3)
    assert mesh.landmarks.shape == (2, 68, 2)
    info = engine.info()
    assert info["backend"] == "torch" and info["device"] == "cpu"
    assert set(info["ops"]) >= {"morphable", "vertex_normals", "rasterize", "masked_photometric"}
    json.dumps(info)


def test_beyond_reach_warns_and_clamps_only_when_asked(engine: Engine) -> None:
    w = engine.sample(seed=1)
    far = FaceParams().with_pose(yaw=50).with_expression(jawOpen=0.9)
    with pytest.warns(ReachWarning, match=r"yaw 50\.0 degrees \(reachable: -30 to 30\), jawOpen 0\.90"):
        free = engine.rig(w, far)
    with pytest.warns(ReachWarning, match="clamped"):
        clamped = engine.rig(w, far, clamp=True)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        within = engine.rig(w, FaceParams().with_pose(yaw=30).with_expression(jawOpen=0.5))
    assert not torch.allclose(free, clamped)
    torch.testing.assert_close(clamped, within, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda e, w: e.render(w[:, :1]), r"w has shape \(1, 1, 512\), expected"),
        (lambda e, w: e.render(w.long()), "w has dtype torch.int64"),
        (lambda e, w: e.render(w * float("nan")), "w holds values that are not finite"),
        (lambda e, w: e.render(w, resolution=100), "resolution is 100"),
        (lambda e, w: e.render(w, output="pil"), "output is 'pil'"),
        (lambda e, w: e.edit(w, FaceParams().with_expression(grin=1.0)), "unknown expression 'grin'"),
        (lambda e, w: e.edit(w.repeat(2, 1, 1), FaceParams().with_pose(yaw=[1.0, 2.0, 3.0])), "2 .*3|3 .*2"),
        (lambda e, w: e.rig(w, FaceParams(rotation=torch.full((1, 3), torch.nan))), "not finite"),
    ],
)
def test_bad_input(engine: Engine, call, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        call(engine, engine.sample(seed=1))


def test_unavailable_choices_are_refused() -> None:
    with pytest.raises(BackendUnavailable, match="tensorrt"):
        Engine(*small_parts(), backend="tensorrt")  # type: ignore[arg-type]
    with pytest.raises(BackendUnavailable, match="float64 is none of"):
        Engine(*small_parts(), dtype=torch.float64)
    if not torch.cuda.is_available():
        with pytest.raises(BackendUnavailable, match="cuda"):
            Engine(*small_parts(), device="cuda")


def test_parts_that_do_not_belong_together() -> None:
    generator, rig, reconstructor = small_parts()
    other = build(RigConfig(num_ws=generator.num_ws + 1, sizes=rig.config.sizes, components=8))
    with pytest.raises(CheckpointError, match="slots"):
        Engine(generator, other, reconstructor)


def test_from_a_folder(engine: Engine, tmp_path: Path) -> None:
    engine.rig_net.save_pretrained(tmp_path / "rig")
    engine.reconstructor.save_pretrained(tmp_path / "reconstructor")
    assert engine.reach is not None
    reach = {"angles": dict(engine.reach.angles), "expression": dict(engine.reach.expression)}
    (tmp_path / "reach.json").write_text(json.dumps(reach))
    again = Engine.from_pretrained(tmp_path, generator=small_generator())
    w = engine.sample(seed=1)
    request = FaceParams().with_pose(yaw=10)
    assert np.array_equal(again.edit(w, request), engine.edit(w, request))
    (tmp_path / "reach.json").write_text("{}")
    with pytest.raises(CheckpointError, match=r"reach\.json"):
        Engine.from_pretrained(tmp_path, generator=small_generator())
    with pytest.raises(CheckpointError, match="neither a folder nor one of"):
        Engine.from_pretrained("no-such-rig")


def test_reach_file_damage(tmp_path: Path) -> None:
    for content in ("", "[]", '{"angles": {"yaw": 3}}', '{"angles": {"yaw": [0, "x"]}}'):
        (tmp_path / "reach.json").write_text(content)
        with pytest.raises(CheckpointError, match="not a table of reachable ranges"):
            Reach.load(tmp_path / "reach.json")


def trained_for_others(parts, **changes: str):
    generator, rig, reconstructor = parts
    belongs = Provenance.of(generator, open_face_model())
    for net in (rig, reconstructor):
        net.config = dataclasses.replace(net.config, provenance=dataclasses.replace(belongs, **changes))
    return generator, rig, reconstructor


def test_weights_belong_to_their_generator_and_face_model() -> None:
    Engine(*trained_for_others(small_parts()))
    Engine(*trained_for_others(small_parts(), generator_sha256=""))  # not known: not compared
    for changes, message in (
        (
            {"generator": "ffhq", "generator_sha256": "c0ffee"},
            r"generator 'ffhq' \(sha256 c0ffee…\), not for 'untrained'",
        ),
        (
            {"face_model": "bfm", "face_model_sha256": "beef"},
            r"face model 'bfm' \(sha256 beef…\), not for 'open-face-2'",
        ),
    ):
        with pytest.raises(CheckpointError, match=message + ".*--allow-mismatch"):
            Engine(*trained_for_others(small_parts(), **changes))
        generator, rig, reconstructor = trained_for_others(small_parts(), **changes)
        Engine(generator, rig, reconstructor, allow_mismatch=True)


def test_what_a_rig_was_trained_for_is_stored(tmp_path: Path) -> None:
    generator, rig, reconstructor = trained_for_others(small_parts())
    rig.save_pretrained(tmp_path / "rig")
    reconstructor.save_pretrained(tmp_path / "reconstructor")
    (tmp_path / "reach.json").write_text(
        '{"angles": {"yaw": [-9, 9], "pitch": [-9, 9], "roll": [0, 0]}, "expression": {}}'
    )
    assert RigNet.from_pretrained(tmp_path / "rig").config.provenance.generator_sha256 == generator.fingerprint()
    with pytest.raises(CheckpointError, match="generator 'untrained': neither a folder nor one of"):
        Engine.from_pretrained(tmp_path)
    save_generator(tmp_path / "generator", generator)
    w = torch.randn(1, generator.num_ws, 512)
    assert (Engine.from_pretrained(tmp_path).render(w) == Engine(generator, rig, reconstructor).render(w)).all()
    with torch.no_grad():
        generator.first.weight.mul_(1.01)
    save_generator(tmp_path / "generator", generator)
    with pytest.raises(CheckpointError, match="was trained for the generator 'untrained'"):
        Engine.from_pretrained(tmp_path)


def test_a_person_is_seen_once_and_a_changed_code_again(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    calls = []
    vector = engine.reconstructor.vector

    def counted(w: torch.Tensor) -> torch.Tensor:
        calls.append(1)
        return vector(w)

    monkeypatch.setattr(engine.reconstructor, "vector", counted)
    w = engine.sample(seed=1)
    first = engine.edit(w, FaceParams().with_pose(yaw=10))
    assert (engine.edit(w, FaceParams().with_pose(yaw=10)) == first).all() and len(calls) == 1
    engine.edit(w.clone(), FaceParams().with_pose(yaw=10))
    assert len(calls) == 1
    w.mul_(1.5)
    changed = engine.edit(w, FaceParams().with_pose(yaw=10))
    assert len(calls) == 2
    assert (changed == engine.edit(w.clone(), FaceParams().with_pose(yaw=10))).all()
    with torch.inference_mode():
        v = engine.sample(seed=2)
        engine.edit(v, FaceParams())
        v.mul_(1.5)
        assert (engine.edit(v, FaceParams()) == engine.render(engine.rig(v.clone(), FaceParams()))).all()


def test_threads_share_an_engine(engine: Engine) -> None:
    people = [engine.sample(seed=seed) for seed in range(4)]
    request = FaceParams().with_pose(yaw=8.0)
    alone = [engine.edit(w, request) for w in people]
    with ThreadPoolExecutor(4) as pool:
        together = list(pool.map(lambda i: engine.edit(people[i % 4], request), range(40)))
    assert all((together[i] == alone[i % 4]).all() for i in range(40))


@pytest.mark.slow
def test_thousands_of_edits_do_not_grow_memory(engine: Engine) -> None:
    status = Path("/proc/self/status")
    if not status.exists():
        pytest.skip("memory is read from /proc")
    w = engine.sample(seed=0)

    def edit(count: int) -> int:
        for i in range(count):
            engine.edit(w, FaceParams().with_pose(yaw=float(i % 20 - 10)))
        return int(status.read_text().partition("VmRSS:")[2].split()[0])

    before = edit(500)
    assert edit(2500) - before < 8 * 1024  # KiB: one leaked picture of 64 px an edit would be 30 MB


def test_auto_says_why_not_the_faster_one() -> None:
    info = Engine(*small_parts()).info()
    assert info["backend"] == "torch"
    assert "cuda_graph': 'the cuda_graph backend needs a CUDA device" in str(info["slower than"])


def test_previews_are_near_the_whole_picture() -> None:
    engine, exact = Engine(*small_parts()), Engine(*small_parts(), dtype=torch.float32)
    w = engine.sample(seed=5, n=4)
    for resolution in (64, 32):  # half the width is no preview
        assert (engine.render(w, resolution=resolution) == exact.render(w, resolution=resolution)).all()
    quick, whole = engine.backend.pictures(w, 16).double(), exact.backend.pictures(w, 16).double()
    assert 10 * torch.log10(255**2 / (quick - whole).square().mean().clamp_min(1e-6)) > 40


def test_parts_elsewhere_are_copied_and_those_here_taken() -> None:
    generator = small_parts()[0]
    copied = placed(generator, torch.device("meta"))
    assert copied is not generator and copied.w_mean.device.type == "meta" and not copied.training
    assert generator.w_mean.device.type == "cpu"
    assert placed(generator, torch.device("cpu")) is generator


def test_a_device_gets_its_number(monkeypatch: pytest.MonkeyPatch) -> None:
    assert checked_device("cpu") == torch.device("cpu")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "current_device", lambda: 1)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    assert checked_device("cuda") == torch.device("cuda:1")
    assert checked_device("cuda:0") == torch.device("cuda:0")
    with pytest.raises(BackendUnavailable, match="cuda:0 to cuda:1"):
        checked_device("cuda:2")


def test_an_engine_takes_its_networks_over():
    generator, rig, reconstructor = small_parts()
    rig.train().requires_grad_(True)
    engine = Engine(generator, rig, reconstructor)
    assert (engine.generator, engine.rig_net, engine.reconstructor) == (generator, rig, reconstructor)
    assert not any(module.training for module in (generator, rig, reconstructor))
    assert not any(value.requires_grad for value in rig.parameters())


def test_ranges_are_the_stored_ones_others_or_none():
    assert Engine.from_pretrained().reach == Reach.load(find_folder("mobilestylegan-ffhq") / "reach.json")
    other = Reach({"yaw": (-1, 1), "pitch": (-1, 1), "roll": (-1, 1)}, {})
    assert Engine.from_pretrained(reach=other).reach is other
    assert Engine.from_pretrained(reach=None).reach is None


def test_former_names_still_work_and_say_so(engine):
    w, v = engine.sample(1), engine.sample(2)
    with pytest.warns(DeprecationWarning, match="mix_codes") as found:
        assert torch.equal(engine.mixed(w, v, [0]), engine.mix_codes(w, v, [0]))
    assert found[0].filename == __file__
    with pytest.warns(DeprecationWarning, match="transfer_params"):
        engine.transferred(w, v)


def test_a_warning_of_the_reach_points_at_this_line(engine):
    with pytest.warns(ReachWarning) as found:
        engine.edit(engine.sample(1), FaceParams().with_pose(yaw=80))
    assert found[0].filename == __file__
