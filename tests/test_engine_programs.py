"""The engines on programs of any rank and depth, against the interpreter in float64."""

from __future__ import annotations

import pytest
import random_programs
import torch
from torch import Tensor

from scatcuda import ops
from scatcuda.ops import reference
from scatcuda.program import Builder, X
from scatcuda.program.packing import pack_program

FLOAT32, FLOAT64 = torch.float32, torch.float64
BOUNDS = {FLOAT32: (2e-6, 3e-6), FLOAT64: (1e-13, 1e-13)}  # means of products cancel the most


def error(found: Tensor, wanted: Tensor) -> float:
    if not wanted.numel():
        return 0.0
    scale = wanted.detach().abs().max() + torch.finfo(found.dtype).tiny
    return float((found.double() - wanted).abs().max() / scale)


@pytest.mark.parametrize("dtype", BOUNDS)
@pytest.mark.parametrize("gathering", [False, True])
@pytest.mark.parametrize("seeds", [range(0, 20), range(20, 40)])
def test_random_programs(
    dtype: torch.dtype, gathering: bool, seeds: range, request: pytest.FixtureRequest
) -> None:
    threads = torch.get_num_threads()
    request.addfinalizer(lambda: torch.set_num_threads(threads))
    for seed in seeds:
        torch.set_num_threads(1 + seed % 3)
        p, packed, x = random_programs.case(seed, dtype, gathering)
        exact = [t.double() if t.is_floating_point() else t for t in (x, *packed)]
        varied = [exact[i].requires_grad_() for i in (0, 1, 3)]
        wanted = reference.scattering(*exact, p.text)
        g = torch.randn(wanted.shape, dtype=dtype, generator=torch.Generator().manual_seed(seed))
        gradients = torch.autograd.grad(wanted, varied, g.double(), materialize_grads=True)
        found = ops.scattering(x, *packed, p.text)
        assert error(found, wanted.detach()) <= BOUNDS[dtype][gathering], (seed, p.text)
        backward = torch.ops.scatcuda.scattering_backward.default
        for flags in ((True, True, True), (True, False, False), (False, True, False)):
            for got, want, flag in zip(
                backward(g, x, *packed, p.text, *flags), gradients, flags, strict=True
            ):
                if flag:
                    assert error(got, want) <= BOUNDS[dtype][gathering], (seed, flags, p.text)


@pytest.mark.parametrize("filters", [1.0, 0.0])
@pytest.mark.parametrize("sides", [(8, 1, 12), (1, 6, 12), (8, 6, 1), (1, 12), (8, 1), (1,)])
def test_axes_of_one_line(sides: tuple[int, ...], filters: float) -> None:
    """Of which a set's box may have kept none: then there are no numbers, and none is read."""
    b = Builder(*sides)
    b.mean(b.wavelet(X, b.set(2, *sides), [2 if side > 1 else 1 for side in sides]))
    p = b.build()
    generator = torch.Generator().manual_seed(0)
    psi = filters * torch.randn(2, *sides, dtype=FLOAT64, generator=generator)
    packed = pack_program(p, [psi], [], FLOAT64)
    assert (packed.psi.numel() > 0) == (filters > 0)
    x = torch.randn(3, *sides, dtype=FLOAT64, generator=generator)
    g = torch.ones(3, p.channels, dtype=FLOAT64)
    S = reference.scattering(x, *packed, p.text)
    assert error(ops.scattering(x, *packed, p.text), S) <= 1e-13
    found = torch.ops.scatcuda.scattering_backward(g, x, *packed, p.text, True, True, False)
    wanted = reference.scattering_backward(g, x, *packed, p.text, True, True, False)
    for ours, theirs in zip(found[:2], wanted[:2], strict=True):
        assert error(ours, theirs) <= 1e-13
