"""What the backends that run exported graphs share: the folder, batches, smaller pictures."""

from __future__ import annotations

from abc import abstractmethod

import torch
from torch import Tensor
from torch.nn import functional as F

from stylerig_fast.engine.backends.base import BackendSpec
from stylerig_fast.engine.backends.graph_folder import PRECISIONS, GraphFolder
from stylerig_fast.errors import BackendUnavailable


class GraphBackend:
    """Codes to pictures with the graphs of an export folder.

    Smaller pictures than the graphs' are box means of their bytes, which were cut off at black and white before; other
    backends take the mean first. Where much of a box is cut off, at glints and in black hair, they differ.

    Attributes:
        name: as in `backend.BACKENDS`.
        graphs: the folder.
        at_once: how many pictures a graph that takes any batch is asked for at a time.
    """

    name: str
    at_once: int = 1

    def __init__(self, spec: BackendSpec) -> None:
        """Opens the folder.

        Raises:
            BackendUnavailable: there is no folder, or it was exported in another precision than the Engine's.
            CheckpointError: the folder is damaged, or its graphs were made of other parts.
        """
        spec.refuse_early(self.name)
        if spec.graphs is None:
            raise BackendUnavailable(
                f"the {self.name} backend runs exported graphs; write them with `stylerig export onnx --out FOLDER` "
                "and pass graphs=FOLDER"
            )
        self.graphs = GraphFolder(spec.graphs)
        self.device = spec.device
        manifest = self.graphs.manifest
        if PRECISIONS[manifest.precision] != spec.dtype:
            raise BackendUnavailable(
                f"{self.graphs.folder}: graphs in {manifest.precision}, the Engine was asked for {spec.dtype}; pass "
                f"dtype={PRECISIONS[manifest.precision]}, or export them again"
            )
        self.graphs.check_sizes(spec.generator, spec.rig)
        if not spec.allow_mismatch:
            self.graphs.check_parts(spec.generator, spec.rig)

    @abstractmethod
    def run(self, graph: str, *values: Tensor) -> Tensor:
        """The pictures ``(B, R, R, 3)`` of "generator" or "edit" for a batch that the graph takes."""

    def pictures(self, w: Tensor, resolution: int) -> Tensor:
        """See `backend.Backend`."""
        return self._draw("generator", resolution, w)

    def edit(self, w: Tensor, params: Tensor, source: Tensor, resolution: int) -> Tensor:
        """See `backend.Backend`."""
        return self._draw("edit", resolution, w, params, source)

    def describe(self) -> dict[str, object]:
        manifest = self.graphs.manifest
        return {
            "graphs": str(self.graphs.folder),
            "precision": manifest.precision,
            "batch": manifest.batch,
            "resolution": manifest.resolution,
        }

    def _draw(self, graph: str, resolution: int, *values: Tensor) -> Tensor:
        full = self.graphs.manifest.resolution
        if resolution > full:
            raise ValueError(
                f"{self.graphs.folder}: graphs of {full} px cannot make {resolution} px; export at that resolution"
            )
        batch = len(values[0])
        out = torch.empty(batch, resolution, resolution, 3, dtype=torch.uint8, device=self.device)
        size = self.graphs.manifest.static_batch or self.at_once
        for first in range(0, batch, size):
            part = [value[first : first + size] for value in values]
            count = len(part[0])
            if self.graphs.manifest.static_batch and count < size:
                part = [torch.cat([value, value[-1:].expand(size - count, *value.shape[1:])]) for value in part]
            images = self.run(graph, *(value.to(torch.float32).contiguous() for value in part))[:count]
            out[first : first + count] = images if resolution == full else _box_mean(images, full // resolution)
        return out


def _box_mean(images: Tensor, box: int) -> Tensor:
    """``(B, H, W, 3)`` levels averaged over squares of so many pixels."""
    mean = F.avg_pool2d(images.permute(0, 3, 1, 2).float(), box)
    return mean.round_().to(torch.uint8).permute(0, 2, 3, 1)
