"""FaceReconstructor, the paper's differentiable face reconstruction network F: latent code to FaceParams."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path

import torch
from torch import Tensor, nn

from stylerig_fast.checkpoint import load_checkpoint, save_checkpoint
from stylerig_fast.errors import CheckpointError
from stylerig_fast.face import FFHQ_FOCAL, Camera, FaceModel
from stylerig_fast.param_layout import BLOCKS, ParamLayout
from stylerig_fast.params import FaceParams
from stylerig_fast.provenance import Provenance

# Where a face of an FFHQ-aligned crop sits, decimetres; the network learns the offset from it.
MEAN_TRANSLATION = (0.0, 0.0, -11.0)
# What one unit of the last layer means, so that every block learns at about the same speed.
OUTPUT_SCALE = {
    "identity": 1.0,
    "albedo": 1.0,
    "expression": 0.3,
    "illumination": 0.3,
    "rotation": 0.3,
    "translation": 0.5,
}
# Gamma of an even, white light: the network learns the offset from it.
MEAN_AMBIENT = 3.2


@dataclass(frozen=True)
class ReconstructorConfig:
    """Everything that decides the shape of a FaceReconstructor."""

    num_ws: int
    sizes: dict[str, int]
    expression_names: tuple[str, ...]
    focal: float = FFHQ_FOCAL  # image widths
    hidden: int = 512
    w_dim: int = 512
    provenance: Provenance = field(default_factory=Provenance)


class FaceReconstructor(nn.Module):
    """F: three fully connected layers with ELU between them (Tewari et al. 2020, section 4.2).

    The code is standardised by the statistics of the training set first, and the outputs start at an
    average face under an even light.
    """

    w_mean: Tensor
    w_std: Tensor
    out_mean: Tensor
    out_scale: Tensor

    def __init__(self, config: ReconstructorConfig) -> None:
        super().__init__()
        self.config = config
        layout, inputs = ParamLayout(config.sizes), config.num_ws * config.w_dim
        self.layers = nn.Sequential(
            nn.Linear(inputs, config.hidden),
            nn.ELU(),
            nn.Linear(config.hidden, config.hidden),
            nn.ELU(),
            nn.Linear(config.hidden, layout.size),
        )
        last = self.layers[-1]
        assert isinstance(last, nn.Linear)
        nn.init.normal_(last.weight, std=1e-3)
        nn.init.zeros_(last.bias)
        self.register_buffer("w_mean", torch.zeros(config.num_ws, config.w_dim))
        self.register_buffer("w_std", torch.ones(config.num_ws, config.w_dim))
        mean, scale = torch.zeros(layout.size), torch.ones(layout.size)
        blocks = layout.split(mean)
        blocks["illumination"][0] = MEAN_AMBIENT
        blocks["translation"].copy_(torch.tensor(MEAN_TRANSLATION))
        for name in BLOCKS:
            scale[layout.slice(name)] = OUTPUT_SCALE[name]
        self.register_buffer("out_mean", mean)
        self.register_buffer("out_scale", scale)

    @property
    def camera(self) -> Camera:
        """The camera that F was trained with."""
        return Camera(self.config.focal)

    def set_statistics(self, mean: Tensor, std: Tensor) -> None:
        """Sets what codes are standardised by.

        Args:
            mean: of the training codes, ``(num_ws, w_dim)``.
            std: their standard deviation, likewise.
        """
        self.w_mean.copy_(mean)
        self.w_std.copy_(std.clamp_min(1e-6))

    def vector(self, w: Tensor, noise: Tensor | None = None) -> Tensor:
        """F as a parameter vector.

        Args:
            w: codes ``(B, num_ws, w_dim)``.
            noise: added to the standardised code, same shape; training uses it as regularisation.

        Returns:
            ``(B, P)``, as `FaceParams.vector`.

        Raises:
            ValueError: wrong shape or dtype.
        """
        check_code(w, self.config.num_ws, self.config.w_dim)
        x = (w - self.w_mean) / self.w_std
        if noise is not None:
            x = x + noise
        return self.layers(x.flatten(1)) * self.out_scale + self.out_mean

    def forward(self, w: Tensor, noise: Tensor | None = None) -> FaceParams:
        """The parameters that F sees in codes.

        Args:
            w: ``(B, num_ws, w_dim)``.
            noise: ``(B, num_ws, w_dim)`` added to the standardised code, in training; none by default.
        """
        return FaceParams.from_vector(self.vector(w, noise), self.config.sizes, self.config.expression_names)

    def check_sizes(self, model: FaceModel) -> None:
        """Raises CheckpointError unless ``model`` has the parameters that these weights give."""
        if model.sizes != self.config.sizes or model.expression_names != self.config.expression_names:
            trained = self.config.provenance.face_model
            raise CheckpointError(
                f"the reconstructor was trained for the parameters of {trained!r} ({self.config.sizes}), not for those "
                f"of {model.name!r} ({model.sizes}); load that face model or train again"
            )

    def check_face_model(self, model: FaceModel) -> None:
        """Raises CheckpointError unless ``model`` is the one these weights were trained for."""
        self.check_sizes(model)
        found = Provenance(face_model=model.name, face_model_sha256=model.fingerprint())
        self.config.provenance.check("reconstructor", found)

    def save_pretrained(self, folder: str | Path, dtype: torch.dtype | None = None) -> None:
        """Writes a checkpoint folder.

        Args:
            folder: created if needed.
            dtype: weights are stored in this dtype; their own by default.
        """
        save_checkpoint(folder, "reconstructor", asdict(self.config), self.state_dict(), dtype)

    @classmethod
    def from_pretrained(cls, folder: str | Path, device: torch.device | str = "cpu") -> FaceReconstructor:
        """Reads a folder written by `save_pretrained`; CheckpointError when it is missing or damaged."""
        return load_checkpoint(folder, "reconstructor", cls.from_config).to(device)

    @classmethod
    def from_config(cls, config: Mapping[str, object]) -> FaceReconstructor:
        """An untrained F of a checkpoint's config."""
        values = dict(config)
        values["expression_names"] = tuple(values["expression_names"])  # type: ignore[arg-type]
        values["provenance"] = Provenance.read_from(values)
        return cls(ReconstructorConfig(**values))  # type: ignore[arg-type]


def check_code(w: Tensor, num_ws: int, w_dim: int) -> None:
    """Checks shape and dtype of a batch of codes; values are the Engine's affair, since looking at them waits on a GPU.

    Args:
        w: expected ``(B, num_ws, w_dim)``, floating point.
        num_ws: slots of a code.
        w_dim: length of one slot's code.

    Raises:
        ValueError: another shape or dtype.
    """
    if w.ndim != 3 or tuple(w.shape[1:]) != (num_ws, w_dim):
        raise ValueError(f"w has shape {tuple(w.shape)}, expected (B, {num_ws}, {w_dim})")
    if not w.is_floating_point():
        raise ValueError(f"w has dtype {w.dtype}, expected a floating-point one")
