"""``stylerig convert face``: the file it writes, the sheet it draws, landmarks found by dlib, large meshes."""

from __future__ import annotations

import dataclasses
import functools
import json

import numpy as np
import pytest
import torch
from PIL import Image

from stylerig_fast.commands.convert_face import ConvertFace
from stylerig_fast.commands.face_model_sheet import COLUMNS, draw_face_sheet, draw_view, views
from stylerig_fast.commands.face_model_sheet import View as SheetView
from stylerig_fast.errors import FaceModelError
from stylerig_fast.face.formats.crop_face import crop_face
from stylerig_fast.face.formats.ict import load_ict
from stylerig_fast.face.formats.to_face_model import move_origin
from stylerig_fast.face.model import FaceModel
from stylerig_fast.face.model_io import load_face_model, open_face_model
from tests.face.formats import writers


@pytest.fixture(scope="module")
def model():
    return writers.small_model(2, 3, 2)


@pytest.fixture
def source(model, tmp_path):
    writers.write_deep3d(model, tmp_path / "BFM_model_front.mat")
    return tmp_path / "BFM_model_front.mat"


def test_the_file_and_the_figures(model, source, tmp_path, capsys):
    out = tmp_path / "new" / "model.safetensors"
    ConvertFace(source=source, out=out, name="mine", licence="for research", json=True).run()
    written = load_face_model(out)
    assert written.name == "mine"
    assert torch.allclose(written.mean, model.mean, atol=2e-6)
    assert b"for research" in out.read_bytes()[:4096]
    figures = json.loads(capsys.readouterr().out)
    assert figures["sha256"] == written.fingerprint()
    assert (figures["vertices"], figures["expression"], figures["named expressions"]) == (5675, 3, "none")


def test_the_preview_of_a_round_trip_is_that_of_the_model(model, source, tmp_path):
    ConvertFace(source=source, out=tmp_path / "m.safetensors", preview=tmp_path / "m.png").run()
    drawn = np.asarray(Image.open(tmp_path / "m.png")).astype(int)
    direct = np.asarray(draw_face_sheet(model)).astype(int)
    assert drawn.shape == direct.shape
    difference = np.abs(drawn - direct)[66:]  # below the name
    assert difference.mean() < 0.01
    assert (difference > 8).mean() < 1e-4


def test_what_the_sheet_shows():
    model = open_face_model()
    rows = list(views(model))
    assert [row[0].block for row in rows] == ["identity", *["expression"] * 5, "albedo"]
    assert all(len(row) <= COLUMNS for row in rows)
    assert rows[1][0].label == model.expression_names[0]
    assert rows[-2][0].label == "residual_00, -2 sd"
    # A turned head looks to the picture's right.
    face = np.asarray(draw_view(model, SheetView("", yaw=40), 64)).astype(int)
    covered = np.abs(face - face[0, 0]).sum(-1) > 12
    assert covered.mean() > 0.4


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"out": "model.pt"}, "the output is a .safetensors file"),
        ({"out": "m.safetensors", "preview": "m.jpg"}, "the output is a .png file"),
        ({"out": "m.safetensors", "identity": 0}, "identity is 0"),
        ({"out": "m.safetensors", "landmarks": "nowhere.txt"}, "nowhere.txt: the landmarks cannot be read"),
    ],
)
def test_mistakes_are_found_before_anything_is_written(source, tmp_path, options, message):
    paths = {name: tmp_path / options[name] for name in ("out", "preview") if name in options}
    with pytest.raises((ValueError, FaceModelError), match=message):
        ConvertFace(source=source, **{**options, **paths}).run()
    assert list(tmp_path.iterdir()) == [source]


def test_cropping_keeps_the_open_model_whole():
    model = open_face_model()
    cropped = crop_face(model, "open")
    assert cropped.num_vertices > 0.99 * model.num_vertices
    assert torch.allclose(cropped.mean[cropped.landmarks], model.mean[model.landmarks])


def test_cropping_takes_scalp_and_neck_off_a_head(shared):
    head = move_origin(load_ict(shared / "data" / "ict_facekit" / "ict_facekit_f16.npz"), "ict")
    cropped = crop_face(head, "ict")
    assert 0.5 * head.num_vertices < cropped.num_vertices < 0.95 * head.num_vertices
    assert float(cropped.mean[:, 1].max()) < float(head.mean[:, 1].max()) - 0.1
    assert torch.allclose(cropped.mean[cropped.landmarks], head.mean[head.landmarks])
    assert float(cropped.mean[:, 0].abs().max()) == pytest.approx(float(head.mean[:, 0].abs().max()))  # the ears
    assert cropped.mirror.shape == (cropped.num_vertices,)


def test_cropping_never_takes_landmarks(model):
    moved = dataclasses.replace(model, mean=model.mean - torch.tensor([0.0, 1.0, 0.0]))
    with pytest.raises(FaceModelError, match="cut off the landmarks"):
        crop_face(moved, "moved")


def test_landmarks_found_by_dlib(model, tmp_path, monkeypatch):
    pytest.importorskip("dlib")
    from stylerig_fast.open_face import detect_landmarks as module

    monkeypatch.setattr(module, "detect_landmarks", functools.partial(module.detect_landmarks, people=8))
    blind = dataclasses.replace(model, landmarks=torch.zeros(68, dtype=torch.int64))
    writers.write_eos(blind, tmp_path / "m.bin", definitions=False)
    ConvertFace(source=tmp_path / "m.bin", out=tmp_path / "m.safetensors", landmarks="detect").run()
    found = load_face_model(tmp_path / "m.safetensors")
    offsets = found.mean[found.landmarks] - found.mean[model.landmarks]
    # Measured: 1.4 mm inside the face, of which most is depth, because the model's own landmarks are on the rims of
    # lips and lids; 6 mm on the jaw, along which its landmarks slide.
    assert float(offsets[17:].norm(dim=-1).mean()) < 0.025
    assert float(offsets[17:, :2].norm(dim=-1).mean()) < 0.01
    assert float(offsets[:17].norm(dim=-1).mean()) < 0.1


def test_what_is_no_face_is_not_found(model, tmp_path):
    pytest.importorskip("dlib")
    flat = dataclasses.replace(model, mean=model.mean * torch.tensor([1.0, 0.2, 1.0]))
    writers.write_eos(flat, tmp_path / "m.bin", definitions=False)
    with pytest.raises(FaceModelError, match="no face on a frontal render"):
        ConvertFace(source=tmp_path / "m.bin", out=tmp_path / "m.safetensors", landmarks="detect").run()


def test_a_mesh_as_large_as_basels_is_rendered():
    """Everything downstream takes its sizes from the model: 53,215 vertices, no 80 or 64 of anything."""
    from stylerig_fast.face.lighting import light
    from stylerig_fast.params import FaceParams
    from stylerig_fast.render import render

    large = grid_face(227, 235)
    assert large.num_vertices > 53215
    params = FaceParams(
        identity=torch.ones(1, 3),
        albedo=torch.ones(1, 2),
        expression=torch.ones(1, 4),
        illumination=light(torch.tensor([[0.0, 0.0, 1.0]]), torch.full((1, 3), 0.7), torch.full((1, 3), 0.3)),
        rotation=torch.zeros(1, 3),
        translation=torch.tensor([[0.0, 0.0, -11.0]]),
    )
    rendered = render(large, params, size=128)
    assert bool(torch.isfinite(rendered.image).all())
    assert 0.3 < float(rendered.mask.float().mean()) < 0.9


def grid_face(columns: int, rows: int) -> FaceModel:
    """A bulging sheet the size of a face."""
    x, y = torch.meshgrid(torch.linspace(-0.8, 0.8, columns), torch.linspace(-1, 1, rows), indexing="xy")
    mean = torch.stack([x, y, 1 - (x**2 + y**2) / 2], -1).flatten(0, 1)
    first = (torch.arange(rows - 1)[:, None] * columns + torch.arange(columns - 1)).flatten()
    upper = torch.stack([first, first + 1, first + columns], 1)
    lower = torch.stack([first + 1, first + columns + 1, first + columns], 1)
    count = len(mean)
    return FaceModel(
        name="grid",
        mean=mean,
        identity=0.01 * torch.randn(3, count, 3, generator=torch.Generator().manual_seed(0)),
        expression=torch.zeros(4, count, 3),
        albedo_mean=torch.full((count, 3), 0.5),
        albedo=torch.zeros(2, count, 3),
        triangles=torch.cat([upper, lower]).to(torch.int32),
        landmarks=torch.arange(68),
        mirror=torch.arange(count),
        expression_names=tuple(f"residual_{k:02d}" for k in range(4)),
    )
