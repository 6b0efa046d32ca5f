"""What both training loops are made of: how they begin, the optimiser and its schedule, and the progress bar."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager

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
from torch import Tensor

from stylerig_fast.data.portraits import PortraitSet
from stylerig_fast.face import FaceModel
from stylerig_fast.face.model_io import load_face_model, open_face_model
from stylerig_fast.train.config import PortraitConfig, RunConfig


def begin(data: PortraitConfig, run: RunConfig) -> tuple[FaceModel, PortraitSet]:
    """Seeds torch and sets its threads; the face model on the training device, and the training portraits."""
    torch.manual_seed(run.seed)
    if run.threads:
        torch.set_num_threads(run.threads)
    model = (load_face_model(data.face_model) if data.face_model else open_face_model()).to(run.device)
    return model, PortraitSet.load(data.portraits, size=data.size, shards="train", limit=data.limit)


# ---- optimiser --------------------------------------------------------------------------------------------------


def make_optimiser(module: torch.nn.Module, name: str, lr: float, weight_decay: float) -> torch.optim.Optimizer:
    """An optimiser of the module's parameters.

    On a GPU it can be captured in a CUDA graph: its learning rate and its count of steps are tensors on the device.

    Args:
        module: the network in training, on the training device.
        name: ``adamw`` or ``adadelta``.
        lr: peak learning rate.
        weight_decay: of the optimiser.
    """
    parameters = list(module.parameters())
    device = parameters[0].device
    capturable = device.type == "cuda"
    if name == "adadelta":
        return torch.optim.Adadelta(parameters, lr=lr, weight_decay=weight_decay, capturable=capturable)
    rate = torch.full((), lr, device=device) if capturable else lr
    return torch.optim.AdamW(parameters, lr=rate, weight_decay=weight_decay, capturable=capturable)


def set_cosine_lr(optimiser: torch.optim.Optimizer, name: str, lr: float, step: int, steps: int) -> None:
    """Sets the learning rate of a step: for adamw a linear warm-up over 100 steps, then cosine decay to zero; adadelta
    keeps its rate, as in the paper.

    Args:
        optimiser: of `make_optimiser`, changed in place.
        name: ``adamw`` or ``adadelta``.
        lr: peak learning rate.
        step: the step that follows, from 0.
        steps: of the whole training.
    """
    if name == "adadelta":
        return
    warm_up = min(1.0, (step + 1) / 100)
    decay = 0.5 * (1 + math.cos(step / steps * math.pi))
    for group in optimiser.param_groups:
        if isinstance(group["lr"], Tensor):
            group["lr"].fill_(lr * warm_up * decay)  # a captured graph reads this very tensor
        else:
            group["lr"] = lr * warm_up * decay


def descend(optimiser: torch.optim.Optimizer, terms: dict[str, Tensor]) -> dict[str, Tensor]:
    """One optimiser step on the sum of loss terms, each a scalar.

    Returns:
        The terms, and ``loss``, their sum before the step; without gradients.
    """
    loss = torch.stack(list(terms.values())).sum()
    optimiser.zero_grad(set_to_none=True)
    loss.backward()
    optimiser.step()
    return {name: value.detach() for name, value in {"loss": loss, **terms}.items()}


# ---- progress ---------------------------------------------------------------------------------------------------


def progress(description: str, start: int, steps: int) -> Iterator[tuple[int, Progress]]:
    """Yields the steps ``start … steps - 1`` and their progress bar; see `describe`."""
    with Progress(*progress_columns()) as bar:
        task = bar.add_task(description, total=steps, completed=start)
        for step in range(start, steps):
            yield step, bar
            bar.advance(task)


def describe(bar: Progress, description: str, terms: Mapping[str, float]) -> None:
    """Shows the loss terms in the progress bar."""
    shown = " ".join(f"{name} {value:.4f}" for name, value in terms.items())
    bar.update(bar.task_ids[0], description=f"{description} {shown}")


@contextmanager
def counter(description: str) -> Iterator[Callable[[int, int], None]]:
    """A progress bar for work that reports itself: the value is called with what is done and the total."""
    with Progress(*progress_columns()) as bar:
        task = bar.add_task(description, total=None)
        yield lambda done, total: bar.update(task, completed=done, total=total)


def progress_columns() -> tuple[ProgressColumn, ...]:
    """The columns of every progress bar of training."""
    return (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
    )
