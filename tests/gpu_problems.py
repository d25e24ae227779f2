"""Problems for a GPU and what is asked of their results: shared by tests/gpu, which run there, and
by the emulation, which has the engine but no GPU.

Expected values are those of oracle.py and of scatcuda.reference, in float64 on the CPU.
"""

from __future__ import annotations

from itertools import product
from typing import NamedTuple

import oracle
import programs
import pytest
import random_programs
import torch
from torch import Tensor

from scatcuda import Scattering2D, banks, ops
from scatcuda.banks.packing import pack
from scatcuda.ops import reference
from scatcuda.program.packing import Packed
from scatcuda.program.plan import Plan

Device = torch.device | None
TIERS = ["general", "fused"]
LIMITS = {torch.float32: 2e-6, torch.float64: 1e-12}  # relative errors, order by order
# of gradients: the direction of a wavelet coefficient that is nearly 0 has fewer digits
GRADIENT_LIMITS = {torch.float32: 2e-5, torch.float64: 1e-11}


class Case(NamedTuple):
    """Images ``M N`` in a batch of the shape ``lead``."""

    M: int
    N: int
    J: int
    L: int = 8
    max_order: int = 2
    lead: tuple[int, ...] = (3,)
    pre_pad: bool = False

    def __str__(self) -> str:
        pre_pad = "-pre_pad" * self.pre_pad
        lead = "x".join(map(str, self.lead)) or "one"
        return f"{self.M}x{self.N}-J{self.J}-L{self.L}-order{self.max_order}-{lead}{pre_pad}"

    def module(self, tier: str = "auto", workspace: int | None = None) -> Scattering2D:
        """Padded images of ``pre_pad`` have the sides ``M N``."""
        shape = (self.M, self.N)
        if self.pre_pad:
            shape = tuple(side - 2 * 2**self.J for side in shape)
        arguments = (self.J, shape, self.L, self.max_order, self.pre_pad)
        return Scattering2D(*arguments, tier=tier, workspace=workspace)

    def images(self, dtype: torch.dtype = torch.float64) -> Tensor:
        """Positive: the mean of few pixels of order 0 then loses no digits."""
        return torch.rand(*self.lead, self.M, self.N, dtype=dtype)


def scattered(module: Scattering2D, x: Tensor, device: Device) -> Tensor:
    """On the GPU; skips what the fused tier leaves to the general one."""
    try:
        return module.to(device, x.dtype)(x.to(device))
    except RuntimeError as error:
        if module.tier == "fused" and "fused tier" in str(error):
            pytest.skip("the fused tier does not do this problem on this GPU")
        raise


def check(case: Case, tier: str, dtype: torch.dtype, device: Device, **options) -> None:
    module, x = case.module(tier, **options), case.images()
    S = scattered(module, x.to(dtype), device)
    assert S.dtype == dtype and S.device.type == device.type and S.is_contiguous()
    expected = oracle.scattering2d(x.to(dtype), module.bank, case.max_order, case.pre_pad)
    assert S.shape == expected.shape
    order = module.meta()["order"]
    assert oracle.error_by_order(order, S.cpu(), expected) <= LIMITS[dtype]


X_ALONE, WITH_FILTERS = (True, False, False), (True, True, True)
Wanted = tuple[bool, bool, bool]  # gradients of x, psi, phi


def program_of(case: Case) -> str:
    return Plan(case.J, case.L, case.max_order, case.M, case.N, case.pre_pad).program


def backward_problem(
    case: Case, dtype: torch.dtype, bank: Packed | None = None
) -> tuple[Tensor, ...]:
    """Gradient of S, images, and the bank, on the CPU."""
    plan = Plan(case.J, case.L, case.max_order, case.M, case.N, case.pre_pad)
    if bank is None:
        bank = pack(banks.morlet_bank(plan.padded, plan.J, plan.L), plan, dtype)
    grad = torch.randn(*case.lead, plan.channels, *plan.output, dtype=dtype)
    return grad, case.images(dtype), *bank


def gradients(
    case: Case,
    given: tuple[Tensor, ...],
    wanted: Wanted,
    device: Device,
    tier: str,
    workspace: int = 0,
) -> list[Tensor]:
    """The engine's; skips what the fused tier leaves to the general one."""
    operator = torch.ops.scatcuda.scattering_backward
    options = (*wanted, tier, workspace)
    try:
        there = (t.to(device) for t in given)
        return [g.cpu() for g in operator(*there, program_of(case), *options)]
    except RuntimeError as error:
        if tier == "fused" and "fused tier" in str(error):
            pytest.skip("the fused tier does not do this problem on this GPU")
        raise


def check_gradients(
    case: Case,
    tier: str,
    dtype: torch.dtype,
    device: Device,
    wanted: Wanted = X_ALONE,
    workspace: int = 0,
    bank: Packed | None = None,
) -> None:
    """Against the reference in float64."""
    given = backward_problem(case, dtype, bank)
    found = gradients(case, given, wanted, device, tier, workspace)
    wide = (t.double() if t.is_floating_point() else t for t in given)
    expected = reference.scattering_backward(*wide, program_of(case), *wanted)
    for ours, theirs in zip(found, expected, strict=True):
        assert ours.shape == theirs.shape and ours.is_contiguous()
        assert (ours - theirs).norm() <= GRADIENT_LIMITS[dtype] * theirs.norm()


# Programs of random_programs.py, by their seeds; with groups and pairs
PROGRAMS = [(seed, gathering) for seed in range(24) for gathering in (False, True)]
# those that launch all kernels of the general tier, as emulation/test_sanitized.py finds
EVERY_KERNEL = [
    (6, True),
    (11, False),
    (1, False),
    (2, False),
    (20, False),
    (49, False),
    (random_programs.LONG, False),
]


def check_program(
    drawn: tuple[int, bool], dtype: torch.dtype, device: Device, workspace: int = 0
) -> None:
    """Coefficients and all gradients, against the reference in float64."""
    p, packed, x = random_programs.case(*drawn[:1], dtype, *drawn[1:])
    given = (x, *packed)
    wide = [t.double() if t.is_floating_point() else t for t in given]
    expected = reference.scattering(*wide, p.text)
    grad = torch.randn(expected.shape, dtype=dtype)
    on_device = [t.to(device) for t in given]
    S = ops.scattering(*on_device, p.text, workspace=workspace)
    backward = torch.ops.scatcuda.scattering_backward
    arguments = (p.text, *WITH_FILTERS, "auto", workspace)
    found = (S, *backward(grad.to(device), *on_device, *arguments))
    theirs = (expected, *reference.scattering_backward(grad.double(), *wide, *arguments[:4]))
    for ours, right in zip(found, theirs, strict=True):
        assert (ours.cpu() - right).norm() <= GRADIENT_LIMITS[dtype] * right.norm(), p.text


# Programs of signals of one axis, programs.of_signals(seed)
SIGNALS = list(range(24))


def check_signals(seed: int, device: Device, workspace: int = 0) -> None:
    """Coefficients and the gradient of x, by whatever tier takes a step, against the reference in
    float64."""
    program, packed = programs.of_signals(seed, torch.float32)
    x = torch.randn(3, program.axes[0].size)
    wide = [t.double() if t.is_floating_point() else t for t in (x, *packed)]
    expected = reference.scattering(*wide, program.text)
    grad = torch.randn(expected.shape)
    on_device = [t.to(device) for t in (x, *packed)]
    S = ops.scattering(*on_device, program.text, workspace=workspace)
    backward = torch.ops.scatcuda.scattering_backward
    found = backward(grad.to(device), *on_device, program.text, *X_ALONE, "auto", workspace)[0]
    theirs = reference.scattering_backward(grad.double(), *wide, program.text, *X_ALONE)[0]
    for ours, right in ((S, expected), (found, theirs)):
        assert (ours.cpu() - right).norm() <= GRADIENT_LIMITS[x.dtype] * right.norm(), program.text


# --- small ones ---------------------------------------------------------------------------------

TINY = [
    Case(16, 12, 2, L=3, lead=(3,)),
    Case(9, 10, 1, L=8, lead=(2,)),
    Case(8, 8, 3, L=4, lead=(1,)),
    Case(14, 18, 1, L=1, pre_pad=True, lead=()),
    Case(7, 6, 1, L=2, max_order=1, lead=(2,)),
    Case(6, 5, 1, max_order=0, lead=(2,)),
]


# Many outputs for each row of a block of the low-pass: eight to a thread, and sixteen
WIDE = [Case(8, 36, 1, L=1, lead=()), Case(6, 68, 1, L=1, lead=())]


def tiny_problem(tier: str, case: Case, workspace: int | None, device: Device) -> None:
    check(case, tier, torch.float32, device, workspace=workspace)
    check_gradients(case, tier, torch.float32, device, workspace=workspace or 0)


def tiny_problem_with_filters(case: Case, dtype: torch.dtype, device: Device) -> None:
    check(case, "general", dtype, device)
    check_gradients(case, "general", dtype, device, WITH_FILTERS)


# The sides that have kernels of their own, and the way there, with as few angles as can be
OWN_SIDES = [
    Case(28, 28, 2, L=1, lead=()),  # families of 36, the last scale of 18 by two
    Case(28, 28, 2, lead=()),  # … with eight filters side by side
    Case(32, 32, 2, lead=(1,)),  # 40, 20
    Case(32, 32, 2, L=4, lead=()),
    Case(32, 32, 3, L=1, lead=()),  # 48
    Case(60, 60, 3, L=1, lead=()),  # 72, 18 by four
    Case(64, 64, 2, L=1, lead=()),  # 72, 36
    Case(64, 64, 3, L=1, lead=()),  # 80, 20 by four
    Case(128, 128, 3, L=1, lead=()),  # 72, 36 by two and by four
    Case(128, 128, 4, L=1, lead=()),  # 80
    Case(224, 224, 3, L=1, lead=()),  # 120, 60 by two and by four
    Case(224, 224, 3, L=2, lead=()),  # … with two filters side by side
    Case(224, 224, 4, L=1, lead=()),  # 128, 64 by two and by four, 32 by two and by four
    Case(256, 256, 4, L=1, lead=()),  # 72 by four
    Case(256, 256, 5, L=1, lead=()),  # 80 by four
]


def kernels_of_one_side(case: Case, device: Device) -> None:
    check(case, "fused", torch.float32, device)
    check_gradients(case, "fused", torch.float32, device)


def tiny_program(drawn: tuple[int, bool], dtype: torch.dtype, device: Device) -> None:
    check_program(drawn, dtype, device)


def tiny_signals(seed: int, device: Device) -> None:
    check_signals(seed, device)


def tiny_stages(dtype: torch.dtype, device: Device) -> None:
    z, folded = (torch.randn(2, *s, dtype=torch.complex128) for s in ((12, 20), (3, 6, 10)))
    psi, u = torch.randn(3, 12, 20).double(), torch.randn(2, 3, 11, 13).double()
    a_m, a_n = torch.rand(2, 11).double(), torch.rand(5, 13).double()
    stages = {
        "filter_fold": (z, psi, 2),
        "filter_fold_backward": (folded, z, psi, 2, True, True),
        "modulus": (z[0, :3, :7],),
        "modulus_backward": (u[0, 0, :3, :7], z[0, :3, :7]),
        "lowpass": (u, a_m, a_n),
    }

    def narrowed(value):
        if not isinstance(value, Tensor):
            return value
        return value.to(device, dtype.to_complex() if value.is_complex() else dtype)

    for name, arguments in stages.items():
        found = getattr(torch.ops.scatcuda, name)(*map(narrowed, arguments))
        expected = getattr(reference, name)(*arguments)
        if isinstance(expected, Tensor):
            found, expected = (found,), (expected,)
        for ours, theirs in zip(found, expected, strict=True):
            assert (ours.cpu() - theirs).norm() <= LIMITS[dtype] * theirs.norm(), name


#: What is asked on a GPU under compute-sanitizer, and of the emulated engine, whether it reaches
#: every kernel: functions and their arguments, but for the device.
SANITIZED = [
    *((tiny_problem, given) for given in product(TIERS, TINY, (None, 1))),
    *((tiny_problem_with_filters, given) for given in product([*TINY[:3], *WIDE], LIMITS)),
    *((kernels_of_one_side, (case,)) for case in OWN_SIDES),
    *((tiny_program, given) for given in product(EVERY_KERNEL, LIMITS)),
    *((tiny_signals, (seed,)) for seed in SIGNALS[4:8]),
    *((tiny_stages, (dtype,)) for dtype in LIMITS),
]
