"""Mean and scatter matrix of rows that come in blocks, merged exactly: Σ w (z − μ)(z − μ)ᵀ.

With μ₁, S₁ of rows that weigh w₁ together and μ₂, S₂ of others, with `δ = μ₂ − μ₁`,
`S = S₁ + S₂ + w₁w₂/(w₁ + w₂) δδᵀ` (Chan, Golub and LeVeque, 1983): the same formula adds a block, a
batch and another process. Without weights every row weighs 1.
"""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor

from .estimator import process_group


class Mean:
    """Mean [d + K] of features and targets, float64."""

    def __init__(self, mean: Tensor) -> None:
        self.mean: Tensor = mean


class Moments(Mean):
    """Count, weight, mean and scatter Σ w (z − μ)(z − μ)ᵀ of rows z = [x, y], in float64.

    A block is centred by its own mean and multiplied in its own precision; blocks are added in
    float64. With float32 blocks the leave-one-out errors of 20 000 rows of MNIST (d = 1953) agree
    with those of float64 to 2e-6 and choose the same penalty; the weights at the smallest penalty,
    1e-3, agree to 3e-3 and the scores, of size 1, to 1e-3.
    """

    def __init__(self, size: int, device: torch.device) -> None:
        self.n: int = 0  # rows that weigh anything
        self.weight: float = 0.0  # of all of them
        self.mean: Tensor = torch.zeros(size, dtype=torch.float64, device=device)
        self.scatter: Tensor = torch.zeros(size, size, dtype=torch.float64, device=device)

    def add(self, block: Tensor, weights: Tensor | None = None) -> None:
        """Rows [b, z], with their weights [b]."""
        mean = block.mean(0, dtype=torch.float64)
        centre = mean.to(block.dtype)
        block = block - centre
        if weights is None:
            self._merge_block(len(block), len(block), mean, block)
            return
        n, weight = int(weights.count_nonzero()), float(weights.sum())
        if n:
            step = (weights.to(block.dtype) @ block).double() / weight
            block -= step.to(block.dtype)
            block *= weights.sqrt().to(block.dtype)[:, None]
            self._merge_block(n, weight, centre.double() + step, block)

    def merge(self, n: int, weight: float, mean: Tensor, scatter: Tensor) -> None:
        if not weight:
            return
        share, step = self._merge_means(n, weight, mean)
        for rows in _strips(len(step)):
            self.scatter[rows] += scatter[rows]
            self.scatter[rows].addr_(step[rows], step, alpha=share)

    def _merge_block(self, n: int, weight: float, mean: Tensor, block: Tensor) -> None:
        """Rows that are centred: of their products, which are symmetric, one half is computed, a
        strip at a time, so that no other matrix of this size is there."""
        share, step = self._merge_means(n, weight, mean)
        for rows in _strips(len(step)):
            part = block[:, rows].T @ block[:, rows.start :]
            mine = self.scatter[rows, rows.start :]
            mine += part
            mine.addr_(step[rows], step[rows.start :], alpha=share)
            self.scatter[rows.stop :, rows] = mine[:, len(part) :].T

    def _merge_means(self, n: int, weight: float, mean: Tensor) -> tuple[float, Tensor]:
        total, step = self.weight + weight, mean - self.mean
        share = self.weight * weight / total
        self.mean = self.mean + step * (weight / total)
        self.n, self.weight = self.n + n, total
        return share, step

    def all_reduce(self) -> None:
        """Every process then has the moments of all rows."""
        group = process_group("Moments")
        sums = torch.cat([self.mean * self.weight, self.mean.new_tensor([self.weight, self.n])])
        group.all_reduce(sums)
        mean = sums[:-2] / sums[-2]
        step = self.mean - mean
        self.scatter.addr_(step, step, alpha=self.weight)
        group.all_reduce(self.scatter)
        self.n, self.weight, self.mean = int(sums[-1]), float(sums[-2]), mean


def _strips(size: int, strip: int = 512) -> Iterator[slice]:
    """Rows of a matrix, some at a time."""
    for first in range(0, size, strip):
        yield slice(first, min(first + strip, size))
