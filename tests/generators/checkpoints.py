"""StyleGAN2 checkpoints as other projects write them: random weights of any size, without any of those projects' code.

`random_network` has the tensors as NVlabs' PyTorch code names and scales them; the writers bring them into each layout.
"""

from __future__ import annotations

import pickle
import sys
from collections import OrderedDict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

BUFFERS = ("resample_filter", "noise_const", "w_avg")
FILTER = (1, 3, 3, 1)


def random_network(
    channels: Sequence[int],
    w_dim: int = 32,
    mapping_layers: int = 2,
    seed: int = 0,
    resample_filter: Sequence[float] = FILTER,
) -> dict[str, Tensor]:
    """The state of a generator whose every tensor matters; ``channels`` at 4, 8, ... px."""
    draw = torch.Generator().manual_seed(seed)

    def normal(*shape: int, mean: float = 0.0, std: float = 1.0) -> Tensor:
        return mean + std * torch.randn(shape, generator=draw)

    taps = torch.tensor(resample_filter, dtype=torch.float32)
    kernel = torch.outer(taps, taps) / taps.sum() ** 2
    net = {"mapping.w_avg": normal(w_dim, std=0.1)}
    for i in range(mapping_layers):
        net |= {f"mapping.fc{i}.weight": normal(w_dim, w_dim, std=100), f"mapping.fc{i}.bias": normal(w_dim, std=10)}
    net["synthesis.b4.const"] = normal(channels[0], 4, 4)
    for i, above in enumerate(channels):
        block, side = f"synthesis.b{4 << i}", 4 << i
        net[f"{block}.resample_filter"] = kernel
        for conv, below in [("conv0", channels[i - 1]), ("conv1", above)][i == 0 :]:
            net |= {
                f"{block}.{conv}.weight": normal(above, below, 3, 3),
                f"{block}.{conv}.noise_strength": normal(mean=0.3, std=0.1),
                f"{block}.{conv}.bias": normal(above, std=0.3),
                f"{block}.{conv}.resample_filter": kernel,
                f"{block}.{conv}.noise_const": normal(side, side),
                f"{block}.{conv}.affine.weight": normal(below, w_dim),
                f"{block}.{conv}.affine.bias": normal(below, mean=1, std=0.3),
            }
        net |= {
            f"{block}.torgb.weight": normal(3, above, 1, 1),
            f"{block}.torgb.bias": normal(3, std=0.3),
            f"{block}.torgb.affine.weight": normal(above, w_dim),
            f"{block}.torgb.affine.bias": normal(above, mean=1, std=0.3),
        }
    return net


def write_ada(path: Path, network: Mapping[str, Tensor], **attributes: Mapping[str, object]) -> Path:
    """A pickle of stylegan2-ada-pytorch: ``G_ema`` as persistent modules, their source text a comment.

    Args:
        path: of the file.
        network: as of `random_network`; names may have been added or taken away.
        attributes: by class name, what the modules of the class shall say instead of the truth.
    """
    with stand_in_modules() as stand_ins:
        generator = _persistent(network, attributes, stand_ins)
        content = {"G": None, "D": None, "G_ema": generator, "training_set_kwargs": None, "augment_pipe": None}
        path.write_bytes(pickle.dumps(content))
    return path


def write_tensorflow(path: Path, network: Mapping[str, Tensor], version: int = 4, **arguments: object) -> Path:
    """A pickle of the TensorFlow code: ``(G, D, Gs)`` with lists of variables."""
    parts: dict[str, list[tuple[str, np.ndarray]]] = {"": [("lod", np.float32(0))], "mapping": [], "synthesis": []}  # type: ignore[list-item]
    for name, value in network.items():
        if not name.endswith("resample_filter"):
            component, variable, array = _tensorflow_variable(name, value.numpy())
            parts[component].append((variable, array))
    with stand_in_modules() as stand_ins:

        def make(name: str, variables: list[tuple[str, np.ndarray]], components: dict[str, object], **kwargs: object):
            net = stand_ins["Network"]()
            net.__dict__ = {
                "version": version,
                "name": name,
                "static_kwargs": dict(kwargs),
                "components": components,
                "build_module_src": "# omitted",
                "build_func_name": name,
                "variables": variables,
            }
            return net

        components = {part: make(f"G_{part}", parts[part], {}) for part in ("mapping", "synthesis")}
        truth = {"resolution": _resolution(network), "mapping_layers": _count(network, "mapping.fc{}", range(99))}
        gs = make("Gs", parts[""], components, **{"num_channels": 3, "label_size": 0, **truth, **arguments})
        path.write_bytes(pickle.dumps((make("G", [], {}), make("D", [], {}), gs)))
    return path


def rosinality_state(network: Mapping[str, Tensor]) -> OrderedDict[str, Tensor]:
    """The ``g_ema`` of a checkpoint of rosinality/stylegan2-pytorch."""
    state: OrderedDict[str, Tensor] = OrderedDict()
    for name, value in network.items():
        if name != "mapping.w_avg":
            target, tensor = _rosinality_tensor(name, value)
            if target:
                state[target] = tensor
    return state


def write_rosinality(path: Path, network: Mapping[str, Tensor]) -> Path:
    """A checkpoint of rosinality/stylegan2-pytorch as its converter and its training write it."""
    torch.save({"g_ema": rosinality_state(network), "latent_avg": network["mapping.w_avg"]}, path)
    return path


@contextmanager
def stand_in_modules() -> Iterator[dict[str, Any]]:
    """Modules with NVlabs' names, where pickle finds what it only needs to name while it writes."""

    class EasyDict(dict):  # type: ignore[type-arg]
        pass

    class Network:
        pass

    def _reconstruct_persistent_obj(meta: object) -> None:
        raise AssertionError("a checkpoint was executed")

    homes: dict[Any, str] = {
        EasyDict: "dnnlib.util",
        Network: "dnnlib.tflib.network",
        _reconstruct_persistent_obj: "torch_utils.persistence",
    }
    made: dict[str, Any] = {}
    for item, home in homes.items():
        parents = home.split(".")
        for depth in range(1, len(parents) + 1):
            made.setdefault(".".join(parents[:depth]), ModuleType(".".join(parents[:depth])))
        item.__module__, item.__qualname__ = home, item.__name__
        setattr(made[home], item.__name__, item)
    assert not made.keys() & sys.modules.keys()
    sys.modules.update(made)
    try:
        yield {item.__name__: item for item in homes}
    finally:
        for name in made:
            del sys.modules[name]


class PersistentModule(nn.Module):
    """What a module decorated with ``@persistent_class`` is to pickle."""

    def __init__(self, reconstruct: object, class_name: str) -> None:
        super().__init__()
        object.__setattr__(self, "meta", (reconstruct, class_name))

    def __reduce__(self) -> Any:
        state = {key: value for key, value in self.__dict__.items() if key != "meta"}
        reconstruct, class_name = self.__dict__["meta"]
        meta = {"type": "class", "version": 6, "module_src": "# omitted", "class_name": class_name, "state": state}
        return reconstruct, (meta,), None


def _persistent(
    network: Mapping[str, Tensor], attributes: Mapping[str, Mapping[str, object]], stand_ins: Mapping[str, Any]
) -> PersistentModule:
    """The tensors as nested modules with the attributes that NVlabs' code gives them."""
    made: dict[str, PersistentModule] = {}

    def module(path: str) -> PersistentModule:
        if path not in made:
            last = path.rpartition(".")[2]
            kinds = {"": "Generator", "mapping": "MappingNetwork", "synthesis": "SynthesisNetwork"}
            kind = kinds.get(path, "FullyConnectedLayer")
            for start, name in (("b", "SynthesisBlock"), ("conv", "SynthesisLayer"), ("torgb", "ToRGBLayer")):
                kind = name if last.startswith(start) else kind
            made[path] = PersistentModule(stand_ins["_reconstruct_persistent_obj"], kind)
            if path:
                module(path.rpartition(".")[0]).add_module(last, made[path])
            facts = _facts(path, kind, network) | {"_init_args": (), "_init_kwargs": stand_ins["EasyDict"]()}
            made[path].__dict__.update(facts | dict(attributes.get(kind, {})))
        return made[path]

    for name, value in network.items():
        path, _, last = name.rpartition(".")
        if last in BUFFERS:
            module(path).register_buffer(last, value)
        else:
            module(path).register_parameter(last, nn.Parameter(value, requires_grad=False))
    return module("")


def _facts(path: str, kind: str, network: Mapping[str, Tensor]) -> dict[str, object]:
    w_dim = network["synthesis.b4.conv1.affine.weight"].shape[1]
    if kind == "FullyConnectedLayer":
        multiplier = 0.01 if path.startswith("mapping") else 1
        gain = np.float64(multiplier / np.sqrt(network[f"{path}.weight"].shape[1]))
        activation = "lrelu" if path.startswith("mapping") else "linear"
        return {"activation": activation, "weight_gain": gain, "bias_gain": multiplier}
    facts: dict[str, dict[str, object]] = {
        "Generator": {"z_dim": w_dim, "c_dim": 0, "w_dim": w_dim, "img_channels": 3},
        "MappingNetwork": {
            "z_dim": w_dim,
            "c_dim": 0,
            "w_dim": w_dim,
            "w_avg_beta": 0.995,
            "num_layers": _count(network, "mapping.fc{}", range(99)),
        },
        "SynthesisNetwork": {"w_dim": w_dim, "img_channels": 3, "img_resolution": _resolution(network)},
        "SynthesisBlock": {"architecture": "skip", "use_fp16": False},
        "SynthesisLayer": {
            "up": 2 if path.endswith("conv0") else 1,
            "use_noise": True,
            "activation": "lrelu",
            "conv_clamp": None,
            "padding": 1,
            "act_gain": np.sqrt(2),
        },
        "ToRGBLayer": {"conv_clamp": None},
    }
    return facts[kind]


def _count(network: Mapping[str, Tensor], pattern: str, numbers: Sequence[int]) -> int:
    """How many modules there are of a kind, whatever tensors they lack."""
    return sum(any(name.startswith(pattern.format(i) + ".") for name in network) for i in numbers)


def _resolution(network: Mapping[str, Tensor]) -> int:
    return 2 << _count(network, "synthesis.b{}", [4 << i for i in range(20)])


def _tensorflow_variable(name: str, value: np.ndarray) -> tuple[str, str, np.ndarray]:
    """Component, name and value of a variable."""
    part, *rest = name.split(".")
    if rest == ["w_avg"]:
        return "", "dlatent_avg", value
    if part == "mapping":
        return part, f"Dense{rest[0][2:]}/{rest[1]}", value.T if rest[1] == "weight" else value
    block, side = rest[0], int(rest[0][1:])
    if rest[1] == "const":
        return part, "4x4/Const/const", value[None]
    layer = {"conv0": "Conv0_up", "conv1": "Conv1" if side > 4 else "Conv", "torgb": "ToRGB"}[rest[1]]
    if rest[-1] == "noise_const":
        number = int(np.log2(side)) * 2 - (5 if rest[1] == "conv0" else 4)
        return part, f"noise{number}", value[None, None]
    target = f"{block[1:]}x{block[1:]}/{layer}"
    if rest[2] == "affine":
        return part, f"{target}/mod_{rest[3]}", value.T if rest[3] == "weight" else value - 1
    if rest[2] == "weight":
        value = value.transpose(2, 3, 1, 0)
        value = value[::-1, ::-1] if rest[1] == "conv0" else value
    return part, f"{target}/{rest[2]}", np.array(value, order="C")


def _rosinality_tensor(name: str, value: Tensor) -> tuple[str, Tensor]:
    """Name (empty where there is no such tensor) and value in the state dict."""
    part, *rest = name.split(".")
    if part == "mapping":
        return f"style.{int(rest[0][2:]) + 1}.{rest[1]}", value
    level = int(np.log2(int(rest[0][1:]))) - 2
    if rest[1] == "const":
        return "input.input", value[None]
    if rest[1] == "resample_filter":
        return (f"to_rgbs.{level - 1}.upsample.kernel" if level else ""), value * 4
    up = rest[1] == "conv0"
    index = 2 * level - 2 + (not up)
    target = {"torgb": f"to_rgbs.{level - 1}" if level else "to_rgb1"}.get(
        rest[1], f"convs.{index}" if level else "conv1"
    )
    if rest[2] == "affine":
        return f"{target}.conv.modulation.{rest[3]}", value
    if rest[2] == "noise_const":
        return f"noises.noise_{index + 1 if level else 0}", value[None, None]
    if rest[1] == "torgb" and rest[2] == "bias":
        return f"{target}.bias", value.reshape(1, 3, 1, 1)
    if rest[2] == "resample_filter":
        return (f"{target}.conv.blur.kernel" if up else ""), value * 4
    if rest[2] == "weight":
        return f"{target}.conv.weight", value[None]
    if rest[2] == "noise_strength":
        return f"{target}.noise.weight", value.reshape(1)
    return f"{target}.activate.bias", value
