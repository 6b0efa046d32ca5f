"""What NVlabs' stylegan3 does, written down plainly and slowly, to hold ours against.

A network is a record as a pickle holds it, with random weights; `synthesis` computes its pictures from that in float64:
weights for each sample, zeros inserted, full two-dimensional convolutions.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import scipy.signal
import scipy.special
import torch
from torch import Tensor
from torch.nn import functional as F

from stylerig_fast.untrusted import Record

KIND = "torch_utils.persistence"


def module(name: str, parameters: dict[str, Any], modules: dict[str, Record] | None = None, **fields: Any) -> Record:
    buffers = ("transform", "freqs", "phases", "magnitude_ema", "up_filter", "down_filter", "w_avg")
    tables = {
        "_parameters": {key: value for key, value in parameters.items() if key not in buffers},
        "_buffers": {key: value for key, value in parameters.items() if key in buffers},
        "_modules": modules or {},
    }
    return Record(KIND, name, {"_init_args": [], "_init_kwargs": {}, **tables, **fields})


def signals(
    img_resolution: int,
    channel_base: int = 32768,
    channel_max: int = 512,
    num_layers: int = 14,
    num_critical: int = 2,
    first_cutoff: float = 2,
    first_stopband: float = 2**2.1,
    last_stopband_rel: float = 2**0.3,
    margin_size: int = 10,
    **_: Any,
) -> dict[str, np.ndarray]:
    """Table of the layers: size, rate, cutoff, half width of the transition band, channels."""
    last_cutoff = img_resolution / 2
    exponents = np.minimum(np.arange(num_layers + 1) / (num_layers - num_critical), 1)
    cutoffs = first_cutoff * (last_cutoff / first_cutoff) ** exponents
    stopbands = first_stopband * (last_cutoff * last_stopband_rel / first_stopband) ** exponents
    rates = np.exp2(np.ceil(np.log2(np.minimum(stopbands * 2, img_resolution))))
    sizes = rates + margin_size * 2
    sizes[-2:] = img_resolution
    channels = np.rint(np.minimum((channel_base / 2) / cutoffs, channel_max))
    channels[-1] = 3
    half_widths = np.maximum(stopbands, rates / 2) - cutoffs
    return {"size": sizes, "rate": rates, "cutoff": cutoffs, "half_width": half_widths, "channels": channels}


def kaiser(taps: int, cutoff: float, half_width: float, rate: float) -> np.ndarray:
    return scipy.signal.firwin(taps, cutoff, width=2 * half_width, fs=rate)


def jinc(taps: int, cutoff: float, half_width: float, rate: float) -> np.ndarray:
    x = (np.arange(taps) - (taps - 1) / 2) / rate
    r = np.hypot(*np.meshgrid(x, x))
    beta = scipy.signal.kaiser_beta(scipy.signal.kaiser_atten(taps, 2 * half_width / (rate / 2)))
    window = scipy.signal.windows.kaiser(taps, beta)
    f = scipy.special.j1(2 * np.pi * cutoff * r) / r * np.outer(window, window)
    return f / f.sum()


def make(seed: int = 0, w_dim: int = 24, **kwargs: Any) -> Record:
    """A generator with random weights, made with the keyword arguments of the published class."""
    rng = np.random.default_rng(seed)
    table = signals(**kwargs)
    kernel, size = kwargs.get("conv_kernel", 3), kwargs.get("filter_size", 6)
    relu, radial = kwargs.get("lrelu_upsampling", 2), kwargs.get("use_radial_filters", False)
    layers = kwargs.get("num_layers", 14)

    def randn(*shape: int) -> np.ndarray:
        return rng.standard_normal(shape).astype(np.float32)

    def dense(inputs: int, outputs: int, activation: str = "linear", multiplier: float = 1.0, bias: Any = 0) -> Record:
        weights = {"weight": randn(outputs, inputs) / np.float32(multiplier)}
        weights["bias"] = (np.asarray(bias, np.float32) + 0.3 * randn(outputs)) / np.float32(multiplier)
        gains = {"weight_gain": multiplier / np.sqrt(inputs), "bias_gain": multiplier}
        return module("FullyConnectedLayer", weights, activation=activation, **gains)

    def filter_(taps: int, i: int, rate: float, radial: bool) -> np.ndarray | None:
        if taps == 1:
            return None
        design = jinc if radial else kaiser
        return design(taps, table["cutoff"][i], table["half_width"][i], rate).astype(np.float32)

    width = int(table["channels"][0])
    parts = {
        "input": module(
            "SynthesisInput",
            {
                "weight": randn(width, width),
                "freqs": randn(width, 2),
                "phases": rng.random(width).astype(np.float32) - np.float32(0.5),
                "transform": np.eye(3, dtype=np.float32) + 0.05 * randn(3, 3) * np.array([[1], [1], [0]], np.float32),
            },
            {"affine": dense(w_dim, 4, bias=[1, 0, 0, 0])},
            size=np.repeat(int(table["size"][0]), 2),
            sampling_rate=float(table["rate"][0]),
            bandwidth=float(table["cutoff"][0]),
        )
    }
    for i in range(layers + 1):
        before, rgb = max(i - 1, 0), i == layers
        rate_in, rate_out = table["rate"][before], table["rate"][i]
        rate = max(rate_in, rate_out) * (1 if rgb else relu)
        up, down = int(rate // rate_in), int(rate // rate_out)
        inputs, outputs = int(table["channels"][before]), int(table["channels"][i])
        k = 1 if rgb else kernel
        taps_up, taps_down = (size * n if n > 1 and not rgb else 1 for n in (up, down))
        size_in, size_out = int(table["size"][before]), int(table["size"][i])
        total = (size_out - 1) * down + 1 - (size_in + k - 1) * up + taps_up + taps_down - 2
        low = (total + up) // 2
        critical = i >= layers - kwargs.get("num_critical", 2)
        parts[f"L{i}_{size_out}_{outputs}"] = module(
            "SynthesisLayer",
            {
                "weight": randn(outputs, inputs, k, k),
                "bias": 0.3 * randn(outputs),
                "magnitude_ema": np.array(rng.uniform(0.5, 2), np.float32),
                "up_filter": filter_(taps_up, before, rate, False),
                "down_filter": filter_(taps_down, i, rate, radial and not critical),
            },
            {"affine": dense(w_dim, inputs, bias=1)},
            is_torgb=rgb,
            in_size=np.repeat(size_in, 2),
            out_size=np.repeat(size_out, 2),
            up_factor=up,
            down_factor=down,
            padding=[low, total - low] * 2,
            conv_clamp=kwargs.get("conv_clamp", 256),
        )
    mapping_kwargs = kwargs.get("mapping_kwargs", {})
    multiplier = mapping_kwargs.get("lr_multiplier", 0.01)
    dense_layers = {
        f"fc{i}": dense(w_dim, w_dim, "lrelu", multiplier) for i in range(mapping_kwargs.get("num_layers", 2))
    }
    inside = {
        "synthesis": module("SynthesisNetwork", {}, parts, output_scale=kwargs.get("output_scale", 0.25)),
        "mapping": module("MappingNetwork", {"w_avg": 0.3 * randn(w_dim)}, dense_layers),
    }
    generator = module("Generator", {}, inside)
    arguments = {"z_dim": w_dim, "c_dim": 0, "w_dim": w_dim, "img_channels": 3, **kwargs}
    generator.fields["_init_kwargs"] = arguments
    return generator


def get(record: Record, name: str) -> Tensor:
    value = record.fields["_parameters"].get(name, record.fields["_buffers"].get(name))
    return torch.from_numpy(np.asarray(value, np.float64))


def sub(record: Record, name: str) -> Record:
    return record.fields["_modules"][name]


def dense(record: Record, x: Tensor) -> Tensor:
    weight = get(record, "weight") * record.fields["weight_gain"]
    return x @ weight.T + get(record, "bias") * record.fields["bias_gain"]


def mapping(generator: Record, z: Tensor) -> Tensor:
    network = sub(generator, "mapping")
    x = z / (z.square().mean(1, keepdim=True) + 1e-8).sqrt()
    for layer in network.fields["_modules"].values():
        x = F.leaky_relu(dense(layer, x), 0.2) * 2**0.5
    return x


def waves(record: Record, w: Tensor) -> Tensor:
    size, rate, band = int(record.fields["size"][0]), record.fields["sampling_rate"], record.fields["bandwidth"]
    at = (torch.arange(size, dtype=torch.float64) + 0.5 - size / 2) / rate
    pictures = []
    for c, s, x, y in dense(sub(record, "affine"), w):
        c, s, x, y = torch.stack((c, s, x, y)) / torch.hypot(c, s)
        turn, move = torch.eye(3, dtype=torch.float64), torch.eye(3, dtype=torch.float64)
        turn[:2, :2] = torch.stack((torch.stack((c, -s)), torch.stack((s, c))))
        move[:2, 2] = -torch.stack((x, y))
        moved = turn @ move @ get(record, "transform")
        frequencies = get(record, "freqs") @ moved[:2, :2]
        phases = get(record, "phases") + get(record, "freqs") @ moved[:2, 2]
        amplitudes = (1 - (frequencies.norm(dim=1) - band) / (rate / 2 - band)).clamp(0, 1)
        cycles = frequencies[:, :1, None] * at + frequencies[:, 1:, None] * at[:, None] + phases[:, None, None]
        mixing = get(record, "weight") / len(phases) ** 0.5
        features = amplitudes[:, None, None] * torch.sin(2 * torch.pi * cycles)
        pictures.append(torch.einsum("oi,ihw->ohw", mixing, features))
    return torch.stack(pictures)


def resample(x: Tensor, taps: Tensor | None, up: int = 1, down: int = 1, padding: tuple[int, int] = (0, 0)) -> Tensor:
    """Inserts zeros, pads or crops, convolves with the whole filter in two dimensions, keeps every so manieth."""
    b, c, h, w = x.shape
    stuffed = x.new_zeros(b, c, h * up, w * up)
    stuffed[:, :, ::up, ::up] = x * up**2
    stuffed = F.pad(stuffed, [*padding, *padding])
    if taps is not None:
        whole = taps if taps.ndim == 2 else taps[:, None] * taps
        height, width = stuffed.shape[2:]
        # In the Fourier domain, since it is faster; the part that nothing wraps around into.
        product = torch.fft.rfft2(stuffed) * torch.fft.rfft2(whole, (height, width))
        stuffed = torch.fft.irfft2(product, (height, width))[:, :, len(whole) - 1 :, len(whole) - 1 :]
    return stuffed[:, :, ::down, ::down]


def layer(record: Record, x: Tensor, w: Tensor) -> Tensor:
    weight, fields = get(record, "weight"), record.fields
    style = dense(sub(record, "affine"), w)
    k = weight.shape[2]
    samples = []
    for one, s in zip(x, style, strict=True):
        if fields["is_torgb"]:
            mine = weight * s[:, None, None] / weight.shape[1] ** 0.5
        else:
            mine = weight / weight.square().mean((1, 2, 3), keepdim=True).sqrt()
            mine = mine * (s / style.square().mean().sqrt())[:, None, None]
            mine = mine / (mine.square().sum((1, 2, 3), keepdim=True) + 1e-8).sqrt()
        mine = mine / get(record, "magnitude_ema").sqrt()
        samples.append(F.conv2d(one[None], mine, padding=k - 1)[0])
    x = torch.stack(samples) + get(record, "bias")[:, None, None]
    up, down = (
        None if fields["_buffers"][f"{d}_filter"] is None else get(record, f"{d}_filter") for d in ("up", "down")
    )
    x = resample(x, up, up=fields["up_factor"], padding=tuple(fields["padding"][:2]))
    if not fields["is_torgb"]:
        x = F.leaky_relu(x, 0.2) * 2**0.5
    if fields["conv_clamp"] is not None:
        x = x.clamp(-fields["conv_clamp"], fields["conv_clamp"])
    return resample(x, down, down=fields["down_factor"])


def synthesis(generator: Record, ws: Tensor) -> Tensor:
    """Pictures in float64 of codes ``(B, num_ws, w_dim)``."""
    network = sub(generator, "synthesis")
    first, *others = network.fields["_modules"].values()
    x = waves(first, ws[:, 0])
    for i, record in enumerate(others):
        x = layer(record, x, ws[:, i + 1])
    return x * network.fields["output_scale"]
