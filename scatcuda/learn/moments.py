"""Mean and scatter matrix of rows that come in blocks, merged exactly: Σ (z − μ)(z − μ)ᵀ.

With μ₁, S₁ of n₁ rows and μ₂, S₂ of n₂ others, `S = S₁ + S₂ + n₁n₂/(n₁ + n₂) δδᵀ`, `δ = μ₂ − μ₁`
(Chan, Golub and LeVeque, 1983): the same formula adds a block, a batch and another process.
"""

from __future__ import annotations

import torch
from torch import Tensor

from .estimator import process_group


class Mean:
    """Mean [d + K] of features and targets, float64."""

    def __init__(self, mean: Tensor) -> None:
        self.mean: Tensor = mean


class Moments(Mean):
    """Count, mean and scatter Σ (z − μ)(z − μ)ᵀ of rows z = [x, y], in float64.

    A block is centred by its own mean and multiplied in its own precision; blocks are added in
    float64. With float32 blocks the leave-one-out errors of 20 000 rows of MNIST (d = 1953) agree
    with those of float64 to 2e-6 and choose the same penalty; the weights at the smallest penalty,
    1e-3, agree to 3e-3 and the scores, of size 1, to 1e-3.
    """

    def __init__(self, size: int, device: torch.device) -> None:
        self.n: int = 0
        self.mean: Tensor = torch.zeros(size, dtype=torch.float64, device=device)
        self.scatter: Tensor = torch.zeros(size, size, dtype=torch.float64, device=device)

    def add(self, block: Tensor) -> None:
        mean = block.mean(0, dtype=torch.float64)
        block = block - mean.to(block.dtype)
        self.merge(len(block), mean, block.T @ block)

    def merge(self, n: int, mean: Tensor, scatter: Tensor) -> None:
        total, step = self.n + n, mean - self.mean
        self.scatter += scatter
        self.scatter.addr_(step, step, alpha=self.n * n / total)
        self.mean = self.mean + step * (n / total)
        self.n = total

    def all_reduce(self) -> None:
        """Every process then has the moments of all rows."""
        group = process_group("Moments")
        sums = torch.cat([self.mean * self.n, self.mean.new_tensor([self.n])])
        group.all_reduce(sums)
        mean = sums[:-1] / sums[-1]
        step = self.mean - mean
        self.scatter.addr_(step, step, alpha=self.n)
        group.all_reduce(self.scatter)
        self.n, self.mean = int(sums[-1]), mean
