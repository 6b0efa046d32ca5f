"""Feature networks that the user brings: an ONNX file for identity (ArcFace and its kin) or realism (Inception).

Only ONNX: pickled and TorchScript modules run code when they are loaded. The file is walked first, and anything that
reaches beyond it is refused (`engine.backends.onnx_scan`).
"""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import numpy as np
import torch
from torch import Tensor

from stylerig_fast.engine.backends.onnx_scan import scan
from stylerig_fast.errors import BackendUnavailable, CheckpointError

Use = Literal["identity", "realism"]
# Where ArcFace's 112 px chips have the eyes, the nose's tip and the mouth's corners (deepinsight/insightface).
_CHIP_POINTS = ((38.2946, 51.6963), (73.5318, 51.5014), (56.0252, 71.7366), (41.5493, 92.3655), (70.7299, 92.2041))
_CHIP = 112


class FeatureNetwork:
    """A network from pictures to vectors.

    Identity networks get the face, aligned as ArcFace's 112 px chips and scaled to the input's size; realism networks
    the whole picture. Values are RGB in [-1, 1].

    Args:
        path: the ``.onnx`` file; one input ``(N, 3, S, S)`` float32, the first output is the vector.
        use: what it is for.

    Raises:
        BackendUnavailable: onnxruntime is not installed.
        CheckpointError: not an ONNX file, one that reaches beyond itself, or of another shape.
    """

    def __init__(self, path: Path, use: Use) -> None:
        if path.suffix.lower() != ".onnx":
            raise CheckpointError(
                f"{path}: expected an .onnx file; pickled and TorchScript modules run code when they are loaded: "
                "export the network with torch.onnx.export"
            )
        try:
            import onnxruntime
        except ImportError as error:
            raise BackendUnavailable(f"{path}: {error}; pip install onnxruntime") from error
        try:
            content = path.read_bytes()
        except OSError as error:
            raise CheckpointError(f"{path}: cannot be read ({error})") from error
        scan(content, path)
        try:
            options = onnxruntime.SessionOptions()
            options.intra_op_num_threads = 1
            self._session = onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
        except Exception as error:  # onnxruntime has a dozen of its own
            raise CheckpointError(f"{path}: onnxruntime cannot load it ({error})") from error
        first = self._session.get_inputs()[0]
        shape = list(first.shape)
        if len(shape) != 4 or shape[1] != 3 or shape[2] != shape[3] or not isinstance(shape[2], int):
            raise CheckpointError(f"{path}: its input is {shape}, expected (N, 3, S, S) with a fixed S")
        self.name, self.use, self.size = path.stem, use, int(shape[2])
        self._input = first.name

    def encode(self, images: Tensor, landmarks: Tensor) -> Tensor:
        """Vectors ``(B, D)`` float32 of pictures.

        Args:
            images: ``(B, H, H, 3)`` uint8.
            landmarks: ``(B, 68, 2)`` in image widths.
        """
        planes = images.permute(0, 3, 1, 2).float() / 127.5 - 1
        if self.use == "identity":
            planes = aligned(planes, landmarks.float(), self.size)
        else:
            size = (self.size, self.size)
            planes = torch.nn.functional.interpolate(planes, size=size, mode="bilinear", antialias=True)
        rows = [self._session.run(None, {self._input: plane[None].numpy()})[0] for plane in planes]
        return torch.from_numpy(np.concatenate(rows).reshape(len(rows), -1).astype(np.float32))


def aligned(planes: Tensor, landmarks: Tensor, size: int) -> Tensor:
    """Faces ``(B, 3, size, size)`` cut out of ``(B, 3, H, H)`` with eyes, nose and mouth where ArcFace expects them."""
    eyes = [landmarks[:, 36:42].mean(1), landmarks[:, 42:48].mean(1)]
    found = torch.stack([*eyes, landmarks[:, 30], landmarks[:, 48], landmarks[:, 54]], dim=1)
    target = landmarks.new_tensor(_CHIP_POINTS) / _CHIP
    # Least-squares similarity from chip to picture: z -> a z + b over complex numbers.
    z, y = torch.view_as_complex(target.contiguous()), torch.view_as_complex(found.contiguous())
    centred, centre = z - z.mean(), y.mean(1, keepdim=True)
    a = ((y - centre) * centred.conj()).sum(1, keepdim=True) / centred.abs().square().sum()
    b = centre - a * z.mean()
    unit = (torch.arange(size) + 0.5) / size
    grid = torch.complex(unit[None, :].expand(size, size).contiguous(), unit[:, None].expand(size, size).contiguous())
    picked = torch.view_as_real(a[..., None] * grid + b[..., None]) * 2 - 1
    return torch.nn.functional.grid_sample(planes, picked, align_corners=False)
