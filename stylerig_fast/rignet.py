"""RigNet: (w, p) to an edited code w' = w + d.

Forms under one interface:

- ``linear``: the paper's (section 4.3): per slot a linear encoder 512 -> 32 and a linear decoder
  (32 + |p|) -> 512. Affine in (w, p): an edit is the same direction for everybody.
- ``subspace``: d lies in a joint PCA of W+ and is scaled by the deviation of the codes along each
  component, so that an edit cannot leave the directions in which real codes differ. It sees
  ``p - F(w)``, so that asking for what is there changes nothing, and what that adds to the squares
  of the head's angles, for what a turn from the front does either way (eyes close, mouths shut).
  A low-rank product of the request with the code and with F(w) makes the edit depend on the person.
- ``bilinear``: the same function with neighbouring matrices multiplied out, which is smaller and
  faster; what a trained ``subspace`` becomes (`SubspaceRigNet.compact`).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Literal

import torch
from torch import Tensor, nn

from stylerig_fast.checkpoint import load_checkpoint, save_checkpoint
from stylerig_fast.param_layout import BLOCKS, CONTROLS
from stylerig_fast.provenance import TrainedFor
from stylerig_fast.reconstructor import check_code

Form = Literal["linear", "subspace", "bilinear"]

# What a turn adds to the square of an angle counts up to this many squared deviations either way, about that of a turn
# from the front to 28 degrees of yaw: what pictures showed of turns of 20 degrees is not followed far beyond.
MOST_SQUARED = 5.0


@dataclass(frozen=True)
class RigConfig:
    """Everything that decides the shape of a RigNet."""

    num_ws: int
    sizes: dict[str, int]
    form: Form = "subspace"
    controls: tuple[str, ...] = ("pose", "expression", "illumination")
    w_dim: int = 512
    encoder: int = 32  # linear: width of the per-slot encoder
    components: int = 384  # subspace: joint principal components of W+
    rank: int = 64  # subspace, bilinear: rank of the product of request and code
    trained_for: TrainedFor = field(default_factory=TrainedFor)


def control_columns(sizes: Mapping[str, int], controls: tuple[str, ...]) -> Tensor:
    """Columns of ``FaceParams.vector`` that ``controls`` may change."""
    wanted = {CONTROLS[control] for control in controls}
    columns: list[int] = []
    start = 0
    for name in BLOCKS:
        if name in wanted:
            columns.extend(range(start, start + sizes[name]))
        start += sizes[name]
    return torch.tensor(columns)


def turn_columns(sizes: Mapping[str, int], controls: tuple[str, ...]) -> range:
    """Where the rotation lies among `control_columns`; empty where it is not controlled."""
    wanted = {CONTROLS[control] for control in controls}
    before = sum(sizes[name] for name in BLOCKS[: BLOCKS.index("rotation")] if name in wanted)
    return range(before, before + (sizes["rotation"] if "rotation" in wanted else 0))


class RigNet(nn.Module):
    """Base of every form.

    Attributes:
        gain: ``(C,)`` multiplies the request per edited coefficient, measured on pictures after training
            (see ``train.calibrate``); ones while training.
    """

    columns: Tensor
    gain: Tensor

    def __init__(self, config: RigConfig) -> None:
        super().__init__()
        unknown = [control for control in config.controls if control not in CONTROLS]
        if unknown or not config.controls:
            raise ValueError(f"unknown controls {unknown}; there are {', '.join(CONTROLS)}")
        self.config = config
        self.register_buffer("columns", control_columns(config.sizes, config.controls), persistent=False)
        self.register_buffer("gain", torch.ones(len(self.columns)))

    def forward(self, w: Tensor, params: Tensor, own: Tensor) -> Tensor:
        """The edited code.

        Args:
            w: ``(B, num_ws, w_dim)``.
            params: ``(B, P)`` the request, as ``FaceParams.vector``.
            own: ``(B, P)`` F(w), likewise.

        Returns:
            w' ``(B, num_ws, w_dim)``.
        """
        check_code(w, self.config.num_ws, self.config.w_dim)
        width = sum(self.config.sizes[name] for name in BLOCKS)
        for name, value in (("params", params), ("own", own)):
            if tuple(value.shape) != (w.shape[0], width):
                raise ValueError(f"{name} has shape {tuple(value.shape)}, expected ({w.shape[0]}, {width})")
        return w + self.offset(w, self.gained(params, own), own)

    def gained(self, params: Tensor, own: Tensor) -> Tensor:
        """The request with its distance from F(w) multiplied by the calibrated gain."""
        edited = own[:, self.columns] + self.gain * (params - own)[:, self.columns]
        return params.index_copy(1, self.columns, edited)

    def offset(self, w: Tensor, params: Tensor, own: Tensor) -> Tensor:
        """D ``(B, num_ws, w_dim)``."""
        raise NotImplementedError

    def save_pretrained(self, folder: str | Path, dtype: torch.dtype | None = None) -> None:
        save_checkpoint(folder, "rig", asdict(self.config), self.state_dict(), dtype)

    @staticmethod
    def from_pretrained(folder: str | Path, device: torch.device | str = "cpu") -> RigNet:
        """Reads a folder written by `save_pretrained`; CheckpointError when it is missing or damaged."""
        return load_checkpoint(folder, "rig", RigNet.from_config).to(device)

    @staticmethod
    def from_config(config: Mapping[str, object]) -> RigNet:
        values = dict(config)
        values["controls"] = tuple(values["controls"])  # type: ignore[arg-type]
        values["trained_for"] = TrainedFor.from_config(values.get("trained_for", {}))  # type: ignore[arg-type]
        return build(RigConfig(**values))  # type: ignore[arg-type]


class LinearRigNet(RigNet):
    """The paper's form: ``d_k = D_k [E_k w_k; p]`` per slot k."""

    w_mean: Tensor
    w_std: Tensor
    p_mean: Tensor
    p_std: Tensor

    def __init__(self, config: RigConfig) -> None:
        super().__init__(config)
        slots, width = config.num_ws, sum(config.sizes[name] for name in BLOCKS)
        for name, shape in (("w_mean", (slots, config.w_dim)), ("p_mean", (width,))):
            self.register_buffer(name, torch.zeros(shape))
            self.register_buffer(name.replace("mean", "std"), torch.ones(shape))
        self.encoder = nn.Parameter(torch.randn(slots, config.w_dim, config.encoder) / config.w_dim**0.5)
        self.decoder = nn.Parameter(1e-3 * torch.randn(slots, config.encoder + width, config.w_dim))
        self.bias = nn.Parameter(torch.zeros(slots, config.w_dim))

    def offset(self, w: Tensor, params: Tensor, own: Tensor) -> Tensor:
        code = torch.einsum("bsw,swe->bse", (w - self.w_mean) / self.w_std, self.encoder)
        request = ((params - self.p_mean) / self.p_std)[:, None].expand(-1, self.config.num_ws, -1)
        d = torch.einsum("bse,sew->bsw", torch.cat([code, request], dim=-1), self.decoder) + self.bias
        return d * self.w_std


class _PersonalRigNet(RigNet):
    """What the forms below share: the request that they see."""

    p_std: Tensor
    own_mean: Tensor

    def __init__(self, config: RigConfig) -> None:
        super().__init__(config)
        # Where the rotation is among the columns: the controls' blocks follow each other in the order of BLOCKS.
        self.turns = turn_columns(config.sizes, config.controls)
        self.register_buffer("p_std", torch.ones(len(self.columns)))
        self.register_buffer("own_mean", torch.zeros(sum(config.sizes[name] for name in BLOCKS)))

    def request(self, params: Tensor, own: Tensor) -> Tensor:
        """Q ``(B, C + T)``: the standardised ``p - F(w)`` of the controls, and what it adds to T angles' squares."""
        p, f = params[:, self.columns] / self.p_std, own[:, self.columns] / self.p_std
        # A slice: torch would copy a list of columns to the device, which waits there and cannot be captured.
        turns = slice(self.turns.start, self.turns.stop)
        squares = p[:, turns].square() - f[:, turns].square()
        return torch.cat([p - f, squares.clamp(-MOST_SQUARED, MOST_SQUARED)], dim=1)


class SubspaceRigNet(_PersonalRigNet):
    """``d = V sqrt(lambda) c`` with ``c = A q + U ((P q) * (Q y + R u))``.

    q is the request (`request`), y the whitened code, u the standardised F(w), V and lambda the joint PCA of W+.
    """

    w_mean: Tensor
    basis: Tensor
    deviation: Tensor
    own_std: Tensor

    def __init__(self, config: RigConfig) -> None:
        super().__init__(config)
        inputs, k, r = config.num_ws * config.w_dim, config.components, config.rank
        c, p = len(self.columns) + len(self.turns), len(self.own_mean)
        self.register_buffer("w_mean", torch.zeros(config.num_ws, config.w_dim))
        self.register_buffer("basis", torch.zeros(k, inputs))  # orthonormal rows
        self.register_buffer("deviation", torch.ones(k))
        self.register_buffer("own_std", torch.ones(p))
        self.direction = nn.Parameter(torch.zeros(c, k))
        self.request_factor = nn.Parameter(torch.randn(c, r) / c**0.5)
        self.code_factor = nn.Parameter(torch.randn(k, r) / k**0.5)
        self.own_factor = nn.Parameter(torch.randn(p, r) / p**0.5)
        self.product = nn.Parameter(torch.zeros(r, k))

    def person(self, w: Tensor, own: Tensor) -> Tensor:
        """``(B, K + P)``: y and u, what an edit may depend on; each of unit variance over people."""
        y = (w - self.w_mean).flatten(1) @ self.basis.T / self.deviation
        return torch.cat([y, (own - self.own_mean) / self.own_std], dim=1)

    def offset(self, w: Tensor, params: Tensor, own: Tensor) -> Tensor:
        q = self.request(params, own)
        person = self.person(w, own) @ torch.cat([self.code_factor, self.own_factor])
        c = q @ self.direction + ((q @ self.request_factor) * person) @ self.product
        return ((c * self.deviation) @ self.basis).unflatten(1, (self.config.num_ws, self.config.w_dim))

    @torch.no_grad()
    def compact(self) -> BilinearRigNet:
        """The same function as a `BilinearRigNet`."""
        result = BilinearRigNet(replace(self.config, form="bilinear"))
        for name in ("gain", "w_mean", "p_std", "own_mean", "request_factor"):
            getattr(result, name).copy_(getattr(self, name))
        result.code_factor.copy_((self.basis.T.double() / self.deviation) @ self.code_factor.double())
        result.own_factor.copy_(self.own_factor / self.own_std[:, None])
        result.change.copy_((torch.cat([self.direction, self.product]).double() * self.deviation) @ self.basis.double())
        return result


class BilinearRigNet(_PersonalRigNet):
    """``d = [q, (P q) * (Q (w - mean) + R (F(w) - mean))] D`` for the request q (`request`)."""

    w_mean: Tensor

    def __init__(self, config: RigConfig) -> None:
        super().__init__(config)
        width, r = config.num_ws * config.w_dim, config.rank
        c = len(self.columns) + len(self.turns)
        self.register_buffer("w_mean", torch.zeros(config.num_ws, config.w_dim))
        self.request_factor = nn.Parameter(torch.zeros(c, r))
        self.code_factor = nn.Parameter(torch.zeros(width, r))
        self.own_factor = nn.Parameter(torch.zeros(len(self.own_mean), r))
        self.change = nn.Parameter(torch.zeros(c + r, width))

    def offset(self, w: Tensor, params: Tensor, own: Tensor) -> Tensor:
        q = self.request(params, own)
        person = (w - self.w_mean).flatten(1) @ self.code_factor + (own - self.own_mean) @ self.own_factor
        d = torch.cat([q, (q @ self.request_factor) * person], dim=1) @ self.change
        return d.unflatten(1, (self.config.num_ws, self.config.w_dim))


FORMS: dict[str, type[RigNet]] = {"linear": LinearRigNet, "subspace": SubspaceRigNet, "bilinear": BilinearRigNet}


def build(config: RigConfig) -> RigNet:
    """A new RigNet of ``config.form``."""
    if config.form not in FORMS:
        raise ValueError(f"unknown form {config.form!r}; there are {', '.join(FORMS)}")
    return FORMS[config.form](config)
