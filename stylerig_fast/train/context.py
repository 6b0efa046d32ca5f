"""What F cannot see: hair, clothes and background, as colours around the face that a code predicts.

The render loss looks at the face alone, so nothing in it keeps an edit from growing a hat. The colours of a coarse
ring of pixels around the face, regressed on the code over the training portraits, are cheap to evaluate without the
generator and are kept like the other parameters that an edit should not change.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import adaptive_avg_pool2d

from stylerig_fast.data.portraits import PortraitSet
from stylerig_fast.images import to_float

GRID = 16  # cells per side of the coarse picture
# Half axes of the ellipse that an FFHQ-aligned face fills, in picture widths, and its centre.
FACE_CENTRE, FACE_AXES = (0.5, 0.56), (0.3, 0.36)


def surroundings(portraits: PortraitSet) -> Tensor:
    """Colours of the coarse cells around the face, ``(N, M)`` in [0, 1]."""
    cells = (torch.arange(GRID) + 0.5) / GRID
    x, y = cells[None, :] - FACE_CENTRE[0], cells[:, None] - FACE_CENTRE[1]
    outside = (x / FACE_AXES[0]) ** 2 + (y / FACE_AXES[1]) ** 2 > 1
    blocks = torch.arange(len(portraits)).split(500)
    return torch.cat(
        [adaptive_avg_pool2d(to_float(portraits.images[index]), GRID)[:, :, outside].flatten(1) for index in blocks]
    )


def principal(values: Tensor, components: int) -> Tensor:
    """Scores ``(N, components)`` of the leading principal components, unit variance."""
    centred = values - values.mean(0)
    variance, turn = torch.linalg.eigh(centred.T @ centred / len(values))
    order = variance.argsort(descending=True)[:components]
    return centred @ turn[:, order] / variance[order].clamp_min(1e-12).sqrt()


def surroundings_map(codes: Tensor, scores: Tensor) -> Tensor:
    """Linear prediction ``(K, M)`` of the surroundings' principal components from the code.

    Args:
        codes: ``(N, K)`` whitened codes (unit variance, uncorrelated).
        scores: ``(N, M)`` principal components of the surroundings, unit variance.
    """
    # The codes are white, so that their covariance with the scores is the regression.
    return codes.T @ scores.to(codes) / len(codes)
