"""Programs of signals on the emulated engine: ``Scattering1D``'s and random ones, runs, answers of
the interpreter in float64."""

from __future__ import annotations

from functools import cache
from typing import Any, NamedTuple

import numpy as np
import programs
import torch
from torch import Tensor

from scatcuda import Scattering1D
from scatcuda.ops import reference
from scatcuda.program import Program, parse
from scatcuda.program.packing import Packed

from .cascades import arrays_of

#: Modules that it does, by what is between their first and last chance to be wrong
MODULES: dict[str, dict[str, Any]] = {
    "usual": dict(J=4, shape=300, Q=3),
    "third order": dict(J=4, shape=120, Q=(2, 1, 1), max_order=3),
    "oversampled": dict(J=3, shape=100, Q=2, oversampling=1),
    "all outputs": dict(J=3, shape=64, Q=1, oversampling=3),
    "one output": dict(J=5, shape=250, Q=4, T="global"),
    "one order": dict(J=5, shape=256, Q=4, max_order=1),
}


class Problem(NamedTuple):
    program: Program
    packed: Packed
    x: Tensor
    grad: Tensor
    S: Tensor  # in float64, as the gradient of x
    grad_x: Tensor


def posed(program: Program, packed: Packed, batch: int = 2) -> Problem:
    generator = torch.Generator().manual_seed(len(program.text))
    x = torch.randn(batch, program.axes[0].size, generator=generator)
    exact = [t.double() if t.is_floating_point() else t for t in (x, *packed)]
    S = reference.scattering(*exact, program.text)
    g = torch.randn(S.shape, generator=generator)
    wanted = (True, False, False)
    grad_x, *_ = reference.scattering_backward(g.double(), *exact, program.text, *wanted)
    return Problem(program, packed, x, g, S, grad_x)


def of_program(**arguments: Any) -> tuple[Program, Packed]:
    """What a module runs."""
    module = Scattering1D(**arguments)
    packed = Packed(*(getattr(module, f"_{table}_0") for table in Packed._fields))
    return parse(module._texts[0]), packed


@cache
def of_module(name: str) -> Problem:
    return posed(*of_program(**MODULES[name]))


@cache
def of_seed(seed: int) -> Problem:
    return posed(*programs.of_signals(seed, torch.float32))


def run(engine: Any, given: Problem, **more: Any) -> tuple[Tensor, Tensor, list[Any]]:
    """S, the gradient of x, and the reports of both calls."""
    arguments = (*arrays_of(given.packed), given.program.text)
    more = {"tier": "fused", **more}
    x, grad = given.x.numpy(), given.grad.numpy()
    S, forward = engine.scattering(x, *arguments, **more)
    grad_x, *_, backward = engine.scattering_backward(grad, x, *arguments, **more)
    found = [torch.from_numpy(np.array(t)) for t in (S, grad_x)]
    return *found, [forward, backward]
