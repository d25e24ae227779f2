"""Cascades of images on the emulated engine: problems, runs, answers in float64."""

from __future__ import annotations

from functools import cache
from typing import Any, NamedTuple

import numpy as np
import oracle
import torch
from torch import Tensor

from scatcuda import banks, program
from scatcuda.banks.packing import pack
from scatcuda.ops import reference
from scatcuda.program import packing, plan

TOLERANCE = {torch.float32: 2e-6, torch.float64: 1e-13}
BUDGET = 1 << 30


class Case(NamedTuple):
    """One scattering problem and how it is run; budget 1: waves of one image."""

    M: int
    N: int
    J: int
    L: int = 8
    max_order: int = 2
    B: int = 1
    tier: str = "auto"
    budget: int = BUDGET
    pre_pad: bool = False
    bank: str = "morlet"
    dtype: torch.dtype = torch.float32

    def __str__(self) -> str:
        extras = "-wave1" * (self.budget == 1) + "-pre_pad" * self.pre_pad
        extras += "-tight" * (self.bank == "tight") + "-double" * (self.dtype == torch.float64)
        return (
            f"{self.M}x{self.N}-J{self.J}-L{self.L}-order{self.max_order}-B{self.B}-{self.tier}"
            f"{extras}"
        )

    @property
    def plan(self) -> plan.Plan:
        return plan.Plan(self.J, self.L, self.max_order, self.M, self.N, self.pre_pad)

    @property
    def program(self) -> str:
        arguments = (self.J, self.L, self.max_order, self.M, self.N, self.pre_pad)
        return program.images(*arguments).text


def arrays_of(packed: packing.Packed) -> list[np.ndarray]:
    """Filters as the engine takes them."""
    return [tensor.numpy().ravel() for tensor in packed]


USUAL = Case(32, 32, 2, B=2)
SMALL = Case(16, 20, 2, L=3, B=3)
PRIMES = Case(30, 62, 1, L=8)  # padded to 34 and 66: passes of 17 and 11

DEVICES = {  # shared memory in KiB, of a block and of a processor
    "T4": {"architecture": 75, "shared_per_block": 64, "shared_per_processor": 64},
    "A100": {"architecture": 80, "shared_per_block": 163, "shared_per_processor": 164},
    "RTX 4090": {"architecture": 89, "shared_per_block": 99, "shared_per_processor": 100},
    "H100": {"architecture": 90, "shared_per_block": 227, "shared_per_processor": 228},
}
FAMILIES, SECOND, NOTHING = ("fused", True), ("fused", False), ("general", False)


def complex_noise(*shape: int, dtype: torch.dtype) -> torch.Tensor:
    return torch.randn(*shape, dtype=dtype.to_complex())


@cache
def problem(case: Case) -> tuple[np.ndarray, tuple[np.ndarray, ...], torch.Tensor]:
    """Images, the bank as engines read it, and the answer in float64."""
    make = {"morlet": banks.morlet_bank, "tight": banks.tight_bank}[case.bank]
    bank = make(case.plan.padded, case.J, case.L)
    packed = pack(bank, case.plan, case.dtype)
    # not centred: the low-pass of noise around 0 is the small difference of large numbers
    generator = torch.Generator().manual_seed(case.M * case.N)
    x = torch.rand(case.B, case.M, case.N, generator=generator, dtype=torch.float64).to(case.dtype)
    expected = oracle.scattering2d(x, bank, case.max_order, case.pre_pad)
    return x.numpy(), tuple(arrays_of(packed)), expected


def run(engine: Any, case: Case, **kwargs: Any) -> tuple[torch.Tensor, dict[str, Any]]:
    x, bank, _ = problem(case)
    kwargs = {"tier": case.tier, "budget": case.budget, **kwargs}
    S, report = engine.scattering(x, *bank, case.program, **kwargs)
    return torch.from_numpy(np.array(S)), report


def check(case: Case, S: torch.Tensor) -> None:
    expected = problem(case)[2]
    assert S.shape == expected.shape
    assert S.dtype == case.dtype
    if case.B > 0:
        error = oracle.error_by_order(case.plan.meta()["order"], S, expected)
        assert error <= TOLERANCE[case.dtype]


# --- backward ---


@cache
def gradient_problem(case: Case) -> tuple[Tensor, Tensor, packing.Packed]:
    """Gradient of S, images and the bank."""
    make = {"morlet": banks.morlet_bank, "tight": banks.tight_bank}[case.bank]
    packed = pack(make(case.plan.padded, case.J, case.L), case.plan, case.dtype)
    generator = torch.Generator().manual_seed(case.M * case.N)
    x = torch.rand(case.B, case.M, case.N, generator=generator, dtype=torch.float64)
    sizes = (case.B, case.plan.channels, *case.plan.output)
    grad = torch.randn(sizes, generator=generator, dtype=torch.float64)
    return grad.to(case.dtype), x.to(case.dtype), packed


@cache
def expected(case: Case, filters_too: bool = False) -> tuple[Tensor, ...]:
    return gradients(case, *gradient_problem(case), filters_too)


def gradients(
    case: Case, grad: Tensor, x: Tensor, packed: packing.Packed, filters_too: bool
) -> tuple[Tensor, ...]:
    """The reference's, in float64."""
    grad, x, psi, phi = (t.double() for t in (grad, x, packed.psi, packed.phi))
    bank = (psi, packed.psi_support, phi, packed.phi_support)
    wanted = (True, filters_too, filters_too)
    return reference.scattering_backward(grad, x, *bank, case.program, *wanted)


def run_backward(
    engine: Any,
    case: Case,
    given: tuple[Tensor, Tensor, packing.Packed] | None = None,
    **kwargs: Any,
) -> tuple[list[Tensor], dict[str, Any]]:
    grad, x, packed = given or gradient_problem(case)
    kwargs = {"tier": case.tier, "budget": case.budget, **kwargs}
    bank = arrays_of(packed)
    arguments = (grad.numpy(), x.numpy(), *bank, case.program)
    *found, report = engine.scattering_backward(*arguments, **kwargs)
    return [torch.from_numpy(np.array(g)) for g in found], report


def check_gradients(case: Case, found: list[Tensor], filters_too: bool = False) -> None:
    for ours, theirs in zip(found, expected(case, filters_too), strict=True):
        if theirs.numel() == 0:
            assert ours.numel() == 0
            continue
        assert ours.shape == theirs.shape
        assert ours.dtype == case.dtype
        error = (ours.double() - theirs).norm()
        assert error <= TOLERANCE[case.dtype] * theirs.norm()
