"""F of the code that is being edited, remembered: a slider that moves asks for the same person again and again."""

from __future__ import annotations

import weakref
from dataclasses import dataclass

import torch
from torch import Tensor

from stylerig_fast.params import FaceParams
from stylerig_fast.reconstructor import FaceReconstructor


@dataclass(frozen=True)
class _Entry:
    """The codes that F read last: their values on the CPU; elsewhere the caller's tensor and its count of changes."""

    values: Tensor | None
    given: weakref.ref[Tensor]
    version: int | None
    source: FaceParams

    def holds(self, given: Tensor) -> bool:
        if self.values is not None:
            return given.device.type == "cpu" and given.dtype == self.values.dtype and torch.equal(given, self.values)
        return self.version is not None and self.given() is given and self.version == _version(given)


class ParamsCache:
    """F of codes, on the CPU, where edits are put together without waiting for a GPU.

    The last codes are remembered. On the CPU their values are compared, because memory that a NumPy array or another
    process shares changes without a word. Comparing on a GPU would wait for it: there a tensor is known again by its
    identity and torch's count of its changes in place, which a write past torch (another library's kernel) escapes.
    """

    def __init__(self, reconstructor: FaceReconstructor) -> None:
        self.reconstructor = reconstructor
        # Replaced as a whole: threads see the old one or the new one.
        self._last: _Entry | None = None

    @torch.no_grad()
    def params(self, given: Tensor, w: Tensor) -> FaceParams:
        """F of ``w``, complete, on the CPU.

        Args:
            given: the caller's tensor, by which it is remembered.
            w: the same codes, checked and on F's device.
        """
        last = self._last
        if last is not None and last.holds(given):
            return last.source
        # Before F reads them: whoever writes meanwhile finds that they are not the ones remembered.
        values = given.detach().clone() if given.device.type == "cpu" else None
        # One copy from the device, of all blocks side by side.
        config = self.reconstructor.config
        source = FaceParams.from_vector(self.reconstructor.vector(w).cpu(), config.sizes, config.expression_names)
        self._last = _Entry(values, weakref.ref(given), _version(given), source)
        return source


def _version(given: Tensor) -> int | None:
    """How often torch has changed a tensor in place; None where it does not count."""
    return None if given.is_inference() else given._version
