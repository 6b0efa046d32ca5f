"""The tensors of a checkpoint while they are being taken out of it: none may be missing, none left over."""

from __future__ import annotations

from collections.abc import Mapping
from types import TracebackType

import numpy as np
import torch
from torch import Tensor

from stylerig_fast.errors import CheckpointError


class Tensors:
    """A checkpoint's arrays by name. Used in a ``with``, whose end is an error if something was not taken.

    Example::

        with Tensors(arrays, "ffhq.pkl") as tensors:
            state["mapping.0.weight"] = tensors.take("mapping.fc0.weight", (512, 512)) * gain
    """

    def __init__(self, arrays: Mapping[str, np.ndarray], where: str) -> None:
        self._left = dict(arrays)
        self.where = where

    def __contains__(self, name: str) -> bool:
        return name in self._left

    def __iter__(self):  # type: ignore[no-untyped-def]
        """Names of what has not been taken yet."""
        return iter(list(self._left))

    def shape(self, name: str) -> tuple[int, ...]:
        """The shape of a tensor, which stays there."""
        return self._find(name).shape

    def take(self, name: str, shape: tuple[int | None, ...] | None = None) -> Tensor:
        """A tensor in float32, taken out.

        Args:
            name: of the checkpoint.
            shape: what is expected; None in it fits everything.

        Raises:
            CheckpointError: it is not there, or has another shape.
        """
        value = self._find(name)
        if shape is not None and (
            len(shape) != value.ndim or any(n not in (None, m) for n, m in zip(shape, value.shape, strict=True))
        ):
            wanted = tuple("any" if n is None else n for n in shape)
            raise CheckpointError(f"{self.where}: {name} has shape {value.shape}, expected {wanted}")
        del self._left[name]
        return torch.from_numpy(np.array(value, np.float32, order="C"))

    def drop(self, name: str) -> None:
        """Takes out what is known and not needed, if it is there."""
        self._left.pop(name, None)

    def _find(self, name: str) -> np.ndarray:
        if name not in self._left:
            near = ", ".join(list(self._left)[:4]) or "nothing else"
            raise CheckpointError(f"{self.where}: lacks the tensor {name} (still there: {near})")
        return self._left[name]

    def __enter__(self) -> Tensors:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is None and self._left:
            names = list(self._left)
            more = f" and {len(names) - 6} more" if len(names) > 6 else ""
            raise CheckpointError(
                f"{self.where}: {len(names)} tensors that this architecture does not have: "
                f"{', '.join(names[:6])}{more}; it is another network, or a newer version of this one"
            )
