"""The losses of RigNet: the paper's pairs, slider requests, and a price on what the rig adds to its start."""

from __future__ import annotations

import copy
from typing import Literal

import torch
from torch import Tensor

from stylerig_fast.data.latent_pca import LatentPCA
from stylerig_fast.face import FaceModel
from stylerig_fast.param_layout import ParamLayout
from stylerig_fast.params import FaceParams
from stylerig_fast.reconstructor import FaceReconstructor
from stylerig_fast.rignet import RigNet
from stylerig_fast.train.batches import Batch
from stylerig_fast.train.objective import RenderObjective, RenderWeights
from stylerig_fast.train.requests import SurfaceObjective, draw_requests
from stylerig_fast.train.weights import RigWeights


class RigLosses:
    """The losses of RigNet for one face model, F and set of controls."""

    def __init__(
        self,
        model: FaceModel,
        reconstructor: FaceReconstructor,
        rig: RigNet,
        space: LatentPCA,
        price: Tensor,
        render: RenderWeights,
        weights: RigWeights,
        compare: Literal["pictures", "parameters"] = "pictures",
    ) -> None:
        self.model, self.reconstructor, self.rig = model, reconstructor, rig
        self.weights, self.compare, controls = weights, compare, rig.config.controls
        self.space, self.price = space, price
        self.objective = RenderObjective(model, reconstructor.camera, render)
        self.surface = SurfaceObjective(model, reconstructor.camera)
        # The rig pays for what it adds to its start.
        self.start = copy.deepcopy(rig).requires_grad_(False)
        layout = ParamLayout(model.sizes)
        self.edited = torch.zeros(len(controls), layout.size, dtype=torch.bool, device=model.mean.device)
        for row, control in enumerate(controls):
            self.edited[row, layout.columns((control,))] = True
        # Translation is neither edited nor kept: a turned head may move in the crop (the paper's supplement).
        self.kept = ~self.edited
        self.kept[:, layout.slice("translation")] = False

    def _params(self, vector: Tensor) -> FaceParams:
        return FaceParams.from_vector(vector, self.model.sizes, self.model.expression_names)

    def pairs(self, first: Batch, second: Batch, own_w: Tensor, own_v: Tensor) -> dict[str, Tensor]:
        """L_rec, L_edit and L_consist of editing w toward v, one sample per pair and control."""
        weights, controls = self.weights, len(self.rig.config.controls)
        rows = torch.arange(len(own_w), device=own_w.device).repeat(controls)
        edited = self.edited.repeat_interleave(len(own_w), 0)
        kept = self.kept.repeat_interleave(len(own_w), 0)
        w, p_w, p_v = first.w[rows], own_w[rows], own_v[rows]
        edited_code = self.rig(w, torch.where(edited, p_v, p_w), p_w)
        seen = self.reconstructor.vector(edited_code)
        # L_edit is scored against I_v, L_consist against I_w: the other way round trains the edit away.
        edit = torch.where(edited, seen, p_v)
        consist = torch.where(kept, seen, p_w)
        target = torch.cat([second.image[rows], first.image[rows]])
        points = torch.cat([second.landmarks[rows], first.landmarks[rows]])
        detected = torch.cat([second.detected[rows], first.detected[rows]])
        if self.compare == "pictures":
            rendered = self.objective(self._params(torch.cat([edit, consist])), target, points, detected)
            total = torch.stack(list(rendered.values())).sum(0)
        else:
            wrong = torch.cat([edit - p_v, consist - p_w]) / self.reconstructor.out_scale
            total = wrong.square().mean(1)
        same = self.rig(first.w, own_w, own_w)
        std = self.reconstructor.w_std
        return {
            "rec": weights.reconstruction * ((same - first.w) / std).square().mean(),
            "edit": weights.edit * total[: len(rows)].mean(),
            "consist": weights.consistency * total[len(rows) :].mean(),
            "price": self.priced(edited_code, w, torch.where(edited, p_v, p_w), p_w),
        }

    def priced(self, edited: Tensor, w: Tensor, params: Tensor, own: Tensor) -> Tensor:
        """What edited codes change unasked, beyond what the rig changed at its start."""
        added = self.space.deviations(edited - self.start(w, params, own))
        return self.weights.price * torch.einsum("bi,ij,bj->b", added, self.price, added).mean()

    def ask(self, own: Tensor, draw: torch.Generator) -> Tensor:
        """Random slider requests ``(B, P)`` to people of F ``own`` ``(B, P)``, both on the CPU; see `draw_requests`."""
        return draw_requests(self._params(own), draw, self.rig.config.controls).vector()

    def requests(self, w: Tensor, own: Tensor, asked: Tensor) -> dict[str, Tensor]:
        """Slider requests ``asked`` scored on the surface: pose and light are as asked, the identity stays.

        Of expressions F sees too little to be asked: what it misses of a smile, it would have exaggerated.
        """
        weights, wanted = self.weights, self._params(asked)
        edited_code = self.rig(w, asked, own)
        seen = self._params(self.reconstructor.vector(edited_code))
        seen = seen.with_blocks(expression=wanted.blocks["expression"])
        # Translation follows F: it is neither edited nor kept.
        target = wanted.with_blocks(translation=seen.blocks["translation"].detach())
        distance, colour = self.surface(seen, target)
        return {
            "surface": weights.surface * distance.mean(),
            "shading": weights.shading * colour.mean(),
            "request_price": self.priced(edited_code, w, asked, own),
        }
