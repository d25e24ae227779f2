"""Several processes: `torchrun` starts them, this finds out which one we are.

One process is rank 0 of 1 and nothing here costs anything.
"""

from __future__ import annotations

import atexit
import os
from collections.abc import Callable, Iterable

import torch
import torch.distributed as dist
from torch import Tensor

from ...environment import process

__all__ = ["Place", "processes"]


class Place:
    """Which of how many processes this one is, and sums over all of them."""

    def __init__(self) -> None:
        started = dist.is_available() and dist.is_initialized()
        self.rank: int = dist.get_rank() if started else 0
        self.size: int = dist.get_world_size() if started else 1

    def share(self, n: int) -> slice:
        """This process's part of `n` rows: contiguous, sizes differing by at most one.

        Example:
            >>> Place().share(10)
            slice(0, 10, None)
        """
        return slice(n * self.rank // self.size, n * (self.rank + 1) // self.size)

    def sum(self, x: Tensor) -> Tensor:
        """The sum of `x` over all processes."""
        return self._reduce(x, dist.ReduceOp.SUM) if self.size > 1 else x

    def largest(self, x: Tensor) -> Tensor:
        """The elementwise maximum of `x` over all processes."""
        return self._reduce(x, dist.ReduceOp.MAX) if self.size > 1 else x

    def share_first(self, tensors: Iterable[Tensor]) -> None:
        """Give every process the values that the first one has."""
        if self.size > 1:
            for x in tensors:
                dist.broadcast(x, 0)

    def wait(self) -> None:
        """Until all processes are here."""
        if self.size > 1:
            dist.barrier()

    def first(self, act: Callable[[], None]) -> None:
        """Have the first process do something; the others wait for it."""
        if self.rank == 0:
            act()
        self.wait()

    @staticmethod
    def _reduce(x: Tensor, operation: dist.ReduceOp.RedOpType) -> Tensor:
        x = x.clone()
        dist.all_reduce(x, operation)
        return x


def processes(device: torch.device) -> Place:
    """The place of this process; joins the others if `torchrun` started it and nobody did yet.

    They stay together until the program ends: a group that is left and joined anew can meet the
    messages of its former life.

    Raises: ValueError: what `torchrun` says of them is none of this.
    """
    if "WORLD_SIZE" in os.environ and "RANK" in os.environ and not dist.is_initialized():
        process()  # whose sentence is clearer than PyTorch's
        if device.type == "cuda":
            torch.cuda.set_device(device)
        dist.init_process_group("nccl" if device.type == "cuda" else "gloo")
        atexit.register(dist.destroy_process_group)
    return Place()
