"""Own checkpoints: a folder with ``config.json`` and ``model.safetensors``, its sha256 recorded; never pickle."""

from __future__ import annotations

import hashlib
import json
import os
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TypeVar

import torch
from safetensors.torch import load as load_safetensors
from safetensors.torch import save as save_safetensors
from torch import Tensor, nn

from stylerig_fast.errors import CheckpointError

FORMAT = 2
# Format 1 differs in names of a rig's tensors alone.
READABLE = (1, 2)
CONFIG, WEIGHTS = "config.json", "model.safetensors"

M = TypeVar("M", bound=nn.Module)


def write_atomically(path: Path, content: bytes) -> None:
    """Writes ``path`` whole or not at all: temporary name, fsync, rename."""
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, temporary = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.chmod(temporary, 0o644)
        os.replace(temporary, path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise


def save_checkpoint(
    folder: str | Path,
    kind: str,
    config: Mapping[str, object],
    state: Mapping[str, Tensor],
    dtype: torch.dtype | None = None,
) -> None:
    """Writes a checkpoint folder.

    The weights are written before the config that names their sha256, so an interrupted save is found
    on loading and never read as a whole one.

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
    head = {"format": FORMAT, "kind": kind, "sha256": hashlib.sha256(weights).hexdigest(), "config": dict(config)}
    write_atomically(folder / WEIGHTS, weights)
    write_atomically(folder / CONFIG, (json.dumps(head, indent=2) + "\n").encode())


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
    for name in (CONFIG, WEIGHTS):
        if not (folder / name).is_file():
            raise CheckpointError(
                f"{folder / name}: no such file; expected a {kind} checkpoint folder ({CONFIG}, {WEIGHTS})"
            )
    try:
        head = json.loads((folder / CONFIG).read_bytes())
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
    weights = (folder / WEIGHTS).read_bytes()
    digest = hashlib.sha256(weights).hexdigest()
    if digest != sha256:
        raise CheckpointError(
            f"{folder / WEIGHTS}: sha256 {digest[:12]}… is not the recorded {str(sha256)[:12]}…; "
            "the file is truncated or changed: fetch or train it again"
        )
    tensors = load_safetensors(weights)
    if version == 1 and renamed:
        mixed = sorted(renamed.values() & tensors.keys())
        if mixed:
            raise CheckpointError(f"{folder / WEIGHTS}: format 1 with tensors of format 2: {', '.join(mixed)}")
        tensors = {renamed.get(name, name): value for name, value in tensors.items()}
    return config, tensors


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
    try:
        module = build(config)
    except (TypeError, KeyError, ValueError, RuntimeError) as error:
        raise CheckpointError(f"{Path(folder) / CONFIG}: not a {kind} config of this version ({error})") from error
    expected = {name: tuple(value.shape) for name, value in module.state_dict().items()}
    found = {name: tuple(value.shape) for name, value in tensors.items()}
    if expected != found:
        wrong = sorted(name for name in expected.keys() | found.keys() if expected.get(name) != found.get(name))
        raise CheckpointError(f"{Path(folder) / WEIGHTS}: tensors do not fit the config: {', '.join(wrong[:6])}")
    module.load_state_dict(tensors)
    return module.eval().requires_grad_(False)
