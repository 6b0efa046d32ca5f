"""Argument checks: messages that name the argument, what was found and what was expected."""

from __future__ import annotations

import torch
from torch import Tensor

FLOATS = (torch.float32, torch.float64)
FLOAT32 = (torch.float32,)
# Of activations, where a generator's layers are computed.
PRECISIONS = (torch.float32, torch.bfloat16, torch.float16)


class Shapes:
    """Checks tensors of one call against each other: letters in a shape must agree wherever they occur."""

    def __init__(self, op: str) -> None:
        self.op = op
        self.sizes: dict[str, int] = {}
        self.device: torch.device | None = None
        self.dtype: torch.dtype | None = None

    def check(
        self, name: str, value: Tensor, shape: tuple[str | int, ...], dtypes: tuple[torch.dtype, ...] | None = None
    ) -> Tensor:
        """Raises ``ValueError`` if the tensor does not fit.

        Args:
            name: the argument.
            value: what was passed.
            shape: one letter or number per axis.
            dtypes: what is allowed; None means the floating-point dtype of the call's first such tensor.
        """
        if not isinstance(value, Tensor):
            raise ValueError(f"{self.op}: {name} is a {type(value).__name__}, expected a tensor {_text(shape)}")
        fits = value.ndim == len(shape)
        for axis, size in zip(shape, value.shape, strict=False):
            expected = self.sizes.setdefault(axis, size) if isinstance(axis, str) and fits else axis
            fits = fits and size == expected
        if not fits:
            known = ", ".join(f"{k} = {v}" for k, v in self.sizes.items() if k in shape)
            found = tuple(value.shape)
            raise ValueError(
                f"{self.op}: {name} has shape {found}, expected {_text(shape)}" + (f" with {known}" if known else "")
            )
        self._check_dtype(name, value, dtypes)
        if self.device is None:
            self.device = value.device
        elif value.device != self.device:
            raise ValueError(f"{self.op}: {name} is on {value.device}, the tensors before it on {self.device}")
        return value

    def _check_dtype(self, name: str, value: Tensor, dtypes: tuple[torch.dtype, ...] | None) -> None:
        if dtypes is None:
            dtypes = (self.dtype,) if self.dtype is not None else FLOATS
            if value.dtype in dtypes:
                self.dtype = value.dtype
        if value.dtype not in dtypes:
            expected = " or ".join(str(d) for d in dtypes)
            raise ValueError(f"{self.op}: {name} has dtype {value.dtype}, expected {expected}")


def check_focal(op: str, focal: float) -> None:
    """Raises ``ValueError`` unless the focal length is a positive number of image widths."""
    if not focal > 0:
        raise ValueError(f"{op}: focal must be a positive number of image widths, got {focal}")


def check_strides(
    op: str, *, contiguous: dict[str, Tensor | None] | None = None, rows: dict[str, Tensor | None] | None = None
) -> None:
    """Checks what the kernels read by pointer and row stride.

    Args:
        op: in the message.
        contiguous: tensors that have to be contiguous, by name; None fits.
        rows: tables ``(B, N)`` whose rows have to be, however far apart they lie, by name; None fits.

    Raises:
        ValueError: one of them is not.
    """
    for name, value in (contiguous or {}).items():
        if value is not None and not value.is_contiguous():
            raise ValueError(f"{op}: {name} has strides {value.stride()}, expected a contiguous tensor")
    for name, value in (rows or {}).items():
        if value is not None and value.shape[1] > 1 and value.stride(1) != 1:
            raise ValueError(f"{op}: {name} has strides {value.stride()}, expected contiguous rows")


def refuse_gradients(op: str, *tensors: Tensor | None) -> None:
    """Raises ``NotImplementedError`` if one of ``tensors`` requires a gradient here."""
    if torch.is_grad_enabled() and any(value is not None and value.requires_grad for value in tensors):
        raise NotImplementedError(f"{op}: there is no gradient; use torch.no_grad(), or Generator.synthesis")


def _text(shape: tuple[str | int, ...]) -> str:
    return "(" + ", ".join(str(axis) for axis in shape) + ("," if len(shape) == 1 else "") + ")"
