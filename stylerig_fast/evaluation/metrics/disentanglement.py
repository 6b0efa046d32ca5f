"""DiscoFaceGAN's disentanglement score (Deng et al. 2020, section 4.2)."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from stylerig_fast.evaluation.metrics.registry import Estimates, register_metric
from stylerig_fast.measurement.edit_kinds import TRANSFER, core_kinds
from stylerig_fast.measurement.edit_runner import MeasuredEdits
from stylerig_fast.measurement.portrait_measures import PortraitStd
from stylerig_fast.measurement.statistics import Estimate
from stylerig_fast.param_layout import CONTROLS


@register_metric()
def disentanglement(measured: MeasuredEdits, std: PortraitStd) -> Estimates:
    """The score of each control, ``disentanglement.pose`` and so on, over the core edits of that control.

    One factor varies and the rest should stay: the standard deviation of its estimates over that of every other
    factor's, each in standard deviations over people, multiplied. Factors are the controls and the identity.
    """
    descriptor = measured.before.descriptor
    if descriptor is None:
        return {}
    factors = {control: [kind.measure for kind in core_kinds() if kind.control == control] for control in CONTROLS}
    identity_std = std.identity
    if identity_std is None:
        # Two people are apart by the square root of two times what one is from the mean.
        identity_std = float(torch.pdist(descriptor[measured.before.detected]).mean()) / math.sqrt(2)
    found = {}
    for factor in factors:
        results = [each for each in measured.core if each.edit.kind.control == factor and each.edit.kind != TRANSFER]
        if not results:
            continue
        varied = {}
        for name, measures in factors.items():
            columns = [
                torch.stack([measured.before.value(m), *(r.picture.value(m) for r in results)], dim=1) / std[m]
                for m in measures
            ]
            varied[name] = torch.stack([_variance(column[..., None]) for column in columns]).mean(0).sqrt()
        after = [r.picture.descriptor for r in results if r.picture.descriptor is not None]
        varied["identity"] = _variance(torch.stack([descriptor, *after], dim=1).double()).sqrt() / identity_std
        edited = torch.nanmean(varied.pop(factor))
        score = torch.stack([edited / torch.nanmean(other) for other in varied.values()]).prod()
        found[f"disentanglement.{factor}"] = Estimate(float(score), math.nan, math.nan, len(measured.before))
    return found


def _variance(values: Tensor) -> Tensor:
    """Variance ``(P,)`` over K pictures of ``(P, K, D)``, summed over D; NaN pictures are left out."""
    return (values - torch.nanmean(values, dim=1, keepdim=True)).square().nanmean(dim=1).sum(-1)
