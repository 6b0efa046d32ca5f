"""StyleGAN 1 checkpoints as other projects write them, made of the variables of ``stylegan1_reference``."""

from __future__ import annotations

import pickle
from collections import OrderedDict
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from stylerig_fast.untrusted import Record
from tests.generators.checkpoints import stand_in_modules
from tests.generators.stylegan1_reference import Variables


def tensorflow_tree(variables: Variables, version: int = 3, **arguments: object) -> list[Record]:
    """What reading a pickle of NVlabs' TensorFlow code gives, without a file."""
    return list(
        _networks(lambda state: Record("dnnlib.tflib.network.Network", "", state), variables, version, arguments)
    )


def write_tensorflow(path: Path, variables: Variables, version: int = 3, **arguments: object) -> Path:
    """A pickle of NVlabs' TensorFlow code: ``(G, D, Gs)``, each a Network with its components and own variables."""
    with stand_in_modules() as stand_ins:

        def make(state: dict[str, Any]) -> object:
            network = stand_ins["Network"]()
            network.__dict__.update(state, variables=[*map(tuple, state["variables"])])
            return network

        path.write_bytes(pickle.dumps(_networks(make, variables, version, arguments)))
    return path


def _networks(
    make: Callable[[dict[str, Any]], Any], variables: Variables, version: int, arguments: dict[str, object]
) -> tuple[Any, Any, Any]:
    parts: dict[str, list[list[object]]] = {"": [], "mapping": [], "synthesis": []}
    for name, value in variables.items():
        part, _, rest = name.partition("/")
        parts[part if rest else ""].append([rest or name, np.asarray(value)])

    def network(name: str, part: str, components: Mapping[str, object]) -> Any:
        state = {"version": version, "name": name, "static_kwargs": dict(arguments), "components": dict(components)}
        return make(state | {"build_module_src": "# omitted", "build_func_name": name, "variables": parts[part]})

    inner = {part: network(f"G_{part}", part, {}) for part in ("synthesis", "mapping")}
    return network("G", "", {}), network("D", "", {}), network("Gs", "", inner)


def genforce_state(variables: Variables) -> OrderedDict[str, Tensor]:
    """The state dict of GenForce's StyleGANGenerator (``models/stylegan_generator.py``) with the same weights."""
    count = sum(name.startswith("synthesis/ToRGB") for name in variables) // 2
    state: OrderedDict[str, Tensor] = OrderedDict()
    for name, value in variables.items():
        part, _, rest = name.partition("/")
        array = torch.from_numpy(np.array(value))
        words = rest.split("/")
        if name == "dlatent_avg":
            state["truncation.w_avg"] = array
        elif part == "mapping":
            state[f"mapping.dense{words[0][5:]}.{words[1]}"] = array.mT if words[1] == "weight" else array
        elif name == "synthesis/lod":
            state["synthesis.lod"] = array
        elif words[0].startswith("noise"):
            state[f"synthesis.layer{words[0][5:]}.apply_noise.noise"] = array
        elif words[0].startswith("ToRGB"):
            array = array.permute(3, 2, 0, 1) if words[1] == "weight" else array
            state[f"synthesis.output{count - 1 - int(words[0][9:])}.{words[1]}"] = array
        elif rest:
            level = int(np.log2(int(words[0].split("x")[0]))) - 2
            layer = f"synthesis.layer{2 * level + (words[1] in ('Conv', 'Conv1'))}"
            kind = "/".join(words[2:])
            if kind == "weight":
                array = array.permute(3, 2, 0, 1)
            elif kind == "StyleMod/weight":
                array = array.mT
            kind = kind.replace("Noise/", "apply_noise.").replace("StyleMod/", "style.")
            state[f"{layer}.{kind}"] = array.contiguous()
            if words[1] == "Conv0_up" and kind == "bias":
                line = torch.tensor([0.25, 0.5, 0.25])
                state[f"{layer}.blur.kernel"] = torch.outer(line, line).repeat(array.shape[0], 1, 1, 1)
    return state


def tensorflow_variables(state: Mapping[str, Tensor]) -> Variables:
    """The way back of `genforce_state`, for a state dict of any origin."""
    count = sum(name.startswith("synthesis.output") for name in state) // 2
    made: Variables = {"lod": np.float32(0)}  # type: ignore[dict-item]
    for name, value in state.items():
        words = name.split(".")
        if words[0] == "truncation":
            made["dlatent_avg"] = value.numpy()
        elif words[0] == "mapping":
            made[f"mapping/Dense{words[1][5:]}/{words[2]}"] = (value.mT if value.ndim == 2 else value).numpy()
        elif words[1] == "lod":
            made["synthesis/lod"] = value.numpy()
        elif words[1].startswith("output"):
            value = value.permute(2, 3, 1, 0) if value.ndim == 4 else value
            made[f"synthesis/ToRGB_lod{count - 1 - int(words[1][6:])}/{words[2]}"] = value.numpy()
        elif words[2:] == ["apply_noise", "noise"]:
            made[f"synthesis/noise{words[1][5:]}"] = value.numpy()
        elif words[2] != "blur":
            index = int(words[1][5:])
            side = 4 << index // 2
            layer = [("Const", "Conv"), ("Conv0_up", "Conv1")][index > 1][index % 2]
            kind = "/".join(words[2:]).replace("apply_noise", "Noise").replace("style", "StyleMod")
            if kind == "weight":
                value = value.permute(2, 3, 1, 0)
            elif kind == "StyleMod/weight":
                value = value.mT
            made[f"synthesis/{side}x{side}/{layer}/{kind}"] = value.numpy()
    return made
