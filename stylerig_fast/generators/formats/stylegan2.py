"""What the checkpoint formats of StyleGAN2 have in common: our module's state, with the originals' gains in it."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from stylerig_fast.errors import CheckpointError
from stylerig_fast.generators.layers import filter_taps, mean_code
from stylerig_fast.generators.stylegan2 import StyleGAN2

GAIN = 2**0.5  # of the activation


def dense_state(layer: int, weight: Tensor, bias: Tensor, multiplier: float) -> dict[str, Tensor]:
    """A layer of the mapping network.

    Args:
        layer: which one.
        weight: ``(outputs, inputs)``.
        bias: ``(outputs,)``.
        multiplier: of the learning rate.
    """
    target = f"mapping_network.layers.{layer}"
    gain = GAIN * multiplier
    return {f"{target}.weight": weight / weight.shape[1] ** 0.5 * gain, f"{target}.bias": bias * gain}


def conv_state(
    layer: int,
    weight: Tensor,
    affine: tuple[Tensor, Tensor],
    bias: Tensor,
    noise_strength: Tensor,
    noise: Tensor,
) -> dict[str, Tensor]:
    """A convolution.

    Args:
        layer: which one: 0 is at 4 px, odd ones double the resolution.
        weight: ``(outputs, inputs, 3, 3)``; of those that double the resolution, as ``conv_transpose2d`` applies it.
        affine: weight ``(inputs, w_dim)`` and bias of the style, with all gains.
        bias: ``(outputs,)``.
        noise_strength: one number.
        noise: the constant map, ``(side, side)`` after removing dimensions of one.
    """
    target = f"blocks.{(layer + 1) // 2}.convs.{0 if layer % 2 or layer == 0 else 1}"
    return {
        f"{target}.conv.weight": weight.transpose(0, 1).contiguous() if layer % 2 else weight,
        f"{target}.conv.affine.weight": affine[0],
        f"{target}.conv.affine.bias": affine[1],
        f"{target}.bias": bias * GAIN,
        f"{target}.noise_strength": noise_strength.reshape(()) * GAIN,
        f"{target}.noise": noise.reshape(noise.shape[-2:]),
    }


def rgb_state(block: int, weight: Tensor, affine: tuple[Tensor, Tensor], bias: Tensor) -> dict[str, Tensor]:
    """A layer that makes a picture.

    Args:
        block: which one: 0 is at 4 px.
        weight: ``(3, inputs, 1, 1)``.
        affine: weight ``(inputs, w_dim)`` and bias of the style; the equalisation ``1/√inputs`` of the layer itself is
            put into them here, as in NVlabs' code, where it keeps float16 from overflowing.
        bias: of the picture.
    """
    target, fan_in = f"blocks.{block}.to_rgb", weight.shape[1]
    return {
        f"{target}.conv.weight": weight,
        f"{target}.conv.affine.weight": affine[0] / fan_in**0.5,
        f"{target}.conv.affine.bias": affine[1] / fan_in**0.5,
        f"{target}.bias": bias.reshape(3),
    }


def separate_filter(kernel: np.ndarray | Tensor, where: str) -> tuple[float, ...]:
    """The taps, their sum one, of a low-pass filter given as them or as their outer product, with any gain.

    Raises:
        CheckpointError: the filter is no such product.
    """
    kernel = torch.as_tensor(kernel, dtype=torch.float64)
    taps = kernel if kernel.ndim == 1 else kernel.sum(0)
    if kernel.numel() and float(taps.sum()) != 0:
        taps = taps / taps.sum()
        whole = kernel / kernel.sum()
        again = taps if kernel.ndim == 1 else filter_taps(taps.tolist()).double()
        if again.shape == whole.shape and torch.allclose(again, whole, atol=1e-6):
            return tuple(taps.tolist())
    raise CheckpointError(f"{where}: the resampling filter of shape {tuple(kernel.shape)} is not separable")


def common_filter(kernels: Sequence[np.ndarray | Tensor], where: str) -> tuple[float, ...]:
    """The one filter that all layers have.

    Raises:
        CheckpointError: they have different ones.
    """
    found = sorted({separate_filter(kernel, where) for kernel in kernels})
    if len(found) > 1:
        raise CheckpointError(f"{where}: layers have different resampling filters, {found[0]} and {found[1]}")
    return found[0] if found else (1, 3, 3, 1)


def check_labels(count: object, where: str) -> None:
    """Refuses networks that are conditioned on labels.

    Raises:
        CheckpointError: it is one.
    """
    if isinstance(count, np.ndarray) or count not in (0, None):
        raise CheckpointError(
            f"{where}: the generator takes labels ({count!r:.20} classes); expected one that was trained without them"
        )


def check_sizes(resolution: object, channels: Sequence[int], depth: object, layers: int, where: str) -> None:
    """Refuses a file that lacks whole blocks or layers at the end, which no other tensor would miss.

    Args:
        resolution: what the file says it is.
        channels: of the blocks found.
        depth: how many layers the mapping network has, by what the file says.
        layers: how many were found.
        where: the file, for the message.

    Raises:
        CheckpointError: it does.
    """
    found = 4 << (len(channels) - 1)
    for what, says, is_there in (("resolution", resolution, found), ("number of mapping layers", depth, layers)):
        if isinstance(says, np.ndarray) or says != is_there:
            raise CheckpointError(
                f"{where}: {what} {says!r:.20} by what it says, {is_there} by its tensors; the file is damaged"
            )


def build(state: dict[str, Tensor], w_mean: Tensor | None, where: str, **config: object) -> StyleGAN2:
    """The generator of a whole state.

    Args:
        state: without ``w_mean``.
        w_mean: measured if the checkpoint does not have it.
        where: the file, for messages.
        config: of `StyleGAN2`.

    Raises:
        CheckpointError: shapes do not fit each other.
    """
    try:
        with torch.device("meta"):  # sizes are checked before anything is allocated
            expected = {name: tuple(value.shape) for name, value in StyleGAN2(**config).state_dict().items()}  # type: ignore[arg-type]
    except (RuntimeError, ValueError, OverflowError) as error:
        raise CheckpointError(f"{where}: no network can be made of {config} ({error}); the file is damaged") from error
    state["w_mean"] = torch.zeros(expected["w_mean"]) if w_mean is None else w_mean.reshape(-1)
    found = {name: tuple(value.shape) for name, value in state.items()}
    if found != expected:
        wrong = sorted(name for name in expected.keys() | found.keys() if expected.get(name) != found.get(name))
        raise CheckpointError(
            f"{where}: {len(wrong)} tensors do not fit the others; {wrong[0]} would have shape {found.get(wrong[0])}, "
            f"expected {expected.get(wrong[0])}; the file is damaged or of another architecture"
        )
    generator = StyleGAN2(**config)  # type: ignore[arg-type]
    generator.load_state_dict(state)
    if w_mean is None:
        generator.w_mean.copy_(mean_code(generator.mapping, generator.w_dim))
    return generator.eval().requires_grad_(False)
