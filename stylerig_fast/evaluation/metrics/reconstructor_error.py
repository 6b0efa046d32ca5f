"""How well F describes portraits it has not seen: landmarks, pose and colour against what is stored with them."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from stylerig_fast.data.portraits import PortraitSet
from stylerig_fast.evaluation.metrics.results import Goal, Report
from stylerig_fast.face import Camera, FaceModel
from stylerig_fast.face.landmarks import INNER_49, OUTER_EYE_CORNERS, PAPER_66
from stylerig_fast.images import to_float
from stylerig_fast.measurement.pose import PoseEstimator
from stylerig_fast.measurement.statistics import Estimate, mean, ratio, slope
from stylerig_fast.params import FaceParams
from stylerig_fast.render import evaluate, render_loss

GOALS = {
    "landmarks.paper_66_percent": Goal(high=3.5),
    "pose.yaw_error": Goal(high=2.0),
    "pose.pitch_error": Goal(high=3.0),
    "colour.rms": Goal(high=0.09),
}


def reconstructor_error(
    predicted: Tensor, stored: Tensor, predicted_degrees: Tensor, stored_degrees: Tensor, photometric: Tensor
) -> dict[str, Estimate]:
    """Estimates of N portraits whose face was found.

    Args:
        predicted: ``(N, 68, 2)`` landmarks of the fitted face model, image widths.
        stored: ``(N, 68, 2)`` dlib landmarks.
        predicted_degrees: ``(N, 3)`` pose by F.
        stored_degrees: ``(N, 3)`` pose of the stored landmarks.
        photometric: ``(N,)`` mean squared colour error in the mask.

    Returns:
        Landmark errors in percent of the outer-eye distance, pose errors in degrees, colour in [0, 1].
    """
    a, b = OUTER_EYE_CORNERS
    eye = (stored[:, a] - stored[:, b]).norm(dim=-1, keepdim=True)
    error = 100 * (predicted - stored).norm(dim=-1) / eye
    estimates = {
        "landmarks.paper_66_percent": mean(error[:, list(PAPER_66)]),
        "landmarks.inner_49_percent": mean(error[:, list(INNER_49)]),
    }
    for column, name in enumerate(("yaw", "pitch", "roll")):
        found, truth = predicted_degrees[:, column].double(), stored_degrees[:, column].double()
        estimates[f"pose.{name}_error"] = mean((found - truth).abs())
        estimates[f"pose.{name}_bias"] = mean(found - truth)
        if name != "roll":  # the generator has hardly any roll: no slope to speak of
            estimates[f"pose.{name}_slope"] = slope((truth - truth.mean())[:, None], (found - found.mean())[:, None])
    squared = ratio(photometric, torch.ones_like(photometric))
    estimates["colour.rms"] = Estimate(squared.value**0.5, squared.low**0.5, squared.high**0.5, squared.n)
    return estimates


@torch.no_grad()
def measure_reconstructor(
    reconstructor: Callable[[Tensor], FaceParams],
    model: FaceModel,
    camera: Camera,
    portraits: PortraitSet,
    estimator: PoseEstimator | None = None,
    batch: int = 32,
) -> Report:
    """Runs F on portraits and compares what it says with what is stored.

    Args:
        reconstructor: codes ``(B, num_ws, 512)`` to complete FaceParams, on the model's device.
        model: the face model.
        camera: the camera F was trained with.
        portraits: held-out ones; those without a detected face are left out.
        estimator: pose of the stored landmarks; by default a fit of ``model``.
        batch: portraits at once.
    """
    device = model.mean.device
    rows = portraits.detected.nonzero()[:, 0]
    estimator = estimator or PoseEstimator(model, camera)
    landmarks, degrees, colours = [], [], []
    for part in rows.split(batch):
        params = reconstructor(portraits.ws(part).to(device))
        picture = to_float(portraits.images[part].to(device))
        stored = portraits.landmarks[part].to(device)
        landmarks.append(evaluate(model, params, camera).landmarks.cpu())
        degrees.append(params.pose_degrees().cpu())
        loss = render_loss(model, params, camera, picture, stored, stored.new_ones(68))
        colours.append(loss.photometric.cpu())
    stored = portraits.landmarks[rows]
    estimates = reconstructor_error(
        torch.cat(landmarks), stored, torch.cat(degrees), estimator.fit(stored).degrees, torch.cat(colours)
    )
    settings = {"portraits": len(rows), "without_face": len(portraits) - len(rows), "picture_size": portraits.size}
    return Report("Reconstructor on held-out portraits", estimates, GOALS, settings)
