"""What packed synthesis networks share: how they are called, and what they refuse."""

from __future__ import annotations

import torch
from torch import Tensor

from stylerig_fast.generators.base import PRECISIONS, Generator


class PackedSynthesis:
    """A network that was packed once for a device and a precision; its kind says how it fills pictures.

    Attributes:
        name: in messages.
        device: where codes come from and pictures go.
        resolution: of the whole picture.
        previews: the resolutions below that of which the network has pictures of its own; none for most.
    """

    name: str
    device: torch.device
    resolution: int
    _slots: tuple[int, int]  # of a code

    def pictures(
        self, ws: Tensor, resolution: int | None = None, *, preview: bool = False, out: Tensor | None = None
    ) -> Tensor:
        """Finished pictures.

        Args:
            ws: ``(B, num_ws, w_dim)`` float32 on the device.
            resolution: width and height, a power of two from 4 to the whole picture's (the default). A smaller picture
                is the box mean of the whole one and costs about the same.
            preview: take the network's own picture of that resolution instead, where it has one, at a fraction of the
                cost: what the layers above it would add is missing.
            out: uint8 ``(B, resolution, resolution, 3)``, contiguous, to write to.

        Returns:
            uint8 ``(B, resolution, resolution, 3)`` RGB, as ``(synthesis + 1) · 127.5`` rounded and clamped.

        Raises:
            ValueError: shapes, dtypes, devices or a resolution that do not fit, or a preview of a network without.
            NotImplementedError: ``ws`` requires a gradient; there is none.
        """
        resolution = self._check(ws, resolution, preview)
        shape = (len(ws), resolution, resolution, 3)
        if out is None:
            out = torch.empty(shape, dtype=torch.uint8, device=self.device)
        elif out.shape != shape or out.dtype != torch.uint8 or out.device != self.device or not out.is_contiguous():
            raise ValueError(
                f"{self.name}: out is {out.dtype} {tuple(out.shape)} on {out.device}, expected contiguous "
                f"torch.uint8 {shape} on {self.device}"
            )
        self._fill(ws, out, preview)
        return out

    def synthesis(self, ws: Tensor, resolution: int | None = None, *, preview: bool = False) -> Tensor:
        """Pictures as `Generator.synthesis` returns them: ``(B, 3, resolution, resolution)`` in about [-1, 1].

        The strides are those of ``(B, resolution, resolution, 3)``.

        Args:
            ws: see `pictures`.
            resolution: see `pictures`.
            preview: see `pictures`.

        Raises:
            ValueError: see `pictures`.
            NotImplementedError: see `pictures`.
        """
        resolution = self._check(ws, resolution, preview)
        out = torch.empty(len(ws), resolution, resolution, 3, device=self.device)
        self._fill(ws, out, preview)
        return out.permute(0, 3, 1, 2)

    def _fill(self, ws: Tensor, out: Tensor, preview: bool) -> None:
        """Makes the pictures of all codes in ``out (B, R, R, 3)``, uint8 or float32."""
        raise NotImplementedError

    @property
    def previews(self) -> tuple[int, ...]:
        """The resolutions that `pictures` takes with ``preview``."""
        return ()

    def _check(self, ws: Tensor, resolution: int | None, preview: bool) -> int:
        if preview and not self.previews:
            raise ValueError(f"{self.name}: there are no previews; ask for the box mean, preview=False")
        if ws.ndim != 3 or ws.shape[1:] != self._slots or ws.dtype != torch.float32 or ws.device != self.device:
            raise ValueError(
                f"{self.name}: ws is {ws.dtype} {tuple(ws.shape)} on {ws.device}, expected torch.float32 "
                f"(B, {self._slots[0]}, {self._slots[1]}) on {self.device}"
            )
        if ws.requires_grad and torch.is_grad_enabled():
            raise NotImplementedError(f"{self.name}: there is no gradient; use Generator.synthesis")
        resolution = self.resolution if resolution is None else resolution
        if not 4 <= resolution <= self.resolution or resolution & (resolution - 1):
            raise ValueError(
                f"{self.name}: resolution is {resolution}, expected a power of two from 4 to {self.resolution}"
            )
        return resolution


def check_generator(
    name: str,
    generator: Generator,
    kind: type[Generator],
    dtype: torch.dtype,
    dtypes: tuple[torch.dtype, ...] = PRECISIONS,
) -> None:
    """Refuses what cannot be packed.

    Args:
        name: in messages.
        generator: what was given.
        kind: the family that it has to be of.
        dtype: what the network is to compute in.
        dtypes: those that it can.

    Raises:
        ValueError: another family or dtype, or weights that are not float32 on one device.
    """
    if not isinstance(generator, kind):
        raise ValueError(f"{name}: generator is a {type(generator).__name__}, expected a {kind.__name__}")
    if dtype not in dtypes:
        raise ValueError(f"{name}: dtype is {dtype}, expected one of {', '.join(map(str, dtypes))}")
    found = {(value.dtype, value.device) for value in generator.state_dict().values()}
    if found != {(torch.float32, generator.w_mean.device)}:
        raise ValueError(f"{name}: the generator's weights are {found}, expected torch.float32 in one place")
