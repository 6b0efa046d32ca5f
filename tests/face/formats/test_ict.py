from __future__ import annotations

import json

import numpy as np
import pytest
import torch

from stylerig_fast.errors import FaceModelError
from stylerig_fast.face.formats import ict
from stylerig_fast.face.formats.ict import load_ict
from stylerig_fast.face.landmarks import MIRROR

COLUMNS, ROWS = 15, 15
NAMES = ("browDown_L", "browDown_R", "jawOpen")


def grid() -> tuple[np.ndarray, list[list[int]]]:
    """A symmetric bulging sheet in centimetres that faces +z: quads, and one triangle at a corner."""
    x, y = np.meshgrid(np.linspace(-8, 8, COLUMNS), np.linspace(-10, 10, ROWS))
    vertices = np.stack([x.ravel(), y.ravel(), 10 - (x**2 + y**2).ravel() / 20], 1)
    faces = []
    for r in range(ROWS - 1):
        for c in range(COLUMNS - 1):
            v = r * COLUMNS + c
            faces.append([v, v + 1, v + COLUMNS + 1, v + COLUMNS])
    faces[-1] = faces[-1][:3]
    return vertices, faces


VERTICES, FACES = grid()
LANDMARKS = list(range(68))


def offsets(count: int, seed: int) -> np.ndarray:
    return np.random.default_rng(seed).normal(0, 0.3, (count, *VERTICES.shape)).round(6)


IDENTITY, EXPRESSION = offsets(2, 0), offsets(3, 1)


def write_obj(path, vertices, faces=FACES):
    lines = ["mtllib ICTFaceModelMaterial.mtl"]
    lines += [f"v {x:.15f} {y:.15f} {z:.15f}" for x, y, z in vertices]
    lines += ["vt 0.48 0.18", "vt 0.46 0.19", "usemtl M_Face", "s 1"]
    lines += ["f " + " ".join(f"{v + 1}/{v % 2 + 1}" for v in face) for face in faces]
    path.write_text("\n".join(lines) + "\n")


@pytest.fixture
def folder(tmp_path):
    folder = tmp_path / "FaceXModel"
    folder.mkdir()
    write_obj(folder / "generic_neutral_mesh.obj", VERTICES)
    for k, moved in enumerate(IDENTITY):
        write_obj(folder / f"identity{k:03d}.obj", VERTICES + moved)
    for name, moved in zip(NAMES, EXPRESSION, strict=True):
        write_obj(folder / f"{name}.obj", VERTICES + moved)
    indices = {"expressions": list(NAMES), "incompatibilities": [], "idx_to_landmark_verts": LANDMARKS}
    (folder / "vertex_indices.json").write_text(json.dumps(indices))
    return folder


@pytest.fixture
def packed(tmp_path):
    padded = np.array([face + [-1] * (4 - len(face)) for face in FACES], np.int32)
    path = tmp_path / "ict.npz"
    np.savez(
        path,
        mean=VERTICES.astype(np.float32),
        identity=IDENTITY.astype(np.float16),
        expression=EXPRESSION.astype(np.float16),
        expression_names=np.array(NAMES),
        faces=padded,
        landmarks68=np.array(LANDMARKS, np.int32),
    )
    return path


def test_a_published_folder(folder):
    model = load_ict(folder)
    assert model.expression_names == ("browDownLeft", "browDownRight", "jawOpen")
    assert torch.allclose(model.mean, torch.from_numpy(VERTICES / 10).float())
    assert torch.allclose(model.identity, torch.from_numpy(IDENTITY / 10).float(), atol=1e-6)
    assert torch.allclose(model.expression, torch.from_numpy(EXPRESSION / 10).float(), atol=1e-6)
    assert model.landmarks.tolist() == LANDMARKS
    assert len(model.triangles) == 2 * (COLUMNS - 1) * (ROWS - 1) - 1
    a, b, c = model.mean[model.triangles.long()].unbind(1)
    assert bool((torch.linalg.cross(b - a, c - a)[:, 2] > 0).all())
    expected = torch.arange(COLUMNS * ROWS).view(ROWS, COLUMNS).flip(1).flatten()
    assert torch.equal(model.mirror, expected)


def test_the_packed_file_is_the_same_model(folder, packed):
    one, other = load_ict(folder), load_ict(packed)
    assert one.expression_names == other.expression_names
    for field in ("mean", "identity", "expression", "albedo", "triangles", "landmarks", "mirror"):
        assert torch.allclose(getattr(one, field).float(), getattr(other, field).float(), atol=1e-4), field


def test_albedo_is_grey_smooth_and_symmetric(packed):
    model = load_ict(packed)
    assert model.sizes["albedo"] == 80
    assert torch.allclose(model.albedo[:, model.mirror], model.albedo, atol=1e-5)
    assert float(model.albedo_mean.std(0).max()) == 0
    # The first component is the overall brightness.
    assert float(model.albedo[0].std(0).max()) < 1e-4 < float(model.albedo[0].min())


def test_crop_keeps_the_first_vertices_and_their_triangles(folder, monkeypatch):
    monkeypatch.setattr(ict, "FACE_VERTICES", 180)
    cropped, whole = load_ict(folder), load_ict(folder, crop=False)
    assert (cropped.num_vertices, whole.num_vertices) == (180, 225)
    assert int(cropped.triangles.max()) == 179
    assert len(cropped.triangles) == 2 * (COLUMNS - 1) * 11
    assert cropped.name != whole.name


def test_landmarks_outside_the_crop_are_an_error(folder, monkeypatch):
    monkeypatch.setattr(ict, "FACE_VERTICES", 60)
    with pytest.raises(FaceModelError, match="68 landmark vertices below 60"):
        load_ict(folder)


@pytest.mark.parametrize("name", ["generic_neutral_mesh.obj", "vertex_indices.json", "jawOpen.obj"])
def test_missing_parts_are_named(folder, name):
    (folder / name).unlink()
    with pytest.raises(FaceModelError, match=name):
        load_ict(folder)


def test_a_folder_without_identities(folder):
    for path in folder.glob("identity*.obj"):
        path.unlink()
    with pytest.raises(FaceModelError, match=r"no identityNNN\.obj"):
        load_ict(folder)


def test_files_of_different_length(folder):
    write_obj(folder / "identity001.obj", VERTICES[:-1])
    with pytest.raises(FaceModelError, match=r"identity001\.obj: 224 vertices, but .* has 225"):
        load_ict(folder)


def test_a_truncated_neutral_mesh(folder):
    write_obj(folder / "generic_neutral_mesh.obj", VERTICES[:40])
    with pytest.raises(FaceModelError, match="outside its 40 vertices"):
        load_ict(folder)


def test_damaged_text(folder):
    (folder / "jawOpen.obj").write_text("v 1.0 2.0 three\n")
    with pytest.raises(FaceModelError, match=r"jawOpen\.obj: not a readable"):
        load_ict(folder)
    (folder / "vertex_indices.json").write_text('{"expressions": [')
    with pytest.raises(FaceModelError, match=r"vertex_indices\.json: damaged"):
        load_ict(folder)


def test_damaged_packed_files(packed, tmp_path):
    content = packed.read_bytes()
    packed.write_bytes(content[: len(content) // 2])
    with pytest.raises(FaceModelError, match=r"ict\.npz: not a NumPy archive"):
        load_ict(packed)
    np.savez(tmp_path / "other.npz", mean=VERTICES)
    with pytest.raises(FaceModelError, match="identity"):
        load_ict(tmp_path / "other.npz")
    with pytest.raises(FaceModelError, match="no such file or folder"):
        load_ict(tmp_path / "nowhere")


def test_the_real_model(shared):
    model = load_ict(shared / "data" / "ict_facekit" / "ict_facekit_f16.npz")
    assert model.num_vertices == 9409
    assert model.sizes["identity"] == 100
    assert len(model.expression_names) == 57
    assert {"jawOpen", "mouthSmileLeft", "eyeBlinkRight", "browInnerUpLeft"} <= set(model.expression_names)
    landmarks = model.mean[model.landmarks]
    # The published landmarks are not perfectly symmetric; within 3 mm they are.
    assert float((landmarks[list(MIRROR)] * torch.tensor([-1.0, 1.0, 1.0]) - landmarks).norm(dim=-1).max()) < 0.03
    assert 0.8 < float((landmarks[36] - landmarks[45]).norm()) < 1.0
    left = model.expression[model.expression_names.index("eyeBlinkLeft")]
    moved = left.norm(dim=-1) > 0.02
    assert bool((model.mean[moved, 0] > 0).all())  # the subject's left is the picture's right
    mirrored = model.mean[model.mirror] * torch.tensor([-1.0, 1.0, 1.0])
    assert float((mirrored - model.mean).norm(dim=-1).max()) < 0.01
