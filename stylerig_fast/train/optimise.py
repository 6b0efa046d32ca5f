"""Optimisers and their schedule."""

from __future__ import annotations

import math

import torch


def make_optimiser(module: torch.nn.Module, name: str, lr: float, weight_decay: float) -> torch.optim.Optimizer:
    if name == "adadelta":
        return torch.optim.Adadelta(module.parameters(), lr=lr, weight_decay=weight_decay)
    return torch.optim.AdamW(module.parameters(), lr=lr, weight_decay=weight_decay)


def set_cosine_lr(optimiser: torch.optim.Optimizer, name: str, lr: float, step: int, steps: int) -> None:
    """Cosine decay to zero after a short linear warm-up for adamw; adadelta keeps its rate, as in the paper."""
    if name == "adadelta":
        return
    warm = min(1.0, (step + 1) / 100)
    decay = 0.5 * (1 + math.cos(step / steps * math.pi))
    for group in optimiser.param_groups:
        group["lr"] = lr * warm * decay
