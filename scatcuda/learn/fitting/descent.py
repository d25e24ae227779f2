"""The numbers of a step: the optimiser, the learning rate, the precision, the seeds.

v <- m v + g,   w <- w - lr (g + m v),   g = gradient + decay w
"""

from __future__ import annotations

import math

import numpy as np
import torch
from torch import nn

from .recipe import Recipe

__all__ = ["descent", "learning_rate", "mix", "precision"]


def descent(net: nn.Module, recipe: Recipe) -> torch.optim.Optimizer:
    """Nesterov's descent for what is learned in a network; biases and scales do not decay."""
    learned = [p for p in net.parameters() if p.requires_grad]
    if not learned:
        raise ValueError("model has no parameter to be trained")
    groups = [
        {"params": [p for p in learned if p.ndim > 1], "weight_decay": recipe.weight_decay},
        {"params": [p for p in learned if p.ndim <= 1], "weight_decay": 0.0},
    ]
    return torch.optim.SGD(
        [g for g in groups if g["params"]], lr=recipe.lr, momentum=recipe.momentum,
        nesterov=recipe.momentum > 0,
    )  # fmt: skip


def learning_rate(recipe: Recipe, step: int, steps: int) -> float:
    """The learning rate of a step, counted from 0, of one cycle.

    Example:
        >>> [round(learning_rate(Recipe(lr=1.0), step, 10), 2) for step in (0, 2, 3, 6, 9)]
        [0.1, 0.94, 0.99, 0.5, 0.01]
    """
    t = (step + 0.5) / steps
    if t < recipe.warmup:
        return recipe.lr * (1 - 0.96 * _cosine(t / recipe.warmup))
    return recipe.lr * _cosine((t - recipe.warmup) / (1 - recipe.warmup))


def _cosine(t: float) -> float:
    """From 1 at t = 0 to 0 at t = 1, flat at both ends."""
    return (1 + math.cos(math.pi * t)) / 2


def precision(amp: bool, device: torch.device) -> torch.dtype:
    """What mixed precision computes in; Turing and older GPUs only emulate bfloat16."""
    old = amp and device.type == "cuda" and torch.cuda.get_device_capability(device) < (8, 0)
    return torch.float16 if old else torch.bfloat16


def mix(*numbers: int) -> int:
    """A seed that follows from some numbers, another for any others."""
    return int(np.random.SeedSequence(numbers).generate_state(1, np.uint64)[0] >> 1)
