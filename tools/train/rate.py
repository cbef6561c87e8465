"""The learning rate of every trainer here."""

from __future__ import annotations

import math

import torch


def set_rate(optimizer: torch.optim.Optimizer, first: float, done: int, total: int) -> None:
    """From `first` to a hundredth of it by a cosine, after `done` of `total` steps."""
    for group in optimizer.param_groups:
        group["lr"] = first * (0.01 + 0.99 * 0.5 * (1 + math.cos(math.pi * done / total)))
