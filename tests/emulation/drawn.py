"""Random programs on the emulated engine: problems, runs, answers of the interpreter in float64."""

from __future__ import annotations

from functools import cache
from typing import Any, NamedTuple

import numpy as np
import random_programs
import torch
from torch import Tensor

from scatcuda.ops import reference

from .cascades import arrays_of

#: Largest error by the largest number
TOLERANCE = {torch.float32: 3e-6, torch.float64: 1e-13}


class Problem(NamedTuple):
    text: str
    x: Tensor
    grad: Tensor
    packed: Any
    wanted: tuple[Tensor, ...]  # S, and the gradients of x, psi and phi


@cache
def problem(seed: int, gathering: bool, dtype: torch.dtype, batch: int = 2) -> Problem:
    p, packed, x = random_programs.case(seed, dtype, gathering, batch)
    return posed(p.text, packed, x, seed)


def posed(text: str, packed: Any, x: Tensor, seed: int) -> Problem:
    """With a random gradient, and the answers."""
    exact = [t.double() if t.is_floating_point() else t for t in (x, *packed)]
    S = reference.scattering(*exact, text)
    grad = torch.randn(S.shape, dtype=x.dtype, generator=torch.Generator().manual_seed(seed))
    found = reference.scattering_backward(grad.double(), *exact, text, True, True, True)
    return Problem(text, x, grad, packed, (S, *found))


def run(engine: Any, given: Problem, **kwargs: Any) -> tuple[list[Tensor], list[dict[str, Any]]]:
    """S and all gradients, and the reports of both calls."""
    arguments = (*arrays_of(given.packed), given.text)
    kwargs = {"tier": "general", **kwargs}
    S, forward = engine.scattering(given.x.numpy(), *arguments, **kwargs)
    wanted = {"with_psi": True, "with_phi": True, **kwargs}
    *found, backward = engine.scattering_backward(
        given.grad.numpy(), given.x.numpy(), *arguments, **wanted
    )
    return [torch.from_numpy(np.array(t)) for t in (S, *found)], [forward, backward]


def error(found: Tensor, wanted: Tensor) -> float:
    assert found.numel() == wanted.numel()
    if not wanted.numel():
        return 0.0
    scale = wanted.abs().max() + torch.finfo(found.dtype).tiny
    return float((found.double().reshape(wanted.shape) - wanted).abs().max() / scale)


def check(given: Problem, found: list[Tensor]) -> None:
    for name, ours, theirs in zip("S x psi phi".split(), found, given.wanted, strict=True):
        assert error(ours, theirs) <= TOLERANCE[given.x.dtype], (name, given.text)
