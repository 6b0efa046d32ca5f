"""Where the 68 landmarks come from: published lists, files, a warp of the open model's; and what is refused."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch

from stylerig_fast.errors import FaceModelError
from stylerig_fast.face.formats import landmark_lists, read_face_model, to_face_model
from stylerig_fast.face.formats.complete_landmarks import complete_landmarks, enough
from stylerig_fast.face.formats.ict import load_ict
from stylerig_fast.face.formats.landmark_files import read_landmark_file
from stylerig_fast.face.formats.raw_model import Counts, RawFaceModel
from stylerig_fast.face.landmarks import JAW
from stylerig_fast.face.model_io import open_face_model
from tests.face.formats import writers


@pytest.fixture(scope="module")
def model():
    return writers.small_model(2, 2, 2)


def renumbered(model, places: dict[int, int], count: int):
    """The model on ``count`` vertices, where landmark ``i`` is vertex ``places[i]``; others fill the rest as they come.

    With fewer vertices than the model has, the ones behind go; with more, copies are added.
    """
    numbers = model.landmarks.tolist()
    fixed = {numbers[i]: v for i, v in places.items()}
    keep_first = torch.argsort(model.mean[:, 2], descending=True).tolist()
    rest = [v for v in keep_first if v not in fixed]
    rest += rest * (count // model.num_vertices + 1)
    source = np.zeros(count, np.int64)
    source[list(fixed.values())] = list(fixed)
    free = np.setdiff1d(np.arange(count), list(fixed.values()))
    source[free] = rest[: len(free)]
    position = np.full(model.num_vertices, -1)
    position[source[::-1]] = np.arange(count)[::-1]
    for old, new in fixed.items():
        position[old] = new
    triangles = position[model.triangles.numpy()]
    pick = torch.from_numpy(source)
    return dataclasses.replace(
        model,
        mean=model.mean[pick],
        identity=model.identity[:, pick],
        expression=model.expression[:, pick],
        albedo_mean=model.albedo_mean[pick],
        albedo=model.albedo[:, pick],
        triangles=torch.from_numpy(triangles[(triangles >= 0).all(1)].astype(np.int32)),
        landmarks=torch.tensor([places.get(i, 0) for i in range(68)]),
        mirror=torch.zeros(count, dtype=torch.int64),
    )


def test_the_lists_have_the_sizes_of_their_meshes():
    for listed, count in ((landmark_lists.BASEL_2009, 53490), (landmark_lists.FLAME, 5023)):
        assert sorted(listed) == list(range(68))
        assert len(set(listed.values())) == 68
        assert max(listed.values()) < count
    assert set(range(68)) - set(landmark_lists.SURREY_3448) == {*JAW, 60, 64} - {8}
    assert len(set(landmark_lists.SURREY_3448.values())) == 50


def test_flame_finds_its_list(model, tmp_path):
    made = renumbered(model, landmark_lists.FLAME, 5023)
    writers.write_flame(writers.flame_fields(made), tmp_path / "f.pkl")
    found = read_face_model(tmp_path / "f.pkl", identity=2, expressions=5)
    assert torch.allclose(found.mean[found.landmarks], model.mean[model.landmarks], atol=1e-5)


def test_basel_2009_finds_its_list_and_is_trimmed_to_its_expressions(model, tmp_path):
    made = renumbered(model, landmark_lists.BASEL_2009, 53490)
    writers.write_basel2009(made, tmp_path / "01_MorphableModel.mat")
    left_out = torch.tensor([7, 8319, 53489])  # one of them the tip of the nose
    kept = np.setdiff1d(np.arange(53490), left_out.numpy())
    writers.write_guo(made.expression[:, kept], tmp_path)
    from scipy.io import savemat

    savemat(tmp_path / "BFM_exp_idx.mat", {"trimIndex": kept[:, None] + 1})
    found = read_face_model(tmp_path / "01_MorphableModel.mat")
    assert found.num_vertices == 53487
    near = (found.mean[found.landmarks] - model.mean[model.landmarks]).norm(dim=-1)
    assert float(near.max()) < 0.05
    assert int((near > 1e-3).sum()) <= 1  # the tip of the nose moved to a neighbour, or to a copy of itself


def test_expressions_about_other_vertices_need_their_list(model, tmp_path):
    writers.write_basel2009(model, tmp_path / "01_MorphableModel.mat")
    writers.write_guo(model.expression[:, :-3], tmp_path)
    with pytest.raises(FaceModelError, match="5675 vertices, but the expression basis has 5672; put BFM_exp_idx"):
        read_face_model(tmp_path / "01_MorphableModel.mat")


def test_surrey_takes_its_list_and_has_the_jaw_placed(model, tmp_path):
    right, left = landmark_lists.SURREY_JAW[:17], landmark_lists.SURREY_JAW[17:]
    jaw = dict(zip((*range(8), *range(16, 8, -1)), (*right[::2][:8], *left[::2][:8]), strict=True))
    made = renumbered(model, landmark_lists.SURREY_3448 | jaw, 3448)
    writers.write_eos(made, tmp_path / "sfm.bin", definitions=False)
    with pytest.warns(UserWarning, match="18 of the 68 landmarks are not in its list"):
        found = read_face_model(tmp_path / "sfm.bin")
    # The same face as the open model's: the warp is the identity. Not all its vertices are there for the mouth corners.
    offsets = (found.mean[found.landmarks] - model.mean[model.landmarks]).norm(dim=-1)
    assert float(offsets.max()) < 0.05
    assert float(offsets[[i for i in range(68) if i not in (60, 64)]].max()) < 1e-5


def test_basel_2017_takes_the_places_it_names(model, tmp_path):
    from stylerig_fast.face.formats.basel_hdf5 import PLACES

    numbered = {int(place["id"]) - 1: place["coordinates"] for place in writers.numbered_places(model)}
    places = [
        {"id": name, "coordinates": numbered[i], "description": None} for i, names in PLACES.items() for name in names
    ]
    places.append({"id": "left.ear.lobule.tip", "coordinates": [1.0, 2.0, 3.0]})
    writers.write_hdf5(model, tmp_path / "b.h5", places)
    with pytest.warns(UserWarning, match="51 of the 68"):
        found = read_face_model(tmp_path / "b.h5")
    # The same mesh as the open model's: the warp is the identity.
    assert torch.equal(found.landmarks, model.landmarks)


def test_what_is_enough_to_place_the_others():
    assert enough({i: i for i in range(68)})
    assert not enough({i: i for i in range(36)})
    assert not enough({30: 0, 36: 1, 45: 2, 48: 3})


def test_the_jaw_of_the_ict_model_is_placed_on_its_jaw(shared):
    model = load_ict(shared / "data" / "ict_facekit" / "ict_facekit_f16.npz")
    known = {i: int(v) for i, v in enumerate(model.landmarks) if i not in JAW or i == 8}
    placed = complete_landmarks(model.mean.double().numpy(), model.triangles.numpy(), known)
    offsets = (model.mean[torch.from_numpy(placed)] - model.mean[model.landmarks]).norm(dim=-1)
    assert float(offsets[list(set(range(68)) - set(JAW))].max()) == 0
    # Measured: 6.4 mm on average, 13 mm at most, of which some is that two authors draw the jaw line differently.
    assert float(offsets[list(JAW)].mean()) < 0.08
    assert float(offsets.max()) < 0.15


def test_files_of_landmarks(tmp_path):
    expected = {i: 100 + i for i in range(68)}
    plain = tmp_path / "plain.txt"
    plain.write_text("# iBUG\n" + ", ".join(str(v) for v in expected.values()))
    assert read_landmark_file(plain) == expected
    plain.write_text("[" + ",\n".join(str(v) for v in expected.values()) + "]\n")
    assert read_landmark_file(plain) == expected
    toml = tmp_path / "eos.txt"
    toml.write_text(
        "# Mapping\n[landmark_mappings] # from to\n"
        "            # 1 to 8 are the right contour landmarks\n"
        " 9 =    33  # chin bottom\n37 = 177 # eye (1)\n#38 =   # not there\n"
        "[contour_landmarks]\nright = [ 1,\n 2 ]\n4 = 5\n"
    )
    assert read_landmark_file(toml) == {8: 33, 36: 177}
    braces = tmp_path / "old.txt"
    braces.write_text(
        "; Mapping\nlandmarkMappings ; from to\n{\n\t 9    33 ; chin bottom\n\t18   225 ; brow (18)\n}\n"
        "contour_landmarks\n{\n\tright {\n\t\t1\n\t\t2\n\t}\n}"
    )
    assert read_landmark_file(braces) == {8: 33, 17: 225}


@pytest.mark.parametrize(
    "text", ["", "1 2 3", "1.5 " * 68, "-1 " * 68, "landmarks\n9 = 3\n9 = 4\n", "landmarks\n69 = 3", "9 = x", "7 " * 69]
)
def test_files_that_are_no_landmarks(tmp_path, text):
    path = tmp_path / "l.txt"
    path.write_text(text)
    with pytest.raises(FaceModelError, match=r"l\.txt"):
        read_landmark_file(path)


def test_landmark_files_that_cannot_be_read(tmp_path):
    with pytest.raises(FaceModelError, match="68 vertex numbers"):
        read_landmark_file(tmp_path / "nowhere.txt")
    (tmp_path / "binary").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(FaceModelError, match="cannot be read"):
        read_landmark_file(tmp_path / "binary")


def parts_of(model, unit=1.0, **changes):
    numbers = dict(enumerate(model.landmarks.tolist()))
    made = RawFaceModel(
        name="made",
        unit=unit,
        mean=model.mean.double().numpy(),
        identity=model.identity.numpy(),
        expression=model.expression.numpy(),
        triangles=model.triangles.long().numpy(),
        landmarks=numbers,
    )
    return dataclasses.replace(made, **changes)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"landmarks": {}}, r"\(0 are\).*--landmarks FILE.*--landmarks detect"),
        ({"landmarks": {36: 1, 45: 2}}, r"\(2 are\)"),
        ({"landmarks": {36: 5675}}, r"landmarks \{37: 5675\} are outside its 5675 vertices"),
        ({"landmarks": {i: 30 * i for i in range(68)}}, "landmarks"),
        ({"unit": 0.1}, "eye corners are 0.086 dm apart"),
        ({"unit": 100.0}, "another unit"),
        ({"expression": np.zeros((0, 5675, 3))}, "no expressions; give .* --expression"),
    ],
)
def test_what_is_no_face_is_refused(model, changes, message):
    with pytest.raises(FaceModelError, match=message):
        to_face_model.assemble(parts_of(model, **changes), "made.mat", Counts())


@pytest.mark.parametrize("turn", [[1, -1, 1], [-1, 1, 1], [1, 1, -1]])
def test_turned_axes_are_noticed(model, turn):
    with pytest.raises(FaceModelError, match="do not lie like a face's"):
        to_face_model.assemble(parts_of(model, mean=model.mean.double().numpy() * turn), "made.mat", Counts())


def test_landmarks_may_be_found_by_a_function(model):
    seen = []

    def find(given):
        seen.append(given)
        return model.landmarks.tolist()

    found = to_face_model.assemble(parts_of(model, landmarks={}), "made.mat", Counts(), find)
    assert torch.equal(found.landmarks, model.landmarks)
    assert torch.allclose(found.mean, model.mean, atol=1e-6)
    assert seen[0].mirror.shape == (model.num_vertices,)


def test_the_open_models_origin_is_a_fixed_point():
    model = open_face_model()
    assert torch.allclose(to_face_model.move_origin(model, "open").mean, model.mean, atol=1e-6)
    moved = dataclasses.replace(model, mean=model.mean + torch.tensor([0.0, 3.0, -2.0]))
    assert torch.allclose(to_face_model.move_origin(moved, "open").mean, model.mean, atol=1e-5)


def test_our_own_file_takes_other_landmarks(model, tmp_path):
    from stylerig_fast.face.model_io import save_face_model

    save_face_model(model, tmp_path / "m.safetensors")
    moved = model.landmarks.clone()
    moved[[0, 16]] = moved[[1, 15]]
    listed = tmp_path / "l.txt"
    listed.write_text(" ".join(map(str, moved.tolist())))
    assert torch.equal(read_face_model(tmp_path / "m.safetensors", landmarks=listed).landmarks, moved)
