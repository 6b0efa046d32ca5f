"""FLAME's jaw as expressions, against linear blend skinning as its paper has it; and files that are not FLAME's."""

from __future__ import annotations

import numpy as np
import pytest

from stylerig_fast.errors import FaceModelError
from stylerig_fast.face.formats import flame, read_face_model
from stylerig_fast.face.formats.raw_model import Counts
from stylerig_fast.untrusted.tree import Record
from tests.face.formats import writers


@pytest.fixture(scope="module")
def fields():
    return writers.flame_fields(writers.small_model(3, 3, 2))


def rodrigues(vector: np.ndarray) -> np.ndarray:
    angle = np.linalg.norm(vector)
    if angle == 0:
        return np.eye(3)
    x, y, z = vector / angle
    cross = np.array([[0, -z, y], [z, 0, -x], [-y, x, 0]])
    return np.eye(3) + np.sin(angle) * cross + (1 - np.cos(angle)) * cross @ cross


def skinned(fields: dict[str, np.ndarray], pose: np.ndarray) -> np.ndarray:
    """FLAME's equations 1 to 3 for the mean head and a pose ``(5, 3)``, with 4 x 4 matrices along the joints' chain."""
    mean, parents = fields["v_template"].astype(np.float64), fields["kintree_table"][0].astype(np.int64)
    turns = np.stack([rodrigues(vector) for vector in pose])
    joints = fields["J_regressor"] @ mean
    posed = mean + fields["posedirs"].astype(np.float64) @ (turns[1:] - np.eye(3)).reshape(-1)
    chain: list[np.ndarray] = []
    for k in range(5):
        local = np.eye(4)
        local[:3, :3] = turns[k]
        local[:3, 3] = joints[k] - (joints[parents[k]] if k else 0)
        chain.append(local if k == 0 else chain[parents[k]] @ local)
    relative = []
    for k, matrix in enumerate(chain):
        at_rest = np.eye(4)
        at_rest[:3, 3] = -joints[k]
        relative.append(matrix @ at_rest)
    blended = np.einsum("vk,kij->vij", fields["weights"].astype(np.float64), np.stack(relative))
    return (blended @ np.hstack([posed, np.ones((len(posed), 1))])[:, :, None])[:, :3, 0]


@pytest.mark.parametrize("name", list(flame.JAW_UNITS))
def test_a_jaw_unit_is_the_posed_head_less_the_one_at_rest(fields, name):
    axis, degrees = flame.JAW_UNITS[name]
    pose = np.zeros((5, 3))
    pose[flame.JAW, axis] = np.radians(degrees)
    fields = fields | {"weights": fields["weights"] / fields["weights"].sum(1, keepdims=True)}
    unit = flame.jaw_units(fields["v_template"], fields, "f")[list(flame.JAW_UNITS).index(name)]
    assert np.allclose(unit, skinned(fields, pose) - skinned(fields, np.zeros((5, 3))), atol=1e-7)


def test_the_jaw_opens_downward_and_moves_to_its_side(fields):
    plain = fields | {"posedirs": np.zeros_like(fields["posedirs"])}
    parts = flame.flame_parts(plain, "f", Counts())
    model = writers.small_model(3, 3, 2)
    opened, left, right = parts.expression[:3, int(model.landmarks[8])] * parts.unit
    assert opened[1] < -0.15
    assert left[0] > 0.02
    assert np.allclose(left * [-1, 1, 1], right, atol=1e-3)


def test_a_selected_chumpy_array(fields):
    flat = fields["v_template"].reshape(-1)
    order = np.random.default_rng(0).permutation(flat.size)
    shuffled = np.empty_like(flat)
    shuffled[order] = flat
    selected = Record(
        "chumpy.reordering.Select",
        "",
        {"a": Record("chumpy.ch.Ch", "", {"x": shuffled}), "idxs": order, "preferred_shape": list(flat.shape)},
    )
    parts = flame.flame_parts(fields | {"v_template": selected}, "f", Counts())
    assert np.array_equal(parts.mean, fields["v_template"])


@pytest.mark.parametrize("name", flame.FIELDS)
def test_missing_fields_are_named(fields, name):
    tree = {key: value for key, value in fields.items() if key != name}
    with pytest.raises(FaceModelError, match=f"has no field '{name}'"):
        flame.flame_parts(tree, "f", Counts())


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("shapedirs", np.zeros((5675, 3, 300)), "300 components of identity, then"),
        ("posedirs", np.zeros((5675, 3, 35)), r"posedirs has shape .*, expected \(5675, 3, 36\)"),
        ("weights", np.zeros((5675, 24)), "weights has shape"),
        ("kintree_table", np.array([[0, 0, 0, 1, 1], [0, 1, 2, 3, 4]]), "does not hang the jaw on the neck"),
        ("v_template", "text", "v_template is str"),
        ("v_template", np.full((5675, 3), np.nan), "v_template has values that are not finite"),
        ("v_template", np.full((5675, 3), 1e300), "v_template has values that are not finite, or far too large"),
        ("f", np.array([[0, 1, 5675]]), "f has the vertices 0 to 5675, expected 0 to 5674"),
        ("f", np.array([[0, 1, 0.5]]), "f has fractions"),
        ("J_regressor", Record("scipy.sparse.csc.csc_matrix", "", {"data": np.ones(3)}), "damaged sparse matrix"),
        ("posedirs", Record("os.system", "", {"x": np.ones(3)}), "posedirs is os.system"),
    ],
)
def test_fields_that_do_not_fit(fields, name, value, message):
    with pytest.raises(FaceModelError, match=message):
        flame.flame_parts(fields | {name: value}, "f", Counts())


@pytest.mark.parametrize(
    "changes",
    [
        {"indices": np.array([0, 9, 1])},
        {"indptr": np.array([0, 1, 2])},
        {"indptr": np.array([0, 3, 1, 3, 3])},
        {"_shape": [5, 1 << 40]},
        {"_shape": "wide"},
    ],
)
def test_damaged_sparse_matrices(fields, changes):
    sound = {"data": np.ones(3), "indices": np.array([0, 1, 4]), "indptr": np.array([0, 1, 2, 3, 3]), "_shape": [5, 4]}
    with pytest.raises(FaceModelError, match="damaged sparse matrix"):
        flame._dense(Record("scipy.sparse.csc.csc_matrix", "", sound | changes), "J_regressor", "f")


def test_a_pickle_of_something_else(tmp_path):
    import pickle

    (tmp_path / "other.pkl").write_bytes(pickle.dumps({"alpha": [1, 2]}, protocol=2))
    with pytest.raises(FaceModelError, match="has no field 'v_template'"):
        read_face_model(tmp_path / "other.pkl")


def test_a_hostile_pickle_is_refused(tmp_path):
    (tmp_path / "bad.pkl").write_bytes(b"\x80\x02cos\nsystem\nX\x04\x00\x00\x00true\x85R.")
    with pytest.raises(FaceModelError, match=r"os\.system"):
        read_face_model(tmp_path / "bad.pkl")
