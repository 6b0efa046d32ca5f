"""StyleGAN2 pickles of NVlabs' PyTorch code: stylegan2-ada-pytorch, and the StyleGAN2 configurations of stylegan3.

The two differ in defaults (``conv_clamp``), so what the modules themselves computed with is read, not what they were
asked for. Layout after ``training/networks.py`` of https://github.com/NVlabs/stylegan2-ada-pytorch.
"""

from __future__ import annotations

from torch import Tensor

from stylerig_fast.errors import CheckpointError
from stylerig_fast.generators.base import Generator
from stylerig_fast.generators.formats import persistent
from stylerig_fast.generators.formats.stylegan2 import (
    GAIN,
    build,
    check_labels,
    check_sizes,
    common_filter,
    conv_state,
    rgb_state,
)
from stylerig_fast.generators.formats.tensors import Tensors
from stylerig_fast.untrusted import Record, Tree

FORMAT = "StyleGAN2-ADA (PyTorch)"


def matches(tree: Tree) -> bool:
    """Whether this is a pickle with a StyleGAN2 generator of NVlabs' PyTorch code."""
    generator = persistent.find_generator(tree)
    return generator is not None and persistent.child(generator, "synthesis.b4") is not None


def convert(tree: Tree, where: str, name: str) -> Generator:
    """The averaged generator of a pickle.

    Args:
        tree: the pickle.
        where: the file, for messages.
        name: see `Generator`.

    Raises:
        CheckpointError: it takes labels, is of another than the skip architecture, or its tensors are not exactly
            those of the architecture.
    """
    record = persistent.find_generator(tree)
    if record is None:
        raise CheckpointError(f"{where}: no {persistent.AVERAGED} of NVlabs' PyTorch code in it")
    return _Reader(record, where).read(name)


class _Reader:
    def __init__(self, record: Record, where: str) -> None:
        self.modules = dict(persistent.modules(record))
        self.where = where
        self.tensors = Tensors(persistent.flatten(record), where)
        self.clamps: list[float | None] = []

    def read(self, name: str) -> Generator:
        where = self.where
        for place in ("", "mapping"):
            check_labels(self._module(place).fields.get("c_dim"), where)
        persistent.expect(self._module(""), "img_channels", 3, where)
        w_dim, z_dim = (persistent.number(self._module("mapping"), key, where) for key in ("w_dim", "z_dim"))
        if w_dim != z_dim:
            raise CheckpointError(
                f"{where}: z has {z_dim} numbers and w {w_dim}; only networks with equal ones are known"
            )
        state: dict[str, Tensor] = {}
        with self.tensors as tensors:
            layers = max(self._count("mapping.fc{}", 1), 1)
            for i in range(layers):
                state |= self._dense(i)
            w_mean = tensors.take("mapping.w_avg", (None,)) if "mapping.w_avg" in tensors else None
            blocks = self._count("synthesis.b{}", 4)
            state["const"] = tensors.take("synthesis.b4.const", (None, 4, 4))
            channels = [int(state["const"].shape[0])]
            filters = []
            for i in range(blocks):
                source = f"synthesis.b{4 << i}"
                persistent.expect(self._module(source), "architecture", "skip", f"{where}: {source}")
                filters.append(tensors.take(f"{source}.resample_filter"))
                if i > 0:
                    state |= self._conv(2 * i - 1, f"{source}.conv0", filters)
                    channels.append(int(state[f"blocks.{i}.convs.0.bias"].shape[0]))
                state |= self._conv(2 * i, f"{source}.conv1", filters)
                state |= self._rgb(i, f"{source}.torgb")
        resolution = persistent.attribute(self._module("synthesis"), "img_resolution", where)
        depth = persistent.attribute(self._module("mapping"), "num_layers", where)
        check_sizes(resolution, channels, depth, layers, where)
        clamps = set(self.clamps)
        if len(clamps) > 1:
            raise CheckpointError(f"{where}: layers have different conv_clamp, {clamps}; only a common one is known")
        return build(
            state,
            w_mean,
            where,
            channels=channels,
            w_dim=int(w_dim),
            mapping_layers=layers,
            resample_filter=common_filter(filters, where),
            clamp=clamps.pop() if clamps else None,
            name=name,
        )

    def _module(self, name: str) -> Record:
        if name not in self.modules:
            raise CheckpointError(f"{self.where}: lacks the module {name}; the file is damaged or of another network")
        return self.modules[name]

    def _count(self, pattern: str, first: int) -> int:
        """How many there are of ``fc0, fc1, fc2, ...`` (``first`` 1) or of ``b4, b8, b16, ...`` (``first`` 4)."""
        count = 0
        while pattern.format(count if first == 1 else first << count) in self.modules:
            count += 1
        return count

    def _linear(self, source: str, activation: str) -> tuple[Tensor, Tensor]:
        """Weight ``(outputs, inputs)`` and bias of a fully connected layer, with its gains."""
        module, where = self._module(source), f"{self.where}: {source}"
        persistent.expect(module, "activation", activation, where)
        weight = self.tensors.take(f"{source}.weight", (None, None))
        bias = self.tensors.take(f"{source}.bias", (weight.shape[0],))
        return (
            weight * persistent.number(module, "weight_gain", where),
            bias * persistent.number(module, "bias_gain", where),
        )

    def _dense(self, layer: int) -> dict[str, Tensor]:
        weight, bias = self._linear(f"mapping.fc{layer}", "lrelu")
        target = f"mapping_network.layers.{layer}"
        return {f"{target}.weight": weight * GAIN, f"{target}.bias": bias * GAIN}

    def _conv(self, layer: int, source: str, filters: list[Tensor]) -> dict[str, Tensor]:
        module, where, side = self._module(source), f"{self.where}: {source}", 4 << (layer + 1) // 2
        persistent.expect(module, "activation", "lrelu", where)
        persistent.expect(module, "up", 2 if layer % 2 else 1, where)
        self.clamps.append(self._clamp(module, where))
        take = self.tensors.take
        weight = take(f"{source}.weight", (None, None, 3, 3))
        if layer % 2:
            filters.append(take(f"{source}.resample_filter"))
        else:
            self.tensors.drop(f"{source}.resample_filter")  # there, and not applied
        if persistent.attribute(module, "use_noise", where) is not False:
            strength, noise = take(f"{source}.noise_strength", ()), take(f"{source}.noise_const", (side, side))
        else:
            strength, noise = weight.new_zeros(()), weight.new_zeros(side, side)
        affine, bias = self._linear(f"{source}.affine", "linear"), take(f"{source}.bias", (weight.shape[0],))
        return conv_state(layer, weight, affine, bias, strength, noise)

    def _rgb(self, block: int, source: str) -> dict[str, Tensor]:
        module, where = self._module(source), f"{self.where}: {source}"
        self.clamps.append(self._clamp(module, where))
        weight = self.tensors.take(f"{source}.weight", (3, None, 1, 1))
        affine, bias = self._linear(f"{source}.affine", "linear"), self.tensors.take(f"{source}.bias", (3,))
        return rgb_state(block, weight, affine, bias)

    def _clamp(self, module: Record, where: str) -> float | None:
        if persistent.attribute(module, "conv_clamp", where) is None:
            return None
        return persistent.number(module, "conv_clamp", where)
