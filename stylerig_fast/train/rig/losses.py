"""Losses of step 4: the paper's pairs, slider requests, and a penalty on side effects of what the training adds."""

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
from stylerig_fast.train.batch import PortraitBatch
from stylerig_fast.train.config import CycleWeights, RenderWeights
from stylerig_fast.train.render_objective import RenderObjective
from stylerig_fast.train.rig.slider_requests import SurfaceObjective, draw_slider_requests


class RigLosses:
    """The losses of RigNet for one face model, F and set of controls."""

    def __init__(
        self,
        model: FaceModel,
        reconstructor: FaceReconstructor,
        rig: RigNet,
        latent_pca: LatentPCA,
        penalty: Tensor,
        render: RenderWeights,
        weights: CycleWeights,
        compare: Literal["pictures", "parameters"] = "pictures",
    ) -> None:
        """Takes the rig as it starts.

        Args:
            model: the face model, on the training device.
            reconstructor: the frozen F.
            rig: the RigNet to be trained; side effects count beyond those it has now.
            latent_pca: the principal components of W+.
            penalty: ``(K, K)`` the matrix of side effects (`LinearEditModel.side_effect_penalty`).
            render: weights of the render loss.
            weights: of the losses.
            compare: pairs by rendering F's parameters, or by the parameters themselves.
        """
        self.model, self.reconstructor, self.rig = model, reconstructor, rig
        self.weights, self.compare, controls = weights, compare, rig.config.controls
        self.latent_pca, self.penalty = latent_pca, penalty
        self.objective = RenderObjective(model, reconstructor.camera, render)
        self.surface = SurfaceObjective(model, reconstructor.camera)
        self.start = copy.deepcopy(rig).requires_grad_(False)
        layout = ParamLayout(model.sizes)
        self.edited = torch.zeros(len(controls), layout.size, dtype=torch.bool, device=model.mean.device)
        for row, control in enumerate(controls):
            self.edited[row, layout.columns((control,))] = True
        # Translation is neither edited nor preserved: a turned head may move in the crop (the paper's supplement).
        self.preserved = ~self.edited
        self.preserved[:, -model.sizes["translation"] :] = False

    def _params(self, vector: Tensor) -> FaceParams:
        return FaceParams.from_vector(vector, self.model.sizes, self.model.expression_names)

    def pairs(self, first: PortraitBatch, second: PortraitBatch, p_w: Tensor, p_v: Tensor) -> dict[str, Tensor]:
        """L_rec, L_edit and L_consist of editing w toward v, one sample per pair and control.

        Args:
            first: B portraits of codes w.
            second: B portraits of codes v.
            p_w: ``(B, P)`` F(w).
            p_v: ``(B, P)`` F(v).

        Returns:
            Weighted scalars.
        """
        weights, controls, count = self.weights, len(self.rig.config.controls), len(p_w)
        rows = torch.arange(count, device=p_w.device).repeat(controls)
        edited = self.edited.repeat_interleave(count, 0)
        preserved = self.preserved.repeat_interleave(count, 0)
        w, source, other = first.w[rows], p_w[rows], p_v[rows]
        target = torch.where(edited, other, source)
        edited_code = self.rig(w, target, source)
        p_edited = self.reconstructor.vector(edited_code)
        # L_edit is scored against I_v, L_consist against I_w: the other way round trains the edit away.
        edit = torch.where(edited, p_edited, other)
        consist = torch.where(preserved, p_edited, source)
        if self.compare == "pictures":
            image = torch.cat([second.image[rows], first.image[rows]])
            points = torch.cat([second.landmarks[rows], first.landmarks[rows]])
            detected = torch.cat([second.detected[rows], first.detected[rows]])
            rendered = self.objective(self._params(torch.cat([edit, consist])), image, points, detected)
            total = torch.stack(list(rendered.values())).sum(0)
        else:
            difference = torch.cat([edit - other, consist - source]) / self.reconstructor.out_scale
            total = difference.square().mean(1)
        unedited = self.rig(first.w, p_w, p_w)
        return {
            "rec": weights.reconstruction * ((unedited - first.w) / self.reconstructor.w_std).square().mean(),
            "edit": weights.edit * total[: len(rows)].mean(),
            "consist": weights.consistency * total[len(rows) :].mean(),
            "side_effects": self.side_effects(edited_code, w, target, source),
        }

    def side_effects(self, edited: Tensor, w: Tensor, target: Tensor, source: Tensor) -> Tensor:
        """Weighted side effects of edited codes beyond those of the rig at its start, a scalar.

        Args:
            edited: ``(B, num_ws, 512)`` the codes as the rig edits them now.
            w: ``(B, num_ws, 512)`` the codes before.
            target: ``(B, P)`` parameters wanted.
            source: ``(B, P)`` F(w).
        """
        added = self.latent_pca.whiten_offset(edited - self.start(w, target, source))
        return self.weights.side_effects * torch.einsum("bi,ij,bj->b", added, self.penalty, added).mean()

    def draw_targets(self, source: Tensor, draw: torch.Generator) -> Tensor:
        """Targets ``(B, P)`` of random slider requests to people of F ``source`` ``(B, P)``, both on the CPU."""
        return draw_slider_requests(self._params(source), draw, self.rig.config.controls).vector()

    def requests(self, w: Tensor, source: Tensor, target: Tensor) -> dict[str, Tensor]:
        """Slider requests, compared on the surface: pose and light should be the target's, the identity the same.

        The expression is taken from the target: F sees expressions too weakly, and would have them exaggerated.

        Args:
            w: ``(B, num_ws, 512)`` codes.
            source: ``(B, P)`` F(w).
            target: ``(B, P)`` of `draw_targets`.

        Returns:
            Weighted scalars.
        """
        weights, wanted = self.weights, self._params(target)
        edited_code = self.rig(w, target, source)
        edited = self._params(self.reconstructor.vector(edited_code))
        edited = edited.with_blocks(expression=wanted.blocks["expression"])
        # Translation follows F: it is neither edited nor preserved.
        wanted = wanted.with_blocks(translation=edited.blocks["translation"].detach())
        distance, colour = self.surface(edited, wanted)
        return {
            "surface": weights.surface * distance.mean(),
            "shading": weights.shading * colour.mean(),
            "request_side_effects": self.side_effects(edited_code, w, target, source),
        }
