"""RigNet: (w, p) to an edited code w' = w + d, where p is the target and p_w = F(w) the source.

Forms under one interface:

- ``linear``: the paper's (section 4.3): per slot a linear encoder 512 -> 32 and a linear decoder
  (32 + |p|) -> 512. Affine in (w, p): an edit is the same direction for everybody.
- ``subspace``: d lies in a joint PCA of W+ and is scaled by the standard deviation of the codes along
  each component, so that an edit cannot leave the directions in which real codes differ. Its input is
  ``p - p_w``, so that a target equal to the source changes nothing, and the change of the squared
  components of the rotation, for effects of a turn that are the same to either side (eyes close,
  mouths shut). A low-rank product of this input with the code and with p_w makes the edit depend on
  the person.
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
from stylerig_fast.param_layout import CONTROLS, ParamLayout
from stylerig_fast.provenance import Provenance
from stylerig_fast.reconstructor import check_code

Form = Literal["linear", "subspace", "bilinear"]

# The change of a squared rotation component is cut off at this value either way, in squared standard deviations: that
# of a turn from the front to about 28 degrees of yaw. Its effect was measured on turns of 20 degrees and is not
# extrapolated far.
SQUARE_LIMIT = 5.0
# Tensors of checkpoints of format 1 that have another name today.
RENAMED = {
    "own_mean": "source_mean",
    "own_std": "source_std",
    "own_factor": "source_factor",
    "request_factor": "delta_factor",
    "deviation": "std",
}


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
    rank: int = 64  # subspace, bilinear: rank of the product of the delta with the person
    provenance: Provenance = field(default_factory=Provenance)


class RigNet(nn.Module):
    """Base of every form.

    Attributes:
        config: what decides the shapes; B codes, P parameters in all, C of them in the blocks of the controls.
        columns: ``(C,)`` where those lie in a parameter vector.
        gain: ``(C,)`` multiplies the delta of each edited coefficient. It is measured on edited pictures after
            training; ones until then.
    """

    columns: Tensor
    gain: Tensor

    def __init__(self, config: RigConfig) -> None:
        super().__init__()
        if not config.controls:
            raise ValueError(f"a rig without controls; there are {', '.join(CONTROLS)}")
        self.config = config
        self.layout = ParamLayout(config.sizes)
        self.register_buffer("columns", self.layout.columns(config.controls), persistent=False)
        self.register_buffer("gain", torch.ones(len(self.columns)))

    def forward(self, w: Tensor, params: Tensor, source: Tensor) -> Tensor:
        """The edited code.

        Args:
            w: ``(B, num_ws, w_dim)``.
            params: ``(B, P)`` the target, as ``FaceParams.vector``.
            source: ``(B, P)`` F(w), likewise.

        Returns:
            w' ``(B, num_ws, w_dim)``.

        Raises:
            ValueError: wrong shapes.
        """
        check_code(w, self.config.num_ws, self.config.w_dim)
        for name, value in (("params", params), ("source", source)):
            if tuple(value.shape) != (w.shape[0], self.layout.size):
                raise ValueError(f"{name} has shape {tuple(value.shape)}, expected ({w.shape[0]}, {self.layout.size})")
        return w + self.offset(w, self.calibrated(params, source), source)

    def calibrated(self, params: Tensor, source: Tensor) -> Tensor:
        """The target with its edited coefficients moved to ``source + gain * (params - source)``.

        Args:
            params: ``(B, P)`` the target.
            source: ``(B, P)`` F(w).

        Returns:
            ``(B, P)``.
        """
        edited = source[:, self.columns] + self.gain * (params - source)[:, self.columns]
        return params.index_copy(1, self.columns, edited)

    def offset(self, w: Tensor, params: Tensor, source: Tensor) -> Tensor:
        """The offset d that is added to the code.

        Args:
            w: ``(B, num_ws, w_dim)``.
            params: ``(B, P)`` the target, `calibrated`.
            source: ``(B, P)`` F(w).

        Returns:
            ``(B, num_ws, w_dim)``.
        """
        raise NotImplementedError

    def save_pretrained(self, folder: str | Path, dtype: torch.dtype | None = None) -> None:
        """Writes ``config.json`` and ``model.safetensors``.

        Args:
            folder: created if needed.
            dtype: of the stored weights; their own by default.
        """
        save_checkpoint(folder, "rig", asdict(self.config), self.state_dict(), dtype)

    @staticmethod
    def from_pretrained(folder: str | Path, device: torch.device | str = "cpu") -> RigNet:
        """Reads a folder written by `save_pretrained`; CheckpointError when it is missing or damaged."""
        return load_checkpoint(folder, "rig", RigNet.from_config, RENAMED).to(device)

    @staticmethod
    def from_config(config: Mapping[str, object]) -> RigNet:
        """An untrained rig of a checkpoint's config."""
        values = dict(config)
        values["controls"] = tuple(values["controls"])  # type: ignore[arg-type]
        values["provenance"] = Provenance.read_from(values)
        return build(RigConfig(**values))  # type: ignore[arg-type]


class LinearRigNet(RigNet):
    """The paper's form: ``d_k = D_k [E_k w_k; p]`` per slot k."""

    w_mean: Tensor
    w_std: Tensor
    p_mean: Tensor
    p_std: Tensor

    def __init__(self, config: RigConfig) -> None:
        super().__init__(config)
        slots, width = config.num_ws, self.layout.size
        for name, shape in (("w_mean", (slots, config.w_dim)), ("p_mean", (width,))):
            self.register_buffer(name, torch.zeros(shape))
            self.register_buffer(name.replace("mean", "std"), torch.ones(shape))
        self.encoder = nn.Parameter(torch.randn(slots, config.w_dim, config.encoder) / config.w_dim**0.5)
        self.decoder = nn.Parameter(1e-3 * torch.randn(slots, config.encoder + width, config.w_dim))
        self.bias = nn.Parameter(torch.zeros(slots, config.w_dim))

    def offset(self, w: Tensor, params: Tensor, source: Tensor) -> Tensor:
        code = torch.einsum("bsw,swe->bse", (w - self.w_mean) / self.w_std, self.encoder)
        target = ((params - self.p_mean) / self.p_std)[:, None].expand(-1, self.config.num_ws, -1)
        d = torch.einsum("bse,sew->bsw", torch.cat([code, target], dim=-1), self.decoder) + self.bias
        return d * self.w_std


class _DeltaRigNet(RigNet):
    """Base of the forms whose offset is a function of the delta ``p - p_w``.

    Attributes:
        turns: where the T components of the rotation lie among ``columns``; T is 3, or 0 if the pose is no control.
        p_std: ``(C,)`` unit of each edited coefficient, about its standard deviation over people.
        source_mean: ``(P,)`` mean of F(w) over people.
    """

    p_std: Tensor
    source_mean: Tensor

    def __init__(self, config: RigConfig) -> None:
        super().__init__(config)
        self.turns = self.layout.within("rotation", config.controls)
        self.register_buffer("p_std", torch.ones(len(self.columns)))
        self.register_buffer("source_mean", torch.zeros(self.layout.size))

    def delta(self, params: Tensor, source: Tensor) -> Tensor:
        """The input q of an edit: ``(p - p_w) / p_std`` of the edited coefficients, and the change of T squares.

        Args:
            params: ``(B, P)`` the target p.
            source: ``(B, P)`` p_w.

        Returns:
            ``(B, C + T)``; the last T are ``(p / p_std)^2 - (p_w / p_std)^2`` of the rotation, within
            ``±SQUARE_LIMIT``.
        """
        p, f = params[:, self.columns] / self.p_std, source[:, self.columns] / self.p_std
        # A slice: torch would copy a list of columns to the device, which waits there and cannot be captured.
        turns = slice(self.turns.start, self.turns.stop)
        squares = p[:, turns].square() - f[:, turns].square()
        return torch.cat([p - f, squares.clamp(-SQUARE_LIMIT, SQUARE_LIMIT)], dim=1)


class SubspaceRigNet(_DeltaRigNet):
    """``d = V sqrt(lambda) c`` with ``c = A q + U ((P q) * (Q y + R u))``.

    q is the input (`delta`), y the whitened code, u the standardised F(w), V and lambda the joint PCA of W+ with K
    components; the product has rank r.

    Attributes:
        w_mean: ``(num_ws, w_dim)`` mean code.
        basis: V, ``(K, num_ws * w_dim)``, orthonormal rows.
        std: sqrt(lambda), ``(K,)``.
        source_std: ``(P,)`` standard deviation of F(w) over people.
        direction: A, ``(C + T, K)``.
        delta_factor: P, ``(C + T, r)``.
        code_factor: Q, ``(K, r)``.
        source_factor: R, ``(P, r)``.
        product: U, ``(r, K)``.
    """

    w_mean: Tensor
    basis: Tensor
    std: Tensor
    source_std: Tensor

    def __init__(self, config: RigConfig) -> None:
        super().__init__(config)
        inputs, k, r = config.num_ws * config.w_dim, config.components, config.rank
        c, p = len(self.columns) + len(self.turns), len(self.source_mean)
        self.register_buffer("w_mean", torch.zeros(config.num_ws, config.w_dim))
        self.register_buffer("basis", torch.zeros(k, inputs))  # orthonormal rows
        self.register_buffer("std", torch.ones(k))
        self.register_buffer("source_std", torch.ones(p))
        self.direction = nn.Parameter(torch.zeros(c, k))
        self.delta_factor = nn.Parameter(torch.randn(c, r) / c**0.5)
        self.code_factor = nn.Parameter(torch.randn(k, r) / k**0.5)
        self.source_factor = nn.Parameter(torch.randn(p, r) / p**0.5)
        self.product = nn.Parameter(torch.zeros(r, k))

    def person(self, w: Tensor, source: Tensor) -> Tensor:
        """What an edit may depend on besides q: y and u, each of unit variance over people.

        Args:
            w: ``(B, num_ws, w_dim)``.
            source: ``(B, P)`` F(w).

        Returns:
            ``(B, K + P)``.
        """
        y = (w - self.w_mean).flatten(1) @ self.basis.T / self.std
        return torch.cat([y, (source - self.source_mean) / self.source_std], dim=1)

    def offset(self, w: Tensor, params: Tensor, source: Tensor) -> Tensor:
        q = self.delta(params, source)
        person = self.person(w, source) @ torch.cat([self.code_factor, self.source_factor])
        c = q @ self.direction + ((q @ self.delta_factor) * person) @ self.product
        return ((c * self.std) @ self.basis).unflatten(1, (self.config.num_ws, self.config.w_dim))

    @torch.no_grad()
    def compact(self) -> BilinearRigNet:
        """The same function as a `BilinearRigNet`."""
        result = BilinearRigNet(replace(self.config, form="bilinear"))
        for name in ("gain", "w_mean", "p_std", "source_mean", "delta_factor"):
            getattr(result, name).copy_(getattr(self, name))
        result.code_factor.copy_((self.basis.T.double() / self.std) @ self.code_factor.double())
        result.source_factor.copy_(self.source_factor / self.source_std[:, None])
        result.change.copy_((torch.cat([self.direction, self.product]).double() * self.std) @ self.basis.double())
        return result


class BilinearRigNet(_DeltaRigNet):
    """``d = [q, (P q) * (Q (w - w_mean) + R (F(w) - source_mean))] D`` for the input q (`delta`).

    Attributes:
        w_mean: ``(num_ws, w_dim)`` mean code.
        delta_factor: P, ``(C + T, r)``.
        code_factor: Q, ``(num_ws * w_dim, r)``.
        source_factor: R, ``(P, r)``.
        change: D, ``(C + T + r, num_ws * w_dim)``.
    """

    w_mean: Tensor

    def __init__(self, config: RigConfig) -> None:
        super().__init__(config)
        width, r = config.num_ws * config.w_dim, config.rank
        c = len(self.columns) + len(self.turns)
        self.register_buffer("w_mean", torch.zeros(config.num_ws, config.w_dim))
        self.delta_factor = nn.Parameter(torch.zeros(c, r))
        self.code_factor = nn.Parameter(torch.zeros(width, r))
        self.source_factor = nn.Parameter(torch.zeros(len(self.source_mean), r))
        self.change = nn.Parameter(torch.zeros(c + r, width))

    def offset(self, w: Tensor, params: Tensor, source: Tensor) -> Tensor:
        q = self.delta(params, source)
        person = (w - self.w_mean).flatten(1) @ self.code_factor + (source - self.source_mean) @ self.source_factor
        d = torch.cat([q, (q @ self.delta_factor) * person], dim=1) @ self.change
        return d.unflatten(1, (self.config.num_ws, self.config.w_dim))


FORMS: dict[str, type[RigNet]] = {"linear": LinearRigNet, "subspace": SubspaceRigNet, "bilinear": BilinearRigNet}


def build(config: RigConfig) -> RigNet:
    """A new RigNet of ``config.form``.

    Raises:
        ValueError: unknown form or control.
    """
    if config.form not in FORMS:
        raise ValueError(f"unknown form {config.form!r}; there are {', '.join(FORMS)}")
    return FORMS[config.form](config)
