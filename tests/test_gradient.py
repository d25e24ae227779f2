"""The gradients of the transform: the engine against its float64 twin and against differences, the
same bits whatever the threads, and no memory kept but the input."""

from __future__ import annotations

import random

import pytest
import torch
from oracle import relative_error
from torch import Tensor
from torch.autograd import gradcheck, gradgradcheck

from scatcuda import Scattering2D, banks, ops
from scatcuda.banks.packing import pack
from scatcuda.ops import reference
from scatcuda.program.packing import Packed
from scatcuda.program.plan import Plan

BACKWARD = torch.ops.scatcuda.scattering_backward
TOLERANCE = {torch.float32: 2e-6, torch.float64: 1e-12}  # relative, in the 2-norm
ALL = (True, True, True)  # of x, psi and phi


def bank_of(plan: Plan, dtype: torch.dtype) -> Packed:
    return pack(banks.morlet_bank(plan.padded, plan.J, plan.L), plan, dtype)


def random_plan(rng: random.Random, J: int, side: int, angles: list[int]) -> Plan:
    J, L = rng.randint(1, J), rng.choice(angles)
    sides = rng.randint(2**J, side), rng.randint(2**J, side)
    pre_pad = rng.random() < 0.2
    if pre_pad:
        sides = banks.padded_shape(sides, J)
    return Plan(J, L, rng.choice([0, 1, 2, 2]), *sides, pre_pad)


def given(plan: Plan, B: int, dtype: torch.dtype) -> tuple[Tensor, Tensor, Packed]:
    """A gradient of the coefficients, images, and the bank."""
    x = torch.randn(B, plan.M, plan.N, dtype=dtype)
    return torch.randn(B, plan.channels, *plan.output, dtype=dtype), x, bank_of(plan, dtype)


def exact(g: Tensor, x: Tensor, bank: Packed, plan: Plan) -> tuple[Tensor, ...]:
    wide = (t.double() if t.is_floating_point() else t for t in bank)
    return reference.scattering_backward(g.double(), x.double(), *wide, plan.program, *ALL)


@pytest.mark.parametrize("dtype", TOLERANCE, ids=str)
@pytest.mark.parametrize("number", range(25))
def test_random_problem(number, dtype, rng):
    plan = random_plan(rng, J=3, side=50, angles=[1, 2, 3, 4, 5, 8, 8, 9, 12, 16, 17])
    g, x, bank = given(plan, rng.randint(1, 3), dtype)
    expected = exact(g, x, bank, plan)
    for wanted in (ALL, (True, False, False), (False, True, False), (False, False, True)):
        found = BACKWARD(g, x, *bank, plan.program, *wanted)
        for ours, theirs, asked in zip(found, expected, wanted, strict=True):
            if asked and theirs.any():
                assert relative_error(ours, theirs) <= TOLERANCE[dtype], (plan, wanted)
            elif asked:
                assert not ours.any()


@pytest.mark.parametrize("J, side", [(2, 32), (3, 224)])
def test_float32(J, side):
    plan = Plan(J, 8, 2, side, side)
    g, x, bank = given(plan, 1, torch.float32)
    found = BACKWARD(g, x, *bank, plan.program, *ALL)
    for ours, theirs in zip(found, exact(g, x, bank, plan), strict=True):
        assert relative_error(ours, theirs) <= 2e-6


def leaves(plan: Plan) -> tuple[tuple[Tensor, Tensor, Tensor], Tensor]:
    """Images, wavelets and the taps of the low-pass inside its bands; and where those are."""
    bank = bank_of(plan, torch.float64)
    inside = bank.phi != 0
    x = torch.randn(2, plan.M, plan.N, dtype=torch.float64)
    tensors = (x, bank.psi.clone(), bank.phi[inside])
    return tuple(t.requires_grad_() for t in tensors), inside


def function_of(plan: Plan, inside: Tensor):
    bank = bank_of(plan, torch.float64)

    def scattering(x: Tensor, psi: Tensor, taps: Tensor) -> Tensor:
        phi = torch.zeros_like(bank.phi).masked_scatter(inside, taps)
        return ops.scattering(x, psi, bank.psi_support, phi, bank.phi_support, plan.program)

    return scattering


@pytest.mark.parametrize("number", range(20))
def test_gradcheck(number, rng):
    plan = random_plan(rng, J=2, side=6, angles=[1, 2, 3])
    inputs, inside = leaves(plan)
    f = function_of(plan, inside)
    assert gradcheck(lambda x: f(x, *inputs[1:]), inputs[:1])
    assert gradcheck(f, inputs, fast_mode=True)


@pytest.mark.parametrize("number", range(3))
def test_gradgradcheck(number, rng):
    plan = random_plan(rng, J=2, side=5, angles=[1, 2])
    inputs, inside = leaves(plan)
    assert gradgradcheck(function_of(plan, inside), inputs, fast_mode=True)


@pytest.mark.parametrize("dtype", TOLERANCE, ids=str)
@pytest.mark.parametrize(
    "plan, batch",
    [
        (Plan(2, 8, 2, 20, 24), 7),
        (Plan(3, 8, 2, 64, 60), 2),  # two images for three threads: they share each
        (Plan(2, 17, 2, 66, 80), 1),
        (Plan(2, 3, 1, 128, 70), 5),
        (Plan(3, 8, 3, 80, 72), 1),
        (Plan(1, 5, 0, 16, 16), 4),
    ],
    ids=str,
)
def test_thread_count_changes_nothing(plan, batch, dtype):
    g, x, bank = given(plan, batch, dtype)
    for wanted in ((True, False, False), ALL):
        found = []
        for count in (1, 2, 3, 5):
            torch.set_num_threads(count)
            found.append(BACKWARD(g, x, *bank, plan.program, *wanted))
        for others in found[1:]:
            assert all(torch.equal(a, b) for a, b in zip(others, found[0], strict=True))


def test_an_image_does_not_depend_on_its_batch():
    plan = Plan(2, 5, 2, 20, 24)
    g, x, bank = given(plan, 5, torch.float32)
    alone = (True, False, False)
    together = BACKWARD(g, x, *bank, plan.program, *alone)[0]
    for i in range(5):
        one = BACKWARD(g[i], x[i], *bank, plan.program, *alone)[0]
        assert torch.equal(one, together[i])


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
@pytest.mark.parametrize("side", [20, 64])
def test_not_a_number_stays_in_its_image(side, bad):
    plan = Plan(2, 4, 2, side, side)
    g, x, bank = given(plan, 3, torch.float32)
    run = (*bank, plan.program, True, False, False)
    expected = BACKWARD(g, x, *run)[0]
    spoilt = x.clone()
    spoilt[1, 3, 4] = bad
    found = BACKWARD(g, spoilt, *run)[0]
    assert torch.equal(found[0], expected[0]) and torch.equal(found[2], expected[2])
    assert not found[1].isfinite().any()
    assert torch.equal(BACKWARD(g, x, *run)[0], expected)  # nor is it left behind in a buffer


@pytest.mark.parametrize("max_order", [1, 2])
def test_where_the_modulus_is_zero_its_gradient_is(max_order):
    """Half of the image is 0 far beyond the wavelets' reach; the gradient is finite, and that of
    an image of zeros is the low-pass' alone."""
    module = Scattering2D(1, (64, 64), 4, max_order)
    x = torch.randn(64, 64)
    x[:, 32:] = 0
    (gradient,) = torch.autograd.grad(module(x.requires_grad_()).sum(), x)
    assert gradient.isfinite().all()
    x = torch.zeros(64, 64, requires_grad=True)
    everything, order_0 = module(x).sum(), module(x)[0].sum()
    for ours, expected in zip(
        torch.autograd.grad(everything, x), torch.autograd.grad(order_0, x), strict=True
    ):
        torch.testing.assert_close(ours, expected)


def test_the_input_is_all_that_is_kept():
    """Beside the module's own tables, which live anyway."""
    module = Scattering2D(3, (64, 64))
    x = torch.randn(4, 64, 64, requires_grad=True)
    tables = {t.untyped_storage().data_ptr() for t in module._packed}
    kept: dict[int, int] = {}

    def pack_(t: Tensor) -> Tensor:
        if t.untyped_storage().data_ptr() not in tables:
            kept[t.untyped_storage().data_ptr()] = t.untyped_storage().nbytes()
        return t

    with torch.autograd.graph.saved_tensors_hooks(pack_, lambda t: t):
        module(x)
    assert kept == {x.untyped_storage().data_ptr(): x.nbytes}


GOOD = dict(zip(("grad", "x"), given(Plan(1, 2, 2, 8, 8), 3, torch.float32), strict=False))


@pytest.mark.parametrize(
    "changed, told",
    [
        ({"grad": GOOD["grad"].double()}, "scattering_backward: grad must be Float; got Double"),
        ({"grad": GOOD["grad"][:2]}, r"grad must have shape \(3, 3, 4, 4\); got \(2, 3, 4, 4\)"),
        ({"grad": GOOD["grad"][0]}, r"grad must have shape \(3, 3, 4, 4\); got \(3, 4, 4\)"),
        ({"x": GOOD["x"][..., :0]}, "the last dimensions of x must be"),
        ({"tier": "fast"}, "tier must be"),
    ],
)
def test_bad_argument(changed, told):
    plan = Plan(1, 2, 2, 8, 8)
    arguments = GOOD | changed
    tier = arguments.pop("tier", "auto")
    with pytest.raises(RuntimeError, match=told):
        BACKWARD(*arguments.values(), *bank_of(plan, torch.float32), plan.program, *ALL, tier)
