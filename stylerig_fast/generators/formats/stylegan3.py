"""NVlabs' stylegan3 pickles (github.com/NVlabs/stylegan3), configurations T and R."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator

import numpy as np
import torch
from torch import Tensor

from stylerig_fast.errors import CheckpointError
from stylerig_fast.generators.base import Generator
from stylerig_fast.generators.formats.persistent import attribute, child, expect, find_generator, flatten, number
from stylerig_fast.generators.formats.tensors import Tensors
from stylerig_fast.generators.stylegan3 import StyleGAN3
from stylerig_fast.generators.stylegan3_filters import Architecture, LayerPlan
from stylerig_fast.untrusted import Record, Tree

FORMAT = "StyleGAN3"
GAIN = 2**0.5  # of the non-linearity
# Positional arguments of the generator's class, as far as anyone could have given them so.
POSITIONAL = ("z_dim", "c_dim", "w_dim", "img_resolution", "img_channels", "mapping_kwargs")
# Arguments of it and of the mapping network that say how it was trained, or what its modules' own gains say.
IGNORED = ("magnitude_ema_beta", "num_fp16_res")
MAPPING_IGNORED = ("lr_multiplier", "w_avg_beta", "freeze_layers", "freeze_embed")


def matches(tree: Tree) -> bool:
    """Whether this is a StyleGAN3, whatever its classes are called: it begins with waves.

    Pickles of the stylegan3 code can hold a StyleGAN2 too; that begins with a constant.
    """
    generator = find_generator(tree)
    return generator is not None and child(generator, "synthesis.input") is not None


def convert(tree: Tree, where: str, name: str) -> Generator:
    """The averaged generator of a pickle.

    Filters are designed anew from the arguments that the generator was made with, and must be those of the file.

    Args:
        tree: from `read_pickle`.
        where: the file, for messages.
        name: `Generator.name`.

    Raises:
        CheckpointError: labels, arguments or an architecture that are not StyleGAN3's, or tensors that do not fit it.
    """
    generator = find_generator(tree)
    if generator is None:
        raise CheckpointError(f"{where}: holds no averaged generator, G_ema")
    architecture = read_architecture(generator, where)
    with Tensors(flatten(generator), where) as tensors:
        state = {"w_mean": tensors.take("mapping.w_avg", (architecture.w_dim,))}
        converter = _Converter(generator, tensors, architecture, where)
        for part in (converter.mapping(), converter.waves(), converter.layers()):
            state.update(part)
    result = StyleGAN3(name=name, **dataclasses.asdict(architecture))
    result.load_state_dict(state)
    return result.eval().requires_grad_(False)


def read_architecture(generator: Record, where: str) -> Architecture:
    """The arguments that a generator was made with.

    Raises:
        CheckpointError: not all of them are known, or they make no network of ours.
    """
    positional, keywords = attribute(generator, "_init_args", where), attribute(generator, "_init_kwargs", where)
    if not isinstance(positional, list) or len(positional) > len(POSITIONAL) or not isinstance(keywords, dict):
        raise CheckpointError(f"{where}: the generator's constructor arguments cannot be read; the file is damaged")
    given = {**dict(zip(POSITIONAL, positional, strict=False)), **keywords}
    mapping = given.pop("mapping_kwargs", {})
    if not isinstance(mapping, dict):
        raise CheckpointError(f"{where}: mapping_kwargs is {mapping!r:.60}, expected a dictionary")
    if given.pop("c_dim", 0) != 0:
        raise CheckpointError(f"{where}: the generator takes labels; expected one made without")
    if given.pop("img_channels", 3) != 3:
        raise CheckpointError(f"{where}: the generator does not make RGB pictures; expected 3 channels")
    if given.pop("z_dim", None) != given.get("w_dim"):
        raise CheckpointError(f"{where}: z and w have different lengths; expected the same")
    given["resolution"] = given.pop("img_resolution", None)
    given["mapping_layers"] = mapping.get("num_layers", 2)
    kinds = {field.name: str(field.type) for field in dataclasses.fields(Architecture)}
    unknown = [key for key in given if key not in kinds and key not in IGNORED]
    unknown += [f"mapping_kwargs.{key}" for key in mapping if key not in ("num_layers", *MAPPING_IGNORED)]
    if unknown:
        raise CheckpointError(
            f"{where}: the generator was made with arguments that StyleGAN3 does not have: {', '.join(unknown)}; "
            "it is another network, or a newer version of this one"
        )
    arguments = {key: _typed(key, value, kinds[key], where) for key, value in given.items() if key not in IGNORED}
    try:
        architecture = Architecture(**arguments)  # type: ignore[arg-type]
        architecture.layers()
    except ValueError as error:
        raise CheckpointError(f"{where}: the generator's arguments make no StyleGAN3: {error}") from error
    return architecture


def _typed(name: str, value: Tree, kind: str, where: str) -> bool | int | float | None:
    if isinstance(value, np.ndarray) and value.ndim == 0:
        value = value.item()
    if value is None and "None" in kind:
        return None
    if kind == "bool" and isinstance(value, (bool, int)):
        return bool(value)
    if isinstance(value, (int, float)) and not isinstance(value, bool) and abs(value) < 2**62:
        if kind.startswith("float"):
            return float(value)
        if kind == "int" and value == int(value):
            return int(value)
    raise CheckpointError(f"{where}: the generator's argument {name} is {value!r:.60}, expected {kind}")


class _Converter:
    """The parts of a state, each taken out of the checkpoint's tensors."""

    def __init__(self, generator: Record, tensors: Tensors, architecture: Architecture, where: str) -> None:
        self.generator, self.tensors, self.where = generator, tensors, where
        self.architecture = architecture
        self.plans = architecture.layers()

    def mapping(self) -> dict[str, Tensor]:
        state: dict[str, Tensor] = {}
        width = self.architecture.w_dim
        for i in range(self.architecture.mapping_layers):
            expect(self.module(f"mapping.fc{i}"), "activation", "lrelu", f"{self.where}: mapping.fc{i}")
            dense = self.dense(f"mapping.fc{i}", width, width)
            state |= {f"mapping_network.layers.{i}.{key}": value * GAIN for key, value in dense.items()}
        return state

    def waves(self) -> dict[str, Tensor]:
        source, signal = "synthesis.input", self.plans[0].before
        record, width = self.module(source), signal.channels
        self.agree(record, source, "size", [signal.size] * 2)
        self.agree(record, source, "sampling_rate", signal.rate)
        self.agree(record, source, "bandwidth", signal.cutoff)
        affine = self.dense(f"{source}.affine", self.architecture.w_dim, 4)
        return {
            "waves.weight": self.tensors.take(f"{source}.weight", (width, width)) / width**0.5,
            "waves.frequencies": self.tensors.take(f"{source}.freqs", (width, 2)),
            "waves.phases": self.tensors.take(f"{source}.phases", (width,)),
            "waves.transform": self.tensors.take(f"{source}.transform", (3, 3)),
            **{f"waves.affine.{key}": value for key, value in affine.items()},
        }

    def layers(self) -> Iterator[tuple[str, Tensor]]:
        self.agree(self.module("synthesis"), "synthesis", "output_scale", self.architecture.output_scale)
        for i, plan in enumerate(self.plans):
            source = f"synthesis.L{i}_{plan.after.size}_{plan.after.channels}"
            colours = i == len(self.plans) - 1
            target = "colours" if colours else f"layers.{i}"
            self.check_layer(source, plan, colours)
            for key, value in self.layer(source, plan, colours).items():
                yield f"{target}.{key}", value

    def layer(self, source: str, plan: LayerPlan, colours: bool) -> dict[str, Tensor]:
        take, inputs, outputs = self.tensors.take, plan.before.channels, plan.after.channels
        weight = take(f"{source}.weight", (outputs, inputs, plan.kernel, plan.kernel))
        bias = take(f"{source}.bias", (outputs,))
        magnitude = take(f"{source}.magnitude_ema", ())
        if not magnitude > 0:
            raise CheckpointError(f"{self.where}: {source}.magnitude_ema is {float(magnitude)}, expected more than 0")
        for direction, designed in (("up", plan.up_taps), ("down", plan.down_taps)):
            self.check_filter(f"{source}.{direction}_filter", designed)
        affine = self.dense(f"{source}.affine", self.architecture.w_dim, inputs)
        state = {f"affine.{key}": value for key, value in affine.items()}
        gain = magnitude.rsqrt()
        if colours:
            scale = self.architecture.output_scale
            return {**state, "weight": weight * (gain * scale / inputs**0.5), "bias": bias * scale}
        norm = weight.square().sum((1, 2, 3), keepdim=True).sqrt().clamp_min(torch.finfo(torch.float32).tiny)
        return {**state, "weight": weight / norm, "bias": bias * GAIN, "input_gain": gain}

    def check_layer(self, source: str, plan: LayerPlan, colours: bool) -> None:
        """Compares what a layer says about itself with its plan."""
        record = self.module(source)
        low = plan.reach[0] - 1 - plan.offset
        total = (plan.after.size - 1) * plan.down + sum(plan.reach) - 1 - plan.convolved * plan.up
        said = {
            "is_torgb": colours,
            "in_size": [plan.before.size] * 2,
            "out_size": [plan.after.size] * 2,
            "up_factor": plan.up,
            "down_factor": plan.down,
            "padding": [low, total - low] * 2,
            "conv_clamp": self.architecture.conv_clamp,
        }
        for key, value in said.items():
            self.agree(record, source, key, value)

    def check_filter(self, source: str, designed: Tensor | None) -> None:
        """Compares a filter with the one that the architecture designs.

        Raises:
            CheckpointError: they differ.
        """
        if designed is None:
            return  # If the file has one, it is left over.
        found = self.tensors.take(source, tuple(designed.shape))
        error = float((found - designed).abs().max() / designed.abs().max())
        if not error < 1e-5:
            raise CheckpointError(
                f"{self.where}: {source} differs by {error:.2g} of its largest tap from the filter that the "
                "generator's arguments ask for; it was made by another version of NVlabs' code"
            )

    def dense(self, source: str, inputs: int, outputs: int) -> dict[str, Tensor]:
        """A fully connected layer, its gains folded in."""
        record = self.module(source)
        where = f"{self.where}: {source}"
        return {
            "weight": self.tensors.take(f"{source}.weight", (outputs, inputs)) * number(record, "weight_gain", where),
            "bias": self.tensors.take(f"{source}.bias", (outputs,)) * number(record, "bias_gain", where),
        }

    def module(self, name: str) -> Record:
        found = child(self.generator, name)
        if found is None:
            parent = name.rpartition(".")[0]
            record = child(self.generator, parent) if parent else self.generator
            siblings = record.fields.get("_modules") if record is not None else None
            there = ", ".join(siblings) if isinstance(siblings, dict) else "nothing"
            raise CheckpointError(
                f"{self.where}: the generator's arguments ask for a module {name}, but {parent or 'it'} holds {there}"
            )
        return found

    def agree(self, record: Record, source: str, name: str, expected: object) -> None:
        """Refuses a module whose attribute is not what follows from the generator's arguments."""
        value = attribute(record, name, f"{self.where}: {source}")
        value = value.tolist() if isinstance(value, np.ndarray) else value
        if isinstance(expected, float) and isinstance(value, (int, float)):
            same = abs(value - expected) <= 1e-6 * abs(expected)
        else:
            same = value == expected
        if not same:
            raise CheckpointError(
                f"{self.where}: {source}.{name} is {value!r:.60}, but the generator's arguments make it {expected!r}; "
                "it was made by another version of NVlabs' code"
            )
