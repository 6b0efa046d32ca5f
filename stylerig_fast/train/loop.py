"""Optimisers, their schedule, and the descent that ends a step."""

from __future__ import annotations

import math

import torch
from torch import Tensor


def make_optimiser(module: torch.nn.Module, name: str, lr: float, weight_decay: float) -> torch.optim.Optimizer:
    """An optimiser of the module's parameters; on a GPU one that a CUDA graph can hold, with its rate and its count of
    steps on the device.
    """
    parameters = list(module.parameters())
    device = parameters[0].device
    capturable = device.type == "cuda"
    if name == "adadelta":
        return torch.optim.Adadelta(parameters, lr=lr, weight_decay=weight_decay, capturable=capturable)
    rate = torch.full((), lr, device=device) if capturable else lr
    return torch.optim.AdamW(parameters, lr=rate, weight_decay=weight_decay, capturable=capturable)


def set_cosine_lr(optimiser: torch.optim.Optimizer, name: str, lr: float, step: int, steps: int) -> None:
    """Cosine decay to zero after a short linear warm-up for adamw; adadelta keeps its rate, as in the paper."""
    if name == "adadelta":
        return
    warm = min(1.0, (step + 1) / 100)
    decay = 0.5 * (1 + math.cos(step / steps * math.pi))
    for group in optimiser.param_groups:
        if isinstance(group["lr"], Tensor):
            group["lr"].fill_(lr * warm * decay)  # a graph reads this very tensor
        else:
            group["lr"] = lr * warm * decay


def descend(optimiser: torch.optim.Optimizer, parts: dict[str, Tensor]) -> dict[str, Tensor]:
    """One optimiser step down the sum of loss parts, each a number.

    Returns:
        The parts, and ``loss``, their sum before the step; without gradients.
    """
    loss = torch.stack(list(parts.values())).sum()
    optimiser.zero_grad(set_to_none=True)
    loss.backward()
    optimiser.step()
    return {name: value.detach() for name, value in {"loss": loss, **parts}.items()}
