"""A training run's folder: config, TensorBoard events, metrics, and a state to resume from."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType

import numpy as np
import torch
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from torch import Tensor, nn
from torch.utils.tensorboard import SummaryWriter

from stylerig_fast.checkpoint import read_checkpoint, save_checkpoint, write_atomically
from stylerig_fast.errors import CheckpointError


class Run:
    """``folder`` with ``config.json``, ``events.*``, ``metrics.json`` and ``state/`` (safetensors, never pickle)."""

    def __init__(self, folder: Path, config: object, resume: bool) -> None:
        """Opens a run.

        Raises:
            CheckpointError: the folder holds a run already and ``resume`` is False, or holds one with another config.
        """
        self.folder = folder
        given = _plain(config)
        path = folder / "config.json"
        if path.exists():
            if not resume:
                raise CheckpointError(f"{folder}: holds a run already; pass --resume to go on, or another --name")
            before = json.loads(path.read_text())
            # An option that is newer than the run had its default then.
            before = _defaults(config) | before
            changed = sorted(k for k in given if k != "resume" and before.get(k) != given[k])
            if changed:
                raise CheckpointError(
                    f"{folder}: the run to resume had another {', '.join(changed)}; use another --name"
                )
        else:
            write_atomically(path, (json.dumps(given, indent=2) + "\n").encode())
        self.writer = SummaryWriter(str(folder))

    def __enter__(self) -> Run:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.writer.close()

    def log(self, step: int, values: Mapping[str, float]) -> None:
        for name, value in values.items():
            self.writer.add_scalar(name, value, step)

    def picture(self, name: str, image: np.ndarray, step: int) -> None:
        """``image``: uint8 ``(H, W, 3)``."""
        self.writer.add_image(name, image, step, dataformats="HWC")

    def write_metrics(self, metrics: Mapping[str, object]) -> None:
        write_atomically(self.folder / "metrics.json", (json.dumps(metrics, indent=2) + "\n").encode())

    def save_state(self, step: int, module: nn.Module, optimiser: torch.optim.Optimizer, draw: torch.Generator) -> None:
        state = {f"module.{name}": value for name, value in module.state_dict().items()}
        for index, values in optimiser.state_dict()["state"].items():
            state |= {f"optimiser.{index}.{name}": torch.as_tensor(value) for name, value in values.items()}
        state["draw"] = draw.get_state()
        save_checkpoint(self.folder / "state", "training state", {"step": step}, state)

    def load_state(self, module: nn.Module, optimiser: torch.optim.Optimizer, draw: torch.Generator) -> int:
        """Restores what `save_state` wrote; returns the step to go on from, 0 when there is nothing yet."""
        if not (self.folder / "state" / "config.json").exists():
            return 0
        config, state = read_checkpoint(self.folder / "state", "training state")
        module.load_state_dict({k[7:]: v for k, v in state.items() if k.startswith("module.")})
        moments: dict[int, dict[str, Tensor]] = {}
        for key, value in state.items():
            if key.startswith("optimiser."):
                _, index, name = key.split(".", 2)
                moments.setdefault(int(index), {})[name] = value
        whole = optimiser.state_dict()
        optimiser.load_state_dict({"state": moments, "param_groups": whole["param_groups"]})
        draw.set_state(state["draw"])
        return int(config["step"])  # type: ignore[call-overload]


def progress(description: str, start: int, steps: int) -> Iterator[tuple[int, Progress]]:
    """Steps ``start … steps - 1`` under a progress bar whose description the caller may update."""
    with Progress(*_columns()) as bar:
        task = bar.add_task(description, total=steps, completed=start)
        for step in range(start, steps):
            yield step, bar
            bar.advance(task)


@contextmanager
def counter(description: str) -> Iterator[Callable[[int, int], None]]:
    """A progress bar; what it gives is called with what is done and how much there is."""
    with Progress(*_columns()) as bar:
        task = bar.add_task(description, total=None)
        yield lambda done, total: bar.update(task, completed=done, total=total)


def _columns() -> tuple[ProgressColumn, ...]:
    return (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
    )


def describe(bar: Progress, description: str, values: Mapping[str, float]) -> None:
    """Shows the loss parts in the progress bar."""
    parts = " ".join(f"{name} {value:.4f}" for name, value in values.items())
    bar.update(bar.task_ids[0], description=f"{description} {parts}")


def _defaults(config: object) -> dict[str, object]:
    """The options of a config that have a plain default, with it."""
    return {option.name: option.default for option in dataclasses.fields(config) if _is_plain(option.default)}  # type: ignore[arg-type]


def _is_plain(value: object) -> bool:
    return value is None or isinstance(value, (bool, int, float, str))


def _plain(config: object) -> dict[str, object]:
    values: dict[str, object] = json.loads(json.dumps(dataclasses.asdict(config), default=str))  # type: ignore[call-overload]
    return values
