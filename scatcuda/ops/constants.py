"""Tensors that are made once, from arguments, and only ever read."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor

from . import autograd


def computed_in(like: Tensor) -> torch.dtype:
    """float64 where that is the dtype, else float32: half precision computes in it."""
    return torch.float64 if like.dtype == torch.float64 else torch.float32


@contextmanager
def constants() -> Iterator[None]:
    """What is made here is an ordinary tensor with values, whatever mode the caller is in;
    gradients of what is computed with it may be wanted later."""
    with autograd.without_modes(), torch.inference_mode(False), torch.no_grad():
        yield


def has_values(tensor: Tensor) -> bool:
    """Whether there is something to read."""
    return not (tensor.is_meta or autograd.is_fake(tensor))


def beside(tensor: Tensor, like: Tensor) -> Tensor:
    """A constant on the device of `like`, or without values where that has none."""
    if autograd.is_fake(like):
        return like.new_empty(tensor.shape, dtype=tensor.dtype)
    with torch.inference_mode(False):
        return tensor.to(like.device)
