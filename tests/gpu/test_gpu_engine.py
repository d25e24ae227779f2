"""The CUDA engine's own ways: both tiers against float64, forward and backward, waves, the same
bits every time, tables that point outside, and small problems for compute-sanitizer.

Expected values are those of ../oracle.py and of scatcuda.reference, in float64 on the CPU.
"""

from __future__ import annotations

import math

import oracle
import pytest
import torch
from gpu_problems import (
    LIMITS,
    PROGRAMS,
    SANITIZED,
    SIGNALS,
    TIERS,
    WITH_FILTERS,
    X_ALONE,
    Case,
    backward_problem,
    check,
    check_gradients,
    check_program,
    check_signals,
    gradients,
    scattered,
)
from torch import Tensor, nn

from scatcuda import Scattering2D, banks, cuda_launch, limits, ops
from scatcuda.banks.packing import pack
from scatcuda.ops import reference
from scatcuda.program import Table
from scatcuda.program.packing import Packed
from scatcuda.program.plan import Plan

# Small enough for a block of any GPU
SMALL = [
    Case(32, 32, 2, lead=(5,)),
    Case(28, 28, 2, lead=(2, 3)),
    Case(32, 32, 2, lead=(1,)),
    Case(32, 32, 2, lead=()),
    Case(3, 2, 1, L=3, lead=(7,)),
    Case(17, 29, 1, L=1),
    Case(22, 26, 1, L=16, pre_pad=True),  # factors 11 and 13
    Case(24, 40, 3, L=16),
    Case(8, 8, 3, L=3),  # 2^J = side: one pixel of output
    Case(16, 40, 4, L=3, lead=(2,)),
    Case(32, 33, 5, L=1),
    Case(20, 36, 2, L=3, max_order=1),
    Case(15, 12, 2, max_order=0),
]
CASES = [
    *SMALL,
    Case(37, 32, 2, L=12),  # padded 44 × 40
    Case(34, 38, 1, L=3, pre_pad=True),  # factors 17 and 19
    Case(46, 62, 1, L=17, max_order=1, pre_pad=True),  # 23 and 31
    Case(4, 97, 2, L=1),  # thin
    Case(251, 61, 1, L=2, lead=(2,)),
    Case(64, 48, 5, L=8, lead=(2,)),
    Case(64, 64, 3, lead=(2,)),
    Case(128, 96, 3, L=4, lead=(2,)),
    Case(224, 224, 3, lead=(1,)),
    Case(224, 224, 4, L=4, lead=()),
    Case(96, 1024, 2, L=2, max_order=1, lead=(1,)),
]


# --- right --------------------------------------------------------------------------------------


@pytest.mark.parametrize("workspace", [0, 1])
@pytest.mark.parametrize("dtype", LIMITS, ids=str)
@pytest.mark.parametrize("drawn", PROGRAMS, ids=str)
def test_programs(drawn, dtype, workspace, device):
    check_program(drawn, dtype, device, workspace)


@pytest.mark.parametrize("workspace", [0, 1])
@pytest.mark.parametrize("seed", SIGNALS)
def test_programs_of_signals(seed, workspace, device):
    check_signals(seed, device, workspace)


@pytest.mark.parametrize("case", CASES, ids=str)
@pytest.mark.parametrize("tier", TIERS)
def test_float32(tier, case, device):
    check(case, tier, torch.float32, device)


@pytest.mark.parametrize("case", CASES, ids=str)
def test_float64(case, device):
    check(case, "general", torch.float64, device)


@pytest.mark.cuda
@pytest.mark.parametrize("case", SMALL, ids=str)
def test_fused_tier_does_small_problems(case, device):
    case.module("fused").to(device)(case.images(torch.float32).to(device))


@pytest.mark.cuda
def test_fused_tier_refuses_float64(device):
    module, x = SMALL[0].module("fused").double().to(device), SMALL[0].images().to(device)
    with pytest.raises(RuntimeError, match="fused tier"):
        module(x)
    assert module.float()(x.float()).isfinite().all()


@pytest.mark.parametrize("case", CASES, ids=str)
@pytest.mark.parametrize("tier", TIERS)
def test_gradients_in_float32(tier, case, device):
    check_gradients(case, tier, torch.float32, device)


@pytest.mark.parametrize("case", SMALL, ids=str)
def test_gradients_in_float64(case, device):
    check_gradients(case, "general", torch.float64, device)


@pytest.mark.parametrize("dtype", LIMITS, ids=str)
@pytest.mark.parametrize("case", [*SMALL[::2], Case(128, 96, 3, L=4, lead=(2,))], ids=str)
def test_gradients_of_filters(case, dtype, device):
    check_gradients(case, "auto", dtype, device, WITH_FILTERS)


@pytest.mark.parametrize("tier", TIERS)
@pytest.mark.parametrize("case", [Case(32, 32, 2, lead=(5,)), Case(60, 44, 2, L=4, lead=(2, 2))])
def test_gradient_of_the_module(case, tier, device):
    module, x = case.module(tier), case.images(torch.float32)
    weights = torch.randn(*case.lead, *module.output_shape)
    twin = Scattering2D(case.J, (case.M, case.N), case.L, backend="reference").double()
    expected = x.double().requires_grad_()
    twin(expected).backward(weights.double())
    ours = x.to(device).requires_grad_()
    scattered(module, ours, device).backward(weights.to(device))
    assert oracle.relative_error(ours.grad.cpu(), expected.grad) <= 5e-6


@pytest.mark.parametrize("tier", TIERS)
def test_precision_is_nobody_elses_choice(tier, device):
    """Neither autocast nor leave to use TF32 changes a number."""
    case = Case(32, 32, 2, lead=(4, 3))
    module, x = case.module(tier), case.images(torch.float32)
    S = scattered(module, x, device)
    before = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision("medium")
    try:
        with torch.autocast(device.type, torch.bfloat16):
            assert torch.equal(scattered(module, x, device), S)
    finally:
        torch.set_float32_matmul_precision(before)
    nested = nn.Sequential(module).half()
    assert torch.equal(nested(x.to(device)), S)


# --- the same bits ------------------------------------------------------------------------------
#
# The same launch gives the same bits: the order of our sums is fixed, and cuFFT's bits are those of
# its plan, on the same kind of GPU. A batch of another size has another plan.


def asks_no_library(case: Case, tier: str, device: torch.device) -> bool:
    """Whether the numbers are all our own: on the CPU, and where a block does the first order."""
    if device.type == "cpu" or case.max_order == 0:
        return True
    sizes = (case.J, (case.M, case.N), case.L, case.max_order)
    return cuda_launch(*sizes, tier=tier, device=device).first_order_fused


REPEATED = [
    Case(32, 32, 2, lead=(13,)),
    Case(37, 21, 2, L=5, lead=(7,)),
    Case(64, 80, 3, lead=(5,)),
    Case(15, 12, 2, max_order=0, lead=(6,)),
    Case(224, 224, 3, lead=(3,)),
]


@pytest.mark.parametrize("dtype", LIMITS, ids=str)
@pytest.mark.parametrize("case", REPEATED, ids=str)
@pytest.mark.parametrize("tier", TIERS)
def test_waves_change_nothing(tier, case, dtype, device):
    if tier == "fused" and dtype == torch.float64:
        pytest.skip("the fused tier is float32's")
    x = case.images(dtype)
    expected = scattered(case.module(tier), x, device)
    # two FFTs of one image may each be as far from the truth as LIMITS says
    limit = 0.0 if asks_no_library(case, tier, device) else LIMITS[dtype]
    for workspace in (1, 1 << 18, 1 << 21, 3 << 22):
        found = scattered(case.module(tier, workspace), x, device)
        assert oracle.relative_error(found, expected) <= limit, workspace
    alone = torch.stack([scattered(case.module(tier), image, device) for image in x])
    assert oracle.relative_error(alone, expected) <= limit


@pytest.mark.parametrize("dtype", LIMITS, ids=str)
@pytest.mark.parametrize("case", REPEATED, ids=str)
@pytest.mark.parametrize("tier", TIERS)
def test_the_same_bits_every_time(tier, case, dtype, device):
    if tier == "fused" and dtype == torch.float64:
        pytest.skip("the fused tier is float32's")
    module, x = case.module(tier), case.images(dtype)
    expected = scattered(module, x, device)
    for _ in range(10):
        torch.full((1 << 20,), math.nan, device=device)  # what was in the workspace does not matter
        assert torch.equal(module(x.to(device)), expected)


@pytest.mark.parametrize("wanted", [X_ALONE, WITH_FILTERS], ids=["x", "filters"])
@pytest.mark.parametrize("case", REPEATED, ids=str)
@pytest.mark.parametrize("tier", TIERS)
def test_gradients_have_the_same_bits_every_time(tier, case, wanted, device):
    given = backward_problem(case, torch.float32)
    for workspace in (0, 1 << 21):
        expected = gradients(case, given, wanted, device, tier, workspace)
        for _ in range(3):
            torch.full((1 << 20,), math.nan, device=device)
            found = gradients(case, given, wanted, device, tier, workspace)
            assert all(map(torch.equal, found, expected))


# --- tables that point outside ------------------------------------------------------------------

PLAN = Plan(J=3, L=3, max_order=2, M=24, N=20)
LANES = limits.lanes(PLAN.L)
OUTSIDE = [2**40, -(2**31), 2**62, -(2**63)]


def scattering(x: Tensor, packed: Packed, device: torch.device, tier: str) -> Tensor:
    bank = [t.to(device) for t in packed]
    return ops.scattering(x.to(device), *bank, PLAN.program, tier=tier).cpu()


@pytest.fixture
def bank() -> Packed:
    return pack(banks.morlet_bank(PLAN.padded, PLAN.J, PLAN.L), PLAN, torch.float32)


def channels_of(table: Table) -> Tensor:
    """A mask of the channels whose path takes the wavelets of scale j at resolution res."""
    res, j, _ = table
    first, second = torch.from_numpy(PLAN.meta()["j"]).T
    return ((first == j) if res == 0 else False) | ((first == res) & (second == j))


def check_poisoned(S: Tensor, expected: Tensor, poisoned: Tensor) -> None:
    """NaN in the poisoned coefficients ``[C, m, n]``; the others as they should be."""
    assert S[:, poisoned].isnan().all()
    assert torch.equal(S[:, ~poisoned], expected[:, ~poisoned])


@pytest.mark.cuda
@pytest.mark.parametrize("tier", TIERS)
@pytest.mark.parametrize("table", list(PLAN.tables()), ids=str)
def test_a_box_outside_its_table_gives_nan(table, tier, bank, device):
    x = torch.rand(2, PLAN.M, PLAN.N)
    expected = scattering(x, bank, device, tier)
    poisoned = channels_of(table)[:, None, None].expand(expected.shape[1:])
    assert 0 < poisoned.sum() < poisoned.numel()
    row = list(PLAN.tables()).index(table)
    for column in range(5):
        for value in OUTSIDE:
            boxes = bank.psi_support.clone()
            boxes[row, column] = value
            changed = bank._replace(psi_support=boxes)
            check_poisoned(scattering(x, changed, device, tier), expected, poisoned)


@pytest.mark.cuda
@pytest.mark.parametrize("tier", TIERS)
@pytest.mark.parametrize("res", range(PLAN.J))
def test_a_band_outside_its_matrix_gives_nan(res, tier, bank, device):
    x = torch.rand(2, PLAN.M, PLAN.N)
    expected = scattering(x, bank, device, tier)
    last = torch.from_numpy(PLAN.meta()["j"]).max(1).values.clamp(0)  # resolution of a channel
    m, n = PLAN.output
    for index in range(m + n):
        poisoned = torch.zeros(expected.shape[1:], dtype=torch.bool)
        rows = (index, slice(None)) if index < m else (slice(None), index - m)
        poisoned[(last == res, *rows)] = True
        for column, value in ((0, -999), (1, 2**40), (0, 2**40), (1, -(2**63))):
            bands = bank.phi_support.clone()
            bands[res * (m + n) + index, column] = value
            changed = bank._replace(phi_support=bands)
            check_poisoned(scattering(x, changed, device, tier), expected, poisoned)


@pytest.mark.cuda
@pytest.mark.parametrize("wanted", [X_ALONE, WITH_FILTERS], ids=["x", "filters"])
@pytest.mark.parametrize("tier", TIERS)
def test_tables_that_point_outside_give_a_gradient_of_nan(tier, wanted, bank, rng, device):
    case = Case(PLAN.M, PLAN.N, PLAN.J, PLAN.L, lead=(2,))
    for name in ("psi_support", "phi_support"):
        for _ in range(20):
            bad = bank._asdict()[name].clone()
            bad.view(-1)[rng.randrange(bad.numel())] = rng.choice(OUTSIDE)
            given = backward_problem(case, torch.float32, bank._replace(**{name: bad}))
            assert gradients(case, given, wanted, device, tier)[0].isnan().any()
    check_gradients(case, tier, torch.float32, device, wanted, bank=bank)


@pytest.mark.cuda
def test_any_box_is_right_or_gives_nan(bank, rng, device):
    """Random boxes; whatever they are, the next call is right."""
    x = torch.rand(2, PLAN.M, PLAN.N)
    numbers = bank.psi.numel()
    psi = torch.randn(bank.psi.shape) / math.prod(PLAN.padded)
    sane = scattering(x, bank, device, "auto")
    right = 0
    for _ in range(60):
        boxes = []
        for res, *_ in PLAN.tables():
            sides = PLAN.sides(res)
            (head, tail), (left, right_) = (
                sorted(rng.randint(0, side) for _ in range(2)) for side in sides
            )
            kept = LANES * (sides[0] - tail + head) * (sides[1] - right_ + left)
            boxes.append([rng.randint(0, max(0, numbers - kept)), head, tail, left, right_])
        broken = set()
        for _ in range(rng.randint(0, 2)):
            row = rng.randrange(len(boxes))
            boxes[row][rng.randrange(5)] = rng.choice(OUTSIDE)
            broken.add(row)
        # too few numbers for the kept box is outside as well
        for row, (res, *_) in enumerate(PLAN.tables()):
            first, head, tail, left, right_ = boxes[row]
            rows, columns = PLAN.sides(res)
            if row not in broken:
                kept = LANES * (rows - tail + head) * (columns - right_ + left)
                broken |= {row} if first + kept > numbers else set()
        changed = bank._replace(psi=psi, psi_support=torch.tensor(boxes))
        S = scattering(x, changed, device, "auto")
        poisoned = torch.zeros(PLAN.channels, dtype=torch.bool)
        for row, table in enumerate(PLAN.tables()):
            if row in broken:
                poisoned |= channels_of(table)
        assert S[:, poisoned].isnan().all() and S[:, ~poisoned].isfinite().all(), boxes
        if not broken:
            right += 1
            wide = changed._replace(psi=psi.double(), phi=bank.phi.double())
            expected = reference.scattering(x.double(), *wide, PLAN.program)
            assert oracle.relative_error(S, expected) <= LIMITS[torch.float32], boxes
    assert right > 5
    assert torch.equal(scattering(x, bank, device, "auto"), sane)


@pytest.mark.sanitize
@pytest.mark.parametrize(
    ("ask", "given"), SANITIZED, ids=[f"{ask.__name__}-{given}" for ask, given in SANITIZED]
)
def test_small(ask, given, device):
    ask(*given, device)
