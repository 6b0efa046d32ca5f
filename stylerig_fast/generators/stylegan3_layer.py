"""A layer of StyleGAN3: modulated convolution, then the leaky ReLU at a higher sampling rate, between two filters.

The activations at that rate are four or more times as many as the layer's own; at 1024 px they are gigabytes. They are
never needed whole, only a tile of them at a time: some rows of some channels.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
from torch.nn import functional as F

from stylerig_fast.generators.layers import EPSILON
from stylerig_fast.generators.precision import multiply
from stylerig_fast.generators.stylegan3_filters import LayerPlan, Span
from stylerig_fast.ops.reference.synthesis import SLOPE

# Channels of one tile: depthwise convolutions on the CPU work on vectors of so many.
VECTOR = 16


class Operands(NamedTuple):
    """Of a modulated convolution."""

    x: Tensor  # (B, inputs, H, W)
    style: Tensor  # (B, inputs, 1, 1)
    scale: Tensor | None  # (B, outputs, 1, 1)
    weight: Tensor  # (outputs, inputs, k, k)
    bias: Tensor  # (outputs,)


class FilteredLayer(nn.Module):
    """One layer, ``(B, inputs, before, before)`` -> ``(B, outputs, after, after)``; sizes and filters are its plan's.

    The weights hold all that is constant in the published code. With s the style, one number per input channel, and g
    the gain that the code measures in training to keep inputs at a mean square of one:

    - ``weight`` has rows of norm 1, and the demodulation is ``d = √2 g / √(Σ_i s_i² Σ_k weight² + ε / (inputs k²))``,
      for styles scaled to a mean square of one. √2 is the gain of the non-linearity; ``bias`` is stored times √2.
    - The layer that makes colours has neither demodulation nor non-linearity: ``weight`` holds g, ``1 / √inputs`` and
      the scale of the colours, and ``bias`` holds the latter.

    So in float16 neither convolution nor styles overflow, whatever the checkpoint's weights.
    """

    squares: Tensor
    input_gain: Tensor
    up_taps: Tensor | None
    down_taps: Tensor | None

    def __init__(self, plan: LayerPlan, w_dim: int, clamp: float | None, colours: bool = False) -> None:
        """Makes an untrained layer.

        Args:
            plan: of the signals it goes between.
            w_dim: length of the code.
            clamp: largest magnitude behind the non-linearity.
            colours: it is the last one.
        """
        super().__init__()
        self.plan = plan
        self.clamp = clamp
        self.colours = colours
        inputs, outputs, k = plan.before.channels, plan.after.channels, plan.kernel
        self.epsilon = EPSILON / (inputs * k * k)
        self.affine = nn.Linear(w_dim, inputs)
        nn.init.ones_(self.affine.bias)
        self.weight = nn.Parameter(torch.randn(outputs, inputs, k, k) / (inputs * k * k) ** 0.5)
        self.bias = nn.Parameter(torch.zeros(outputs))
        self.register_buffer("input_gain", None if colours else torch.ones(()))
        self.register_buffer("squares", torch.zeros(0), persistent=False)
        # Inserted zeros take a part of the mean away, which the upsampling filter gives back.
        self.register_buffer("up_taps", None if plan.up_taps is None else plan.up_taps * plan.up, persistent=False)
        self.register_buffer("down_taps", plan.down_taps, persistent=False)
        self.tabulate()
        self.register_load_state_dict_post_hook(_tabulate)

    @torch.no_grad()
    def tabulate(self) -> None:
        """Computes ``Σ_k weight²`` again, after the weights have changed. Loading a state does it by itself."""
        self.squares = self.weight.square().sum((2, 3))

    def round_weights(self, dtype: torch.dtype) -> None:
        """Convolves in ``dtype`` from now on; styles and demodulation stay as they are."""
        self.weight = nn.Parameter(self.weight.detach().to(dtype), requires_grad=self.weight.requires_grad)

    def forward(self, x: Tensor, w: Tensor, tile_bytes: int | None = None) -> Tensor:
        """Runs the layer.

        Args:
            x: its input, in any dtype.
            w: ``(B, w_dim)``.
            tile_bytes: of the activations at the higher rate; what is larger is worked on in tiles of about so much,
                and recomputed for gradients. None makes one tile of all.

        Returns:
            the output, in the dtype of the convolution.
        """
        style = self.affine(w)
        scale: Tensor | None = None
        if not self.colours:
            style = style * torch.rsqrt(style.square().mean(1, keepdim=True))
            training = self.weight.requires_grad and self.weight.dtype == self.squares.dtype
            squares = self.weight.square().sum((2, 3)) if training else self.squares
            scale = torch.rsqrt(F.linear(style.square(), squares) + self.epsilon) * (2**0.5 * self.input_gain)
            scale = scale[:, :, None, None]
        operands = Operands(x, style[:, :, None, None], scale, self.weight, self.bias)
        rows, channels = self._tile(x, tile_bytes)
        whole = rows >= self.plan.after.size and channels >= self.plan.after.channels
        if not whole and torch.is_grad_enabled() and any(t is not None and t.requires_grad for t in operands):
            out: Tensor = _Tiled.apply(self, rows, channels, *operands)
            return out
        return self.run(rows, channels, operands)

    def _tile(self, x: Tensor, tile_bytes: int | None) -> tuple[int, int]:
        """Output rows and channels of one tile."""
        plan = self.plan
        rows, channels = plan.after.size, plan.after.channels
        if tile_bytes is None or plan.reach == (1, 1):
            return rows, channels
        extra = plan.reach[1] - plan.down
        row = x.shape[0] * (rows * plan.down + extra) * max(x.element_size(), 4)
        fit = tile_bytes // (row * (rows * plan.down + extra))
        if fit >= VECTOR or fit >= channels:
            return rows, channels if fit >= channels else fit // VECTOR * VECTOR
        # Never so few rows that most of the work is on those which neighbours need too.
        most = max((tile_bytes // (row * VECTOR) - extra) // plan.down, 4 * plan.reach[1])
        strips = -(-rows // most)
        return -(-rows // strips), min(channels, VECTOR)

    def run(self, rows: int, channels: int, operands: Operands) -> Tensor:
        """The output in tiles of so many rows and channels; if that is one tile, differentiable."""
        plan = self.plan
        shape = (operands.x.shape[0], plan.after.channels, plan.after.size, plan.after.size)
        across = plan.span(0, plan.after.size)
        out: Tensor | None = None
        for top, bottom in self.strips(rows):
            down = plan.span(top, bottom)
            t = self.convolve(down, operands._replace(x=operands.x[:, :, self.needs(down)]))
            for part in self.parts(channels):
                y = self.activate(t[:, part], down, across, bottom - top).to(operands.weight.dtype)
                if y.shape == shape:
                    return y
                if out is None:
                    channels_last = y.is_contiguous(memory_format=torch.channels_last)
                    layout = torch.channels_last if channels_last else torch.contiguous_format
                    out = torch.empty(shape, dtype=y.dtype, device=y.device, memory_format=layout)
                out[:, part, top:bottom] = y
        assert out is not None
        return out

    def strips(self, rows: int) -> Iterator[tuple[int, int]]:
        """The output in strips of so many rows, as (top, bottom)."""
        size = self.plan.after.size
        yield from pairwise([*range(0, size, rows), size])

    def parts(self, channels: int) -> Iterator[slice]:
        """The output in parts of so many channels."""
        count = self.plan.after.channels
        yield from (slice(first, min(first + channels, count)) for first in range(0, count, channels))

    def needs(self, down: Span) -> slice:
        """The rows of the input that `convolve` works on."""
        return slice(max(down.low - self.plan.kernel + 1, 0), min(down.high, self.plan.before.size))

    def convolve(self, down: Span, operands: Operands) -> Tensor:
        """The modulated convolution with its bias: rows ``down.low`` to ``down.high`` of it, all columns.

        ``operands.x`` is not the whole input, but the rows that `needs` says.
        """
        x, style, scale, weight, bias = operands
        reach = self.plan.kernel - 1
        above, below = max(reach - down.low, 0), max(down.high - self.plan.before.size, 0)
        x = x.to(weight.dtype) * style.to(weight.dtype)
        if above == below:
            padding = (above, reach)
        else:
            x, padding = F.pad(x, (0, 0, above, below)), (0, reach)
        t = multiply(lambda a, b: F.conv2d(a, b, padding=padding), x, weight)
        bias = bias[:, None, None].to(t.dtype)
        return t + bias if scale is None else torch.addcmul(bias, t, scale.to(t.dtype))

    def activate(self, t: Tensor, down: Span, across: Span, rows: int) -> Tensor:
        """Upsampling, leaky ReLU and downsampling of rows that `convolve` made.

        Args:
            t: ``(B, C, down.high - down.low, convolved)``, any channels of them.
            down: which rows these are.
            across: which columns are needed; all are there.
            rows: of the output.

        Returns:
            ``(B, C, rows, after)``; on the CPU in no less than float32, which is faster there.
        """
        t = t[:, :, :, across.low : across.high]
        if t.device.type == "cpu" and t.dtype in (torch.bfloat16, torch.float16):
            t = t.float()
        zeros = (across.zeros_before, across.zeros_after, down.zeros_before, down.zeros_after)
        if any(zeros):
            t = F.pad(t, zeros)
        if self.up_taps is not None:
            t = _upsample(t, self.up_taps, self.plan.up, (down.crop, across.crop))
        elif down.crop or across.crop:
            t = t[:, :, down.crop : t.shape[2] - down.crop, across.crop : t.shape[3] - across.crop]
        if not self.colours:
            t = F.leaky_relu(t, SLOPE) if self.up_taps is None else F.leaky_relu_(t, SLOPE)
        if self.clamp is not None:
            # Not `clamp`, whose gradient takes five passes.
            t = F.hardtanh(t, -self.clamp, self.clamp, inplace=not t.requires_grad and not self.colours)
        if self.down_taps is not None:
            t = _downsample(t, self.down_taps, self.plan.down)
        # One more sample than needed may have been made, since crops are the same at both ends.
        return t[:, :, :rows, : self.plan.after.size]


def _upsample(t: Tensor, taps: Tensor, up: int, crop: tuple[int, int]) -> Tensor:
    """Inserts zeros and filters, in one: first down the columns, while there are fewer of them."""
    n, taps = t.shape[1], taps.to(t.dtype)
    t = F.conv_transpose2d(t, taps[:, None].expand(n, 1, -1, 1), stride=(up, 1), padding=(crop[0], 0), groups=n)
    return F.conv_transpose2d(t, taps.expand(n, 1, 1, -1), stride=(1, up), padding=(0, crop[1]), groups=n)


def _downsample(t: Tensor, taps: Tensor, down: int) -> Tensor:
    """Filters and keeps every ``down``-th sample. The filters are symmetric, and need not be flipped."""
    n, taps = t.shape[1], taps.to(t.dtype)
    if taps.ndim == 2:
        return F.conv2d(t, taps.expand(n, 1, -1, -1), stride=down, groups=n)
    t = F.conv2d(t, taps.expand(n, 1, 1, -1), stride=(1, down), groups=n)
    return F.conv2d(t, taps[:, None].expand(n, 1, -1, 1), stride=(down, 1), groups=n)


class _Tiled(torch.autograd.Function):
    """`FilteredLayer.run` in tiles, of which nothing is kept for the gradients: they are computed again, one by one."""

    @staticmethod
    def forward(ctx: Any, layer: FilteredLayer, rows: int, channels: int, *operands: Tensor | None) -> Tensor:
        ctx.save_for_backward(*operands)
        ctx.layer, ctx.rows, ctx.channels = layer, rows, channels
        return layer.run(rows, channels, Operands(*operands))  # type: ignore[arg-type]

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, v_out: Tensor) -> tuple[Tensor | None, ...]:
        layer: FilteredLayer = ctx.layer
        saved = Operands(*ctx.saved_tensors)
        wanted = [name for name, needed in zip(Operands._fields, ctx.needs_input_grad[3:], strict=True) if needed]
        sums = {name: torch.zeros_like(getattr(saved, name)) for name in wanted}
        across = layer.plan.span(0, layer.plan.after.size)
        for top, bottom in layer.strips(ctx.rows):
            down = layer.plan.span(top, bottom)
            rows = layer.needs(down)
            operands = saved._replace(x=saved.x[:, :, rows])
            leaves = {name: getattr(operands, name).detach().requires_grad_() for name in wanted}
            with torch.enable_grad():
                t = layer.convolve(down, operands._replace(**leaves))
            v_t = torch.empty_like(t)
            for part in layer.parts(ctx.channels):
                leaf = t.detach()[:, part].requires_grad_()
                with torch.enable_grad():
                    y = layer.activate(leaf, down, across, bottom - top)
                (v_t[:, part],) = torch.autograd.grad(y, leaf, v_out[:, part, top:bottom].to(y.dtype))
            for name, gradient in zip(wanted, torch.autograd.grad(t, list(leaves.values()), v_t), strict=True):
                (sums[name][:, :, rows] if name == "x" else sums[name]).add_(gradient)
        return None, None, None, *(sums.get(name) for name in Operands._fields)


def _tabulate(layer: FilteredLayer, _: object) -> None:
    layer.tabulate()
