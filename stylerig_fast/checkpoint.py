"""Own checkpoints: a folder with ``config.json`` and ``model.safetensors``, its sha256 recorded; never pickle."""

from __future__ import annotations

import contextlib
import hashlib
import itertools
import json
import threading
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import TypeVar

import torch
from safetensors import SafetensorError
from safetensors.torch import load as load_safetensors
from safetensors.torch import save as save_safetensors
from torch import Tensor, nn
from torch.nn.modules.module import register_module_parameter_registration_hook

from stylerig_fast import strict_json
from stylerig_fast.atomic_files import read_member, write_together
from stylerig_fast.errors import CheckpointError

FORMAT = 2
# Format 1 differs in names of a rig's tensors alone.
READABLE = (1, 2)
CONFIG, WEIGHTS = "config.json", "model.safetensors"

M = TypeVar("M", bound=nn.Module)


def save_checkpoint(
    folder: str | Path,
    kind: str,
    config: Mapping[str, object],
    state: Mapping[str, Tensor],
    dtype: torch.dtype | None = None,
) -> None:
    """Writes a checkpoint folder.

    Over another checkpoint either this one or that one is there at any moment, see `write_together`.

    Args:
        folder: created if needed.
        kind: what it is ("reconstructor", "rig", ...), checked on loading.
        config: JSON-able arguments that rebuild the module.
        state: tensors by name.
        dtype: floating-point tensors are stored in this dtype, to ship smaller files.
    """
    folder = Path(folder)
    tensors = {
        name: value.detach().to("cpu", dtype if value.is_floating_point() else None).contiguous()
        for name, value in state.items()
    }
    weights = save_safetensors(tensors)

    def head(sums: Mapping[str, str]) -> bytes:
        values = {"format": FORMAT, "kind": kind, "sha256": sums[WEIGHTS], "config": dict(config)}
        return (json.dumps(values, indent=2) + "\n").encode()

    write_together(folder, [(WEIGHTS, weights)], CONFIG, head)


def read_checkpoint(
    folder: str | Path, kind: str, renamed: Mapping[str, str] | None = None
) -> tuple[dict[str, object], dict[str, Tensor]]:
    """Config and tensors of a checkpoint folder.

    Args:
        folder: as `save_checkpoint` wrote it.
        kind: what it should hold.
        renamed: tensors of format 1 that are called otherwise today: old name to new name.

    Raises:
        CheckpointError: a file is missing or damaged, or the folder holds another kind of checkpoint.
    """
    folder = Path(folder)
    while True:
        before = _read(folder, kind)
        config, sha256, version = _head(folder, kind, before)
        weights = _read(folder, kind, sha256)
        digest = hashlib.sha256(weights).hexdigest()
        if digest == sha256:
            return config, _tensors(folder, weights, renamed if renamed and version == 1 else {})
        if _read(folder, kind) == before:  # else it was replaced in the meantime
            raise CheckpointError(
                f"{folder / WEIGHTS}: sha256 {digest[:12]}… is not the recorded {sha256[:12]}…; "
                "the file is truncated or changed: fetch or train it again"
            )


def _read(folder: Path, kind: str, sha256: str | None = None) -> bytes:
    """The config, or the weights with this sum."""
    name = CONFIG if sha256 is None else WEIGHTS
    try:
        return (folder / CONFIG).read_bytes() if sha256 is None else read_member(folder, WEIGHTS, sha256)
    except FileNotFoundError as error:
        raise CheckpointError(
            f"{folder / name}: no such file; expected a {kind} checkpoint folder ({CONFIG}, {WEIGHTS})"
        ) from error


def _tensors(folder: Path, weights: bytes, renamed: Mapping[str, str]) -> dict[str, Tensor]:
    try:
        tensors = load_safetensors(weights)
    except (SafetensorError, ValueError, KeyError, RuntimeError) as error:  # KeyError: a dtype that torch lacks
        raise CheckpointError(
            f"{folder / WEIGHTS}: not a safetensors file ({error}); fetch or train it again"
        ) from error
    mixed = sorted(renamed.values() & tensors.keys())
    if mixed:
        raise CheckpointError(f"{folder / WEIGHTS}: format 1 with tensors of format 2: {', '.join(mixed)}")
    return {renamed.get(name, name): value for name, value in tensors.items()}


def _head(folder: Path, kind: str, content: bytes) -> tuple[dict[str, object], str, int]:
    """Config, the weights' sha256 and the format."""
    try:
        head = strict_json.loads(content)
        found, sha256, config = head["kind"], head["sha256"], head["config"]
        version = head["format"]
    except (ValueError, KeyError, TypeError) as error:
        raise CheckpointError(
            f"{folder / CONFIG}: not a checkpoint config ({error!r}); fetch or train it again"
        ) from error
    if found != kind or not isinstance(config, dict):
        raise CheckpointError(f"{folder}: holds a {found!r} checkpoint, expected {kind!r}")
    if version not in READABLE:
        raise CheckpointError(
            f"{folder}: checkpoint format {version!r}, this version reads {READABLE[0]} to {READABLE[-1]}; update "
            "stylerig-fast"
        )
    return config, str(sha256), version


def load_checkpoint(
    folder: str | Path,
    kind: str,
    build: Callable[[Mapping[str, object]], M],
    renamed: Mapping[str, str] | None = None,
) -> M:
    """A module rebuilt from its config, in eval mode, with every tensor loaded.

    Args:
        folder: as `save_checkpoint` wrote it.
        kind: what it should hold.
        build: makes the module of the config.
        renamed: as in `read_checkpoint`.

    Raises:
        CheckpointError: as `read_checkpoint`, or the tensors do not fit the config; the message names them.
    """
    config, tensors = read_checkpoint(folder, kind, renamed)
    found = {name: tuple(value.shape) for name, value in tensors.items()}
    try:
        # First without memory: a few bytes of config may ask for any amount.
        with torch.device("meta"), _limited_parameters(2 * len(tensors) + 256):
            expected = {name: tuple(value.shape) for name, value in build(config).state_dict().items()}
        module = build(config) if expected == found else None
    except Exception as error:  # a config is anybody's: what a constructor makes of it is no fault of the program
        raise CheckpointError(f"{Path(folder) / CONFIG}: not a {kind} config of this version ({error})") from error
    if module is None:
        wrong = sorted(name for name in expected.keys() | found.keys() if expected.get(name) != found.get(name))
        raise CheckpointError(f"{Path(folder) / WEIGHTS}: tensors do not fit the config: {', '.join(wrong[:6])}")
    module.load_state_dict(tensors)
    return module.eval().requires_grad_(False)


@contextlib.contextmanager
def _limited_parameters(count: int) -> Iterator[None]:
    """ValueError as soon as modules that this thread builds have more than ``count`` parameters."""
    thread, made = threading.get_ident(), itertools.count(1)

    def registered(module: nn.Module, name: str, parameter: nn.Parameter | None) -> None:
        if threading.get_ident() == thread and next(made) > count:
            raise ValueError(f"it asks for many more tensors than {WEIGHTS} holds")

    hook = register_module_parameter_registration_hook(registered)
    try:
        yield
    finally:
        hook.remove()
