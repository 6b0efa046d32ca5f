"""Networks of NVlabs' TensorFlow code (``dnnlib.tflib.network.Network``) in pickles of StyleGAN 1 and 2."""

from __future__ import annotations

import numpy as np

from stylerig_fast.errors import CheckpointError
from stylerig_fast.untrusted import Record, Tree

KIND = "dnnlib.tflib.network.Network"


def find_generator(tree: Tree) -> Record | None:
    """The averaged generator: the last of the three networks ``(G, D, Gs)`` of a pickle, or the one that it is."""
    if isinstance(tree, list) and len(tree) == 3 and all(_is_network(item) for item in tree):
        tree = tree[2]
    return tree if _is_network(tree) else None


def arguments(network: Record) -> dict[str, Tree]:
    """What the network was made with."""
    found = network.fields.get("static_kwargs")
    return found if isinstance(found, dict) else {}


def variables(network: Record, where: str) -> dict[str, np.ndarray]:
    """All variables by name; those of the components have the component's name in front, ``"mapping/Dense0/bias"``.

    Raises:
        CheckpointError: they have another form than names and arrays.
    """
    found: dict[str, np.ndarray] = {}
    _collect(network, "", where, found)
    return found


def names(network: Record) -> set[str]:
    """The names of `variables`; for finding out what the network is, before anything is known about it."""
    try:
        return set(variables(network, ""))
    except CheckpointError:
        return set()


def _collect(network: Record, prefix: str, where: str, found: dict[str, np.ndarray]) -> None:
    listed = network.fields.get("variables")
    for pair in listed if isinstance(listed, list) else []:
        name, value = pair if isinstance(pair, list) and len(pair) == 2 else (None, None)
        if isinstance(value, (int, float)):
            value = np.array(value, np.float32)
        if not isinstance(name, str) or not isinstance(value, np.ndarray):
            raise CheckpointError(
                f"{where}: a variable of the network {network.fields.get('name')!r:.40} is {pair!r:.60}, expected a "
                "name and an array; the file is damaged"
            )
        found[prefix + name] = value
    components = network.fields.get("components")
    for name, component in components.items() if isinstance(components, dict) else ():
        if _is_network(component):
            _collect(component, f"{prefix}{name}/", where, found)


def _is_network(tree: Tree) -> bool:
    return isinstance(tree, Record) and tree.kind == KIND
