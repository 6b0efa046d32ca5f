"""What the StyleGAN families share: mapping network, modulated convolution, FIR resampling, activation.

The originals scale weights at run time (equalised learning rate, learning-rate multipliers, gain of the activation).
Here these constants are part of the stored weights, put there by the converters, so that the layers are plain math.

Activations keep the memory format they come in. Channels-last is the fast one: on one CPU core, convolutions at 1024 px
take 0.6 of the time they take in the default format.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from stylerig_fast.generators.precision import multiply
from stylerig_fast.ops.reference.synthesis import SLOPE

EPSILON = 1e-8


def normalise(z: Tensor) -> Tensor:
    """Scales each ``z (B, N)`` to a mean square of one."""
    return z * torch.rsqrt(z.square().mean(1, keepdim=True) + EPSILON)


def leaky_relu(x: Tensor, clamp: float | None = None) -> Tensor:
    """Leaky ReLU with slope 0.2, in place, then cut off at ± ``clamp``.

    The gain of √2 that StyleGAN's activation has is for the caller to fold into what comes before:
    ``g · lrelu(a x + b) = lrelu(g a x + g b)``.
    """
    x = F.leaky_relu_(x, SLOPE)
    if clamp is None:
        return x
    return x.clamp(-clamp, clamp) if x.requires_grad else x.clamp_(-clamp, clamp)


class Mapping(nn.Module):
    """The mapping network, ``(B, w_dim)`` -> ``(B, w_dim)``: normalisation, then fully connected layers, leaky ReLU.

    The stored weights and biases of layer i hold learning-rate multiplier, equalisation and √2:
    ``weight_i = W_i · lr_multiplier / √(inputs) · √2``, ``bias_i = b_i · lr_multiplier · √2``.
    """

    def __init__(self, w_dim: int = 512, layers: int = 8) -> None:
        super().__init__()
        self.layers = nn.ModuleList(nn.Linear(w_dim, w_dim) for _ in range(layers))

    def __len__(self) -> int:
        return len(self.layers)

    def forward(self, z: Tensor) -> Tensor:
        x = normalise(z)
        for layer in self.layers:
            x = leaky_relu(layer(x))
        return x


@torch.no_grad()
def mean_code(mapping: Callable[[Tensor], Tensor], w_dim: int) -> Tensor:
    """The mean of 16,384 mapped codes of a fixed seed, ``(w_dim,)``: ``w_mean`` where a checkpoint does not have it."""
    draw = torch.Generator().manual_seed(0)
    total = torch.zeros(w_dim, dtype=torch.float64)
    for _ in range(4):
        total += mapping(torch.randn(4096, w_dim, generator=draw)).double().sum(0)
    return (total / 16384).float()


def upfirdn2d(
    x: Tensor,
    taps: Tensor,
    up: int = 1,
    down: int = 1,
    padding: tuple[int, int, int, int] = (0, 0, 0, 0),
) -> Tensor:
    """Inserts zeros, pads, filters, keeps every ``down``-th sample; the operation of StyleGAN2's ``upfirdn2d``.

    Depthwise convolutions do it, and no zero is ever inserted: a transposed convolution has the same result.

    Args:
        x: ``(B, C, H, W)``.
        taps: ``(kh, kw)``, or ``(k,)`` for both directions one after the other, which is cheaper from about 8 taps on.
            Any gain (``up²`` keeps the mean of a picture) is the caller's to fold in. Not flipped: a convolution, not a
            correlation.
        up: ``up - 1`` zeros follow each sample, in both directions.
        down: likewise.
        padding: zeros at the left, right, top and bottom of the upsampled picture; negative ones crop.

    Returns:
        ``(B, C, (H·up + top + bottom - kh) // down + 1, (W·up + left + right - kw) // down + 1)``.
    """
    left, right, top, bottom = padding
    if taps.ndim == 2:
        return _filter(x, taps, (up, up), (down, down), padding)
    x = _filter(x, taps[None], (1, up), (1, down), (left, right, 0, 0))
    return _filter(x, taps[:, None], (up, 1), (down, 1), (0, 0, top, bottom))


def _filter(
    x: Tensor, taps: Tensor, up: tuple[int, int], down: tuple[int, int], padding: tuple[int, int, int, int]
) -> Tensor:
    """`upfirdn2d` with taps ``(kh, kw)`` and factors (vertical, horizontal)."""
    channels, (kh, kw) = x.shape[1], taps.shape
    left, right, top, bottom = padding
    if up == (1, 1):
        kernel = taps.flip(0, 1).to(x.dtype).expand(channels, 1, kh, kw).contiguous()
        around = (top, left) if left == right >= 0 and top == bottom >= 0 else None
        x = x if around else F.pad(x, padding)
        return multiply(lambda a, b: F.conv2d(a, b, None, down, around or 0, groups=channels), x, kernel)
    # The transposed convolution is as if padded by k - 1 on all sides, and leaves out the zeros behind the last sample.
    kernel = taps.to(x.dtype).expand(channels, 1, kh, kw).contiguous()
    crop = (kw - 1 - left, kw - up[1] - right, kh - 1 - top, kh - up[0] - bottom)
    around = (crop[2], crop[0]) if crop[0] == crop[1] >= 0 and crop[2] == crop[3] >= 0 else None
    x = multiply(lambda a, b: F.conv_transpose2d(a, b, None, up, around or 0, groups=channels), x, kernel)
    x = x if around else F.pad(x, [-n for n in crop])
    return x if down == (1, 1) else x[:, :, :: down[0], :: down[1]]


def filter_taps(taps: Sequence[float], up: int = 1) -> Tensor:
    """The separable filter ``taps`` as ``(k, k)``, its sum ``up²``, which keeps the mean when upsampling by ``up``."""
    line = torch.tensor(list(taps), dtype=torch.float64)
    line = line / line.sum() * up
    return torch.outer(line, line).float()


class ModulatedConv(nn.Module):
    """Modulated convolution (StyleGAN2, arXiv 1912.04958, section 2.2), its weights the same for every sample.

    With the style ``s = affine(w)``, one per input channel, and weights ``W`` the paper's modulated and demodulated
    weights are ``W s / √(Σ (W s)² + ε)``. The scale of the inputs is applied to the activations before the convolution,
    that of the outputs, ``d = rsqrt(s² · Σ_k W² + ε)``, behind it: no weights are made per sample, and no grouped
    convolution is needed. ``Σ_k W²`` is a table that changes with the weights only.

    In float16, weights and styles are divided by their largest magnitudes, as in StyleGAN2-ADA's code, so that neither
    products nor sums overflow; here the factors are put back exactly, in float32, with ``d``.

    Attributes:
        gain: constant factor of the output, the √2 of the activation behind it for instance.
        padding: of the convolution; ignored when upsampling.
    """

    squares: Tensor
    scale: Tensor | None
    taps: Tensor | None

    def __init__(
        self,
        inputs: int,
        outputs: int,
        kernel: int,
        w_dim: int,
        demodulate: bool = True,
        gain: float = 1.0,
        padding: int | None = None,
        up: Sequence[float] | None = None,
    ) -> None:
        """Makes an untrained layer.

        Args:
            inputs: channels.
            outputs: channels.
            kernel: width and height of the kernel.
            w_dim: length of the code.
            demodulate: divide by the norm of the modulated weights.
            gain: see above.
            padding: half the kernel by default.
            up: taps of the filter behind a transposed convolution that doubles the resolution; None keeps it.
                ``weight`` is then ``(inputs, outputs, k, k)``, as ``conv_transpose2d`` takes it.
        """
        super().__init__()
        self.gain = gain
        self.padding = kernel // 2 if padding is None else padding
        self.demodulate = demodulate
        self.affine = nn.Linear(w_dim, inputs)
        shape = (outputs, inputs) if up is None else (inputs, outputs)
        self.weight = nn.Parameter(torch.randn(*shape, kernel, kernel) / (inputs * kernel**2) ** 0.5)
        self.register_buffer("taps", None if up is None else filter_taps(up, 2), persistent=False)
        self.register_buffer("squares", torch.zeros(0), persistent=False)
        self.register_buffer("scale", None, persistent=False)
        self.tabulate()
        self.register_load_state_dict_post_hook(_tabulate)

    @torch.no_grad()
    def tabulate(self) -> None:
        """Computes ``Σ_k W²`` again; for those who change weights in place. Loading a state does it by itself."""
        if self.demodulate:
            self.squares = self._sums()

    def _sums(self) -> Tensor:
        sums = self.weight.square().sum((2, 3))
        return sums if self.taps is None else sums.mT

    @torch.no_grad()
    def round_weights(self, dtype: torch.dtype) -> None:
        """Convolves in ``dtype`` from now on; styles and demodulation stay as they are."""
        weight = self.weight.detach()
        if dtype == torch.float16:
            inputs = weight.shape[1] if self.taps is None else weight.shape[0]
            others = (1, 2, 3) if self.taps is None else (0, 2, 3)
            largest = weight.abs().amax(others, keepdim=True).clamp_min(torch.finfo(torch.float32).tiny)
            factor = largest * (inputs * weight.shape[2] * weight.shape[3]) ** 0.5
            weight, self.scale = weight / factor, factor.flatten()
        self.weight = nn.Parameter(weight.to(dtype), requires_grad=self.weight.requires_grad)

    def forward(self, x: Tensor, w: Tensor) -> Tensor:
        """Convolves.

        Args:
            x: ``(B, inputs, H, W)`` in the dtype of the weights.
            w: ``(B, w_dim)`` in the dtype of the affine layer.

        Returns:
            ``(B, outputs, H', W')``: in the dtype of ``x`` if demodulated, and then fit to be changed in place; else in
            that of ``w``, since nothing bounds it.
        """
        s = self.affine(w)
        factor: Tensor | None = None
        if self.demodulate:
            training = self.weight.requires_grad and self.weight.dtype == self.squares.dtype
            squares = self._sums() if training else self.squares
            factor = torch.rsqrt(F.linear(s.square(), squares) + EPSILON) * self.gain
        if self.scale is not None:
            largest = s.detach().abs().amax(1, keepdim=True).clamp_min(torch.finfo(s.dtype).tiny)
            s = s / largest
            factor = largest * self.scale * (self.gain if factor is None else factor)
        y = self._convolve(x * s.to(x.dtype)[:, :, None, None])
        if not self.demodulate:
            y = y.to(w.dtype)
        if factor is None:
            return y if self.gain == 1 else y * self.gain
        factor = factor.to(y.dtype)[:, :, None, None]
        return y * factor if y.requires_grad or factor.requires_grad else y.mul_(factor)

    def _convolve(self, x: Tensor) -> Tensor:
        if self.taps is None:
            return multiply(lambda a, b: F.conv2d(a, b, padding=self.padding), x, self.weight)
        x = multiply(lambda a, b: F.conv_transpose2d(a, b, stride=2), x, self.weight)
        return upfirdn2d(x, self.taps, padding=self._around)

    @property
    def _around(self) -> tuple[int, int, int, int]:
        """Zeros around the result of the transposed convolution that make the output twice as large as the input."""
        assert self.taps is not None
        k, n = self.weight.shape[2], self.taps.shape[0]
        before = k // 2 + (n + 1) // 2 - (k - 1)
        after = k // 2 + (n - 2) // 2 - (k - 2)
        return before, after, before, after


def _tabulate(module: ModulatedConv, _: object) -> None:
    module.tabulate()
