"""The operators: what PyTorch asks of one, and each against its twin in ``scatcuda.reference``.

Whole transforms through :class:`scatcuda.Scattering2D` are in test_scattering2d.py.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterator

import pytest
import torch
from devices import NONDETERMINISM, SINGLE
from oracle import relative_error
from torch import Tensor
from torch.autograd import gradcheck, gradgradcheck
from torch.library import opcheck

from scatcuda import banks, limits, ops
from scatcuda.banks.packing import pack, unpack
from scatcuda.ops import reference
from scatcuda.program.packing import Packed
from scatcuda.program.plan import Plan

DTYPES = [torch.float32, torch.float64]
TOLERANCE = {torch.float32: SINGLE, torch.float64: 1e-13}  # relative, of a whole transform
COMPLEX = {torch.float32: torch.complex64, torch.float64: torch.complex128}
OPERATORS = torch.ops.scatcuda

PLANS = [
    Plan(J=2, L=1, max_order=2, M=4, N=5),
    Plan(J=1, L=3, max_order=1, M=3, N=2),
    Plan(J=1, L=2, max_order=2, M=6, N=8, pre_pad=True),
    Plan(J=2, L=2, max_order=0, M=5, N=4),
]


def bank_of(plan: Plan, dtype: torch.dtype) -> Packed:
    packed = pack(banks.morlet_bank(plan.padded, plan.J, plan.L), plan, dtype)
    return Packed(*(t.to(torch.get_default_device()) for t in packed))  # gpu/ runs these tests too


def scattering_of(plan: Plan) -> Callable[..., Tensor]:
    """The operator with its tables and program filled in: a function of x, psi and phi."""
    bank = bank_of(plan, torch.float64)

    def scattering(x: Tensor, psi: Tensor = bank.psi, phi: Tensor = bank.phi) -> Tensor:
        return ops.scattering(x, psi, bank.psi_support, phi, bank.phi_support, plan.program)

    return scattering


def layouts(t: Tensor) -> Iterator[Tensor]:
    """The values of t in other places: contiguous, transposed, every other one, reversed axes."""
    yield t.contiguous()
    yield t.mT.contiguous().mT
    yield t.movedim(0, -1).contiguous().movedim(-1, 0)
    holed = t.new_zeros(*t.shape[:-1], 2 * t.shape[-1])
    holed[..., ::2] = t
    yield holed[..., ::2]


# --- what PyTorch asks of an operator ---------------------------------------------------------


def arguments_of(name: str, wants_gradient: bool) -> tuple:
    def leaf(t: Tensor) -> Tensor:
        return t.clone().requires_grad_(wants_gradient)

    if name.endswith("_backward"):
        name = name.removesuffix("_backward")
        arguments = arguments_of(name, wants_gradient)
        grad = leaf(torch.randn_like(getattr(OPERATORS, name)(*arguments)))
        wanted = {"scattering": 3, "filter_fold": 2, "modulus": 0}[name] * (True,)
        return (grad, *arguments, *wanted)
    if name == "scattering":
        plan = PLANS[0]
        bank = bank_of(plan, torch.float64)
        x = torch.randn(2, plan.M, plan.N, dtype=torch.float64)
        psi, phi = leaf(bank.psi), leaf(bank.phi)
        return (leaf(x), psi, bank.psi_support, phi, bank.phi_support, plan.program)
    if name == "filter_fold":
        return leaf(torch.randn(2, 4, 6, dtype=torch.complex64)), leaf(torch.randn(3, 4, 6)), 2
    if name == "modulus":
        return (leaf(torch.randn(2, 3, dtype=torch.complex64)),)
    return leaf(torch.randn(2, 4, 6)), leaf(torch.randn(2, 4)), leaf(torch.randn(3, 6))


OLD = tuple(map(int, torch.__version__.split(".")[:2])) < (2, 12)
DYNAMIC = "test_aot_dispatch_dynamic"
FORWARD = ["scattering", "filter_fold", "modulus", "lowpass"]
BACKWARD = ["scattering_backward", "filter_fold_backward", "modulus_backward"]


@pytest.mark.everywhere
@pytest.mark.parametrize("wants_gradient", [False, True], ids=["", "gradient"])
@pytest.mark.parametrize("name", [*FORWARD, *BACKWARD])
def test_opcheck(name, wants_gradient):
    given = getattr(OPERATORS, name).default, arguments_of(name, wants_gradient)
    tests = ["test_schema", "test_autograd_registration", "test_faketensor", DYNAMIC]
    if (name, wants_gradient) == ("scattering_backward", True) and OLD:
        # of second derivatives of dynamic shapes PyTorch 2.11 fails an assertion of its own
        tests.remove(DYNAMIC)
    opcheck(*given, test_utils=tests)


@pytest.mark.everywhere
@pytest.mark.parametrize(
    ("name", "wanted"),
    [
        ("scattering_backward", (True, False, False)),
        ("scattering_backward", (False, True, True)),
        ("filter_fold_backward", (True, False)),
        ("filter_fold_backward", (False, True)),
    ],
)
def test_opcheck_of_some_gradients(name, wanted):
    arguments = arguments_of(name, False)[: -len(wanted)]
    opcheck(getattr(OPERATORS, name).default, (*arguments, *wanted))


@pytest.mark.parametrize("plan", PLANS, ids=str)
@pytest.mark.parametrize("lead", [(), (3,), (2, 0)])
def test_meta_device_gives_shapes(plan, lead):
    x = torch.empty(*lead, plan.M, plan.N, device="meta")
    bank = [t.to("meta") for t in bank_of(plan, torch.float32)]
    S = ops.scattering(x, *bank, plan.program)
    assert (S.shape, S.device, S.dtype) == (
        (*lead, plan.channels, *plan.output),
        x.device,
        x.dtype,
    )
    z = torch.empty(*lead, 4, 6, device="meta", dtype=torch.complex64)
    folded = ops.filter_fold(z, torch.empty(5, 4, 6, device="meta"), 2)
    assert (folded.shape, folded.device, folded.dtype) == ((*lead, 5, 2, 3), z.device, z.dtype)
    u = ops.modulus(z)
    assert (u.shape, u.device, u.dtype) == (z.shape, z.device, torch.float32)
    low = ops.lowpass(u, torch.empty(2, 4, device="meta"), torch.empty(3, 6, device="meta"))
    assert (low.shape, low.device, low.dtype) == ((*lead, 2, 3), z.device, torch.float32)


@pytest.mark.everywhere
def test_compile_makes_one_graph():
    if not torch._dynamo.is_dynamo_supported():
        pytest.skip("torch.compile does not work on this Python")
    scattering = scattering_of(PLANS[0])
    a_m, a_n, psi = (torch.randn(size, dtype=torch.float64) for size in ((2, 2), (3, 2), (3, 4, 4)))

    def network(x: Tensor) -> Tensor:
        u = ops.modulus(torch.fft.ifft2(ops.filter_fold(torch.fft.fft2(x[..., :4]), psi, 2)))
        return scattering(x).square().sum() + ops.lowpass(u, a_m, a_n).square().sum()

    x = torch.randn(2, 4, 5, dtype=torch.float64, requires_grad=True)
    expected = network(x)
    (gradient,) = torch.autograd.grad(expected, x)
    compiled = torch.compile(network, fullgraph=True, backend="aot_eager")(x)
    torch.testing.assert_close(compiled, expected)
    torch.testing.assert_close(torch.autograd.grad(compiled, x)[0], gradient)


# --- the same numbers as the twins ------------------------------------------------------------


@pytest.mark.everywhere
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("lead", [(), (1,), (5,), (2, 3)])
@pytest.mark.parametrize(
    "plan",
    [*PLANS, Plan(2, 8, 2, 17, 23), Plan(3, 5, 2, 40, 12), Plan(1, 17, 1, 22, 26, pre_pad=True)],
    ids=str,
)
def test_scattering(plan, lead, dtype):
    # positive, so that the mean of a single pixel of order 0 loses no digits
    x = torch.rand(*lead, plan.M, plan.N, dtype=torch.float64)
    bank = bank_of(plan, dtype)
    expected = reference.scattering(x, *bank_of(plan, torch.float64), plan.program)
    twin = reference.scattering(x.to(dtype), *bank, plan.program)
    for view in layouts(x.to(dtype)):
        ours = ops.scattering(view, *bank, plan.program)
        assert ours.shape == (*lead, plan.channels, *plan.output)
        assert ours.dtype == dtype
        assert ours.is_contiguous()
        assert relative_error(ours, expected) <= TOLERANCE[dtype]
        assert relative_error(ours, twin) <= 2 * TOLERANCE[dtype]


@pytest.mark.everywhere
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("lead", [(), (1,), (2, 3)])
@pytest.mark.parametrize(("L", "M", "N", "k"), [(1, 1, 1, 1), (3, 8, 12, 4), (5, 15, 9, 3)])
def test_filter_fold(L, M, N, k, lead, dtype):
    """A sum of k² products: one rounding each and one for each term added."""
    x_hat = torch.randn(*lead, M, N, dtype=torch.complex128)
    psi = torch.randn(L, M, N, dtype=torch.float64)
    x_hat, psi = x_hat.to(COMPLEX[dtype]), psi.to(dtype)
    expected = reference.filter_fold(x_hat.to(torch.complex128), psi.double(), k)
    tolerance = (k + 1) * torch.finfo(dtype).eps
    for view, table in zip(layouts(x_hat), layouts(psi), strict=True):
        ours = ops.filter_fold(view, table, k)
        assert ours.shape == (*lead, L, M // k, N // k)
        assert ours.dtype == x_hat.dtype
        assert (ours - expected).norm() <= tolerance * expected.norm()
        twin = reference.filter_fold(view, table, k)
        assert (ours - twin).norm() <= 2 * tolerance * expected.norm()


@pytest.mark.everywhere
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("shape", [(), (1,), (37,), (3, 0, 2), (5, 4097), (2, 3, 5, 7)])
def test_modulus(shape, dtype):
    """Each number by itself, from the smallest to the largest."""
    info = torch.finfo(dtype)
    low, high = math.log10(info.tiny), math.log10(info.max) - 1
    exponents = low + (high - low) * torch.rand(shape, dtype=torch.float64)
    z = torch.polar(10**exponents, 7 * torch.rand(shape, dtype=torch.float64)).to(COMPLEX[dtype])
    expected = reference.modulus(z.to(torch.complex128))
    for view in layouts(z) if z.dim() > 1 else [z, z.conj(), z.expand(2, *shape)[0]]:
        ours = ops.modulus(view)
        assert ours.shape == z.shape
        assert ours.dtype == dtype
        assert ((ours - expected).abs() <= 2 * info.eps * expected).all()


@pytest.mark.everywhere
@pytest.mark.parametrize("dtype", DTYPES)
def test_modulus_of_special_numbers(dtype):
    inf, nan = float("inf"), float("nan")
    real = torch.tensor([0, -0.0, -3, inf, 0, nan, 1], dtype=dtype)
    imag = torch.tensor([0, 0, 4, 0, -inf, 1, nan], dtype=dtype)
    z, expected = torch.complex(real, imag), torch.tensor([0, 0, 5, inf, inf, nan, nan]).to(dtype)
    for count in (1, len(z), 40):  # alone and in whole vectors
        ours = ops.modulus(z.repeat(count))
        torch.testing.assert_close(ours, expected.repeat(count), equal_nan=True)


@pytest.mark.everywhere
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("lead", [(), (1,), (2, 3)])
@pytest.mark.parametrize(("M", "N", "m", "n"), [(1, 1, 1, 1), (12, 20, 1, 3), (37, 8, 5, 8)])
def test_lowpass(M, N, m, n, lead, dtype):
    u, a_m, a_n = (torch.randn(*lead, M, N), torch.rand(m, M), torch.rand(n, N))
    expected = reference.lowpass(u.double(), a_m.double(), a_n.double())
    u, a_m, a_n = u.to(dtype), a_m.to(dtype), a_n.to(dtype)
    for views in zip(layouts(u), layouts(a_m), layouts(a_n), strict=True):
        ours = ops.lowpass(*views)
        assert ours.shape == (*lead, m, n)
        assert ours.dtype == dtype
        scale = a_m.double() @ u.double().abs() @ a_n.double().mT
        assert ((ours - expected).abs() <= 64 * torch.finfo(dtype).eps * scale).all()


@pytest.mark.everywhere
def test_lazily_conjugated_and_negated_input():
    z, psi = torch.randn(2, 4, 6, dtype=torch.complex128), torch.randn(3, 4, 6).double()
    ours = ops.filter_fold(z.conj(), psi, 2)
    torch.testing.assert_close(ours, ops.filter_fold(z.conj().resolve_conj(), psi, 2))
    negated = torch.randn(2, 4, 5, dtype=torch.complex128).conj().imag
    assert negated.is_neg()
    scattering = scattering_of(PLANS[0])
    torch.testing.assert_close(scattering(negated), scattering(negated.resolve_neg()))
    eye = torch.eye(5, dtype=torch.float64)
    torch.testing.assert_close(ops.lowpass(negated, eye[:4, :4], eye), negated.resolve_neg())


@pytest.mark.everywhere
@pytest.mark.parametrize("computed_by", [ops, reference], ids=lambda module: module.__name__)
def test_nothing_in_nothing_out(computed_by):
    def zeros(*shape: int, dtype: torch.dtype = torch.float32) -> Tensor:
        return torch.zeros(shape, dtype=dtype)

    plan = PLANS[0]
    bank = bank_of(plan, torch.float32)
    S = computed_by.scattering(zeros(2, 0, plan.M, plan.N), *bank, plan.program)
    assert S.shape == (2, 0, plan.channels, *plan.output)
    z = zeros(0, 4, 6, dtype=torch.complex64)
    assert computed_by.filter_fold(z, zeros(5, 4, 6), 2).shape == (0, 5, 2, 3)
    assert computed_by.filter_fold(z, zeros(0, 4, 6), 2).shape == (0, 0, 2, 3)
    empty = computed_by.filter_fold(zeros(3, 0, 6, dtype=torch.complex64), zeros(5, 0, 6), 2)
    assert empty.shape == (3, 5, 0, 3)
    assert computed_by.modulus(z).shape == z.shape
    assert computed_by.lowpass(zeros(0, 4, 6), zeros(2, 4), zeros(3, 6)).shape == (0, 2, 3)
    assert computed_by.lowpass(zeros(5, 4, 6), zeros(0, 4), zeros(3, 6)).shape == (5, 0, 3)
    low = computed_by.lowpass(zeros(5, 0, 6), zeros(2, 0), zeros(3, 6))
    assert torch.equal(low, zeros(5, 2, 3))


# --- gradients --------------------------------------------------------------------------------


def leaves(*shapes: tuple[int, ...], dtype: torch.dtype = torch.float64) -> list[Tensor]:
    return [torch.randn(shape, dtype=dtype, requires_grad=True) for shape in shapes]


@pytest.mark.everywhere
@pytest.mark.parametrize("lead", [(), (2,)])
@pytest.mark.parametrize("plan", PLANS, ids=str)
def test_gradients_of_scattering(plan, lead):
    bank = bank_of(plan, torch.float64)
    inputs = (
        torch.randn(*lead, plan.M, plan.N, dtype=torch.float64, requires_grad=True),
        bank.psi.requires_grad_(plan.max_order > 0),  # of order 0 there is none
        bank.phi.requires_grad_(),
    )
    assert gradcheck(scattering_of(plan), inputs)
    assert gradgradcheck(scattering_of(plan), inputs, fast_mode=True, nondet_tol=NONDETERMINISM)


@pytest.mark.everywhere
def test_gradient_of_the_low_pass_inside_its_bands():
    """Rows of the low-pass that do not fill the image: what lies outside a band stays zero."""
    plan = Plan(J=2, L=1, max_order=1, M=32, N=4)
    bank = bank_of(plan, torch.float64)
    inside = bank.phi != 0
    assert 0 < inside.sum() < inside.numel()
    x = torch.randn(plan.M, plan.N, dtype=torch.float64)

    def scattering(taps: Tensor) -> Tensor:
        phi = torch.zeros_like(bank.phi).masked_scatter(inside, taps)
        return scattering_of(plan)(x, phi=phi)

    assert gradcheck(scattering, (bank.phi[inside].requires_grad_(),))


@pytest.mark.everywhere
@pytest.mark.parametrize("lead", [(), (2,), (2, 1)])
def test_gradients_of_filter_fold(lead):
    (x_hat,) = leaves((*lead, 4, 6), dtype=torch.complex128)
    (psi,) = leaves((3, 4, 6))
    for k in (1, 2):
        assert gradcheck(ops.filter_fold, (x_hat, psi, k))
        assert gradgradcheck(ops.filter_fold, (x_hat, psi, k), nondet_tol=NONDETERMINISM)


@pytest.mark.everywhere
@pytest.mark.parametrize("lead", [(), (2,), (2, 1)])
def test_gradients_of_lowpass(lead):
    inputs = leaves((*lead, 4, 5), (2, 4), (3, 5))
    assert gradcheck(ops.lowpass, inputs)
    assert gradgradcheck(ops.lowpass, inputs, nondet_tol=NONDETERMINISM)


@pytest.mark.everywhere
@pytest.mark.parametrize("shape", [(), (3,), (2, 3)])
def test_gradients_of_modulus(shape):
    inputs = leaves(shape, dtype=torch.complex128)
    assert gradcheck(ops.modulus, inputs)
    assert gradgradcheck(ops.modulus, inputs, nondet_tol=NONDETERMINISM)


@pytest.mark.everywhere
def test_gradient_of_modulus_at_zero_is_zero():
    z = torch.zeros(3, dtype=torch.complex128, requires_grad=True)
    (gradient,) = torch.autograd.grad(ops.modulus(z).sum(), z, create_graph=True)
    assert torch.count_nonzero(gradient) == 0
    (second,) = torch.autograd.grad(gradient.abs().square().sum(), z)
    assert torch.count_nonzero(second) == 0


@pytest.mark.everywhere
@pytest.mark.parametrize("create_graph", [False, True])
def test_gradients_of_nothing_are_zero(create_graph):
    plan = PLANS[0]
    bank = bank_of(plan, torch.float64)
    x, psi, phi = leaves((0, plan.M, plan.N), bank.psi.shape, bank.phi.shape)
    results = [(scattering_of(plan)(x, psi, phi), (x, psi, phi))]
    (z,) = leaves((0, 4, 6), dtype=torch.complex128)
    u, w, a_m, a_n = leaves((0, 4, 6), (3, 4, 6), (2, 4), (3, 6))
    results.append((ops.filter_fold(z, w, 2), (z, w)))
    results.append((ops.lowpass(u, a_m, a_n), (u, a_m, a_n)))
    z, w = torch.randn(2, 4, 6, dtype=torch.complex128), leaves((0, 4, 6))[0]
    results.append((ops.filter_fold(z, w, 2), (w,)))
    u, (a_m, a_n) = torch.randn(2, 4, 6, dtype=torch.float64), leaves((0, 4), (3, 6))
    results.append((ops.lowpass(u, a_m, a_n), (a_m, a_n)))
    for result, inputs in results:
        gradients = torch.autograd.grad(
            result.abs().sum(), inputs, create_graph=create_graph, allow_unused=create_graph
        )
        for gradient, given in zip(gradients, inputs, strict=True):
            assert gradient is None or gradient.shape == given.shape
            assert gradient is None or torch.count_nonzero(gradient) == 0


@pytest.mark.everywhere
def test_only_the_gradients_that_are_wanted():
    plan = PLANS[0]
    bank = bank_of(plan, torch.float64)
    inputs = leaves((2, plan.M, plan.N), bank.psi.shape, bank.phi.shape)
    all_of_them = torch.autograd.grad(scattering_of(plan)(*inputs).sum(), inputs)
    for i, wanted in enumerate(inputs):
        arguments = [t if t is wanted else t.detach() for t in inputs]
        (alone,) = torch.autograd.grad(scattering_of(plan)(*arguments).sum(), wanted)
        torch.testing.assert_close(alone, all_of_them[i])


@pytest.mark.parametrize("budget", [1, reference._ALIVE_BYTES])
def test_gradient_a_few_images_at_a_time(budget, monkeypatch):
    """As many images as the budget holds; the gradients that are wanted and no others."""
    monkeypatch.setattr(reference, "_ALIVE_BYTES", budget)
    check_backward(reference.scattering_backward, PLANS[0])


@pytest.mark.everywhere
@pytest.mark.parametrize("plan", PLANS)
def test_scattering_backward(plan):
    check_backward(OPERATORS.scattering_backward, plan)


def check_backward(backward: Callable, plan: Plan) -> None:
    bank = bank_of(plan, torch.float64)
    leaf = {name: bank._asdict()[name].clone().requires_grad_() for name in ("psi", "phi")}
    (x,) = leaves((2, 3, plan.M, plan.N))
    S = reference.scattering(x, *bank._replace(**leaf), plan.program)
    grad = torch.randn_like(S)
    expected = torch.autograd.grad(S, (x, *leaf.values()), grad, materialize_grads=True)
    for wanted in itertools.product([False, True], repeat=3):
        given = (grad, x.detach(), *bank, plan.program, *wanted)
        for ours, theirs, asked in zip(backward(*given), expected, wanted, strict=True):
            assert asked or ours.numel() == 0
            if asked:
                torch.testing.assert_close(ours, theirs, rtol=1e-9, atol=1e-9)


@pytest.mark.everywhere
@pytest.mark.parametrize("name", FORWARD)
def test_forward_mode(name):
    x, *others = arguments_of(name, False)
    x = x.to(torch.complex128 if x.is_complex() else torch.float64)
    others = [t.double() if isinstance(t, Tensor) and t.is_floating_point() else t for t in others]
    operator = getattr(ops, name)
    v = torch.randn_like(x)
    _, derivative = torch.func.jvp(lambda x: operator(x, *others), (x,), (v,))
    difference = (operator(x + 1e-6 * v, *others) - operator(x - 1e-6 * v, *others)) / 2e-6
    assert (derivative - difference).norm() <= 1e-6 * difference.norm()


# --- bad arguments ----------------------------------------------------------------------------

PLAN = Plan(J=2, L=3, max_order=2, M=9, N=8)
LANES = limits.lanes(PLAN.L)
GOOD = {"x": torch.zeros(2, 9, 8), **bank_of(PLAN, torch.float32)._asdict()}
GOOD |= {"program": PLAN.program}


def text(value: object) -> str:
    """The part of a test's name that an argument gives."""
    return value[:50] if isinstance(value, str) else ""


def holed(t: Tensor) -> Tensor:
    """t, not contiguous."""
    return torch.stack([t, t], -1)[..., 0]


BAD_SCATTERING = [
    ({"x": torch.zeros(8)}, r"the last dimensions of x must be \(9, 8\) .*; got shape \(8\)"),
    ({"x": torch.zeros(2, 9, 8, dtype=torch.int64)}, "x must be Float or Double; got Long"),
    ({"x": torch.zeros(2, 9, 8, dtype=torch.float16)}, "x must be Float or Double; got Half"),
    ({"x": torch.zeros(2, 9, 8) + 0j}, "x must be Float or Double; got ComplexFloat"),
    ({"x": torch.zeros(2, 9, 3)}, r"the last dimensions of x .*; got shape \(2, 9, 3\)"),
    ({"x": torch.zeros(0, 9, 3)}, r"the last dimensions of x .*; got shape \(0, 9, 3\)"),
    ({"x": torch.zeros(2, 9, 0)}, "the last dimensions of x must be"),
    ({"program": ""}, "statement '': a program must begin with the signal"),
    ({"program": Plan(2, 3, 2, 12, 12, pre_pad=True).program}, "the last dimensions of x must be"),
    ({"psi": GOOD["psi"].double()}, "psi must be Float; got Double"),
    ({"phi": GOOD["phi"].double()}, "phi must be Float; got Double"),
    ({"x": torch.zeros(9, 8).double()}, "psi must be Double; got Float"),
    ({"psi_support": GOOD["psi_support"].int()}, "psi_support must be Long; got Int"),
    ({"phi_support": GOOD["phi_support"].float()}, "phi_support must be Long; got Float"),
    *(({name: holed(GOOD[name])}, f"{name} must be contiguous") for name in Packed._fields),
    *(
        ({name: GOOD[name].to("meta")}, f"{name} must be on the device of x")
        for name in Packed._fields
    ),
    ({"psi_support": GOOD["psi_support"][1:]}, "psi_support must have 10 elements"),
    ({"phi": GOOD["phi"][1:]}, "phi must have .* elements"),
    ({"phi_support": GOOD["phi_support"][:-1]}, "phi_support must have .* elements"),
    ({"program": Plan(1, 3, 1, 9, 8).program}, "psi_support must have 5 elements"),
    ({"psi": GOOD["psi"][:-4]}, "psi_support has a box that reaches outside psi"),
    ({"psi": GOOD["psi"][:0]}, "psi_support has a box that reaches outside psi"),
    ({"phi_support": GOOD["phi_support"] + 99}, "phi_support has a row that reaches outside phi"),
]


@pytest.mark.parametrize(("changed", "told"), BAD_SCATTERING, ids=text)
def test_bad_argument_of_scattering(changed, told):
    OPERATORS.scattering(*GOOD.values())
    with pytest.raises(RuntimeError, match=f"scattering: {told}"):
        OPERATORS.scattering(*(GOOD | changed).values())


Z, PSI, U = torch.zeros(2, 4, 6, dtype=torch.complex64), torch.zeros(3, 4, 6), torch.zeros(4, 6)
BAD_STAGES = [
    ("filter_fold", (Z, PSI, 0), "k must divide M = 4 and N = 6; got 0"),
    ("filter_fold", (Z, PSI, -1), "k must divide"),
    ("filter_fold", (Z, PSI, 3), "k must divide"),
    ("filter_fold", (Z, PSI, 2**62), "k must divide"),
    ("filter_fold", (Z.real, PSI, 2), "x_hat must be ComplexFloat or ComplexDouble; got Float"),
    ("filter_fold", (Z, PSI.double(), 2), "psi must be Float; got Double"),
    ("filter_fold", (Z, PSI + 0j, 2), "psi must be Float; got ComplexFloat"),
    ("filter_fold", (Z, PSI[0], 2), r"x_hat must be \[..., M, N\] and psi \[L, M, N\]; got"),
    ("filter_fold", (Z, PSI[:, :2], 2), r"got shapes \(2, 4, 6\) and \(3, 2, 6\)"),
    ("filter_fold", (Z[0, 0], PSI, 2), r"got shapes \(6\) and \(3, 4, 6\)"),
    ("filter_fold", (Z, PSI.to("meta"), 2), "psi must be on the device of x_hat"),
    ("modulus", (U,), "z must be ComplexFloat or ComplexDouble; got Float"),
    ("modulus", (U.int(),), "z must be ComplexFloat or ComplexDouble; got Int"),
    ("lowpass", (U, U, U), r"u must be \[..., M, N\], a_m \[m, M\] and a_n \[n, N\]; got"),
    ("lowpass", (U[0], U.mT, U), "u must be"),
    ("lowpass", (U, PSI.mT, U), "u must be"),
    ("lowpass", (U, U.mT.double(), U), "a_m .*must be"),
    ("lowpass", (U, U.mT, U.double()), "a_n must be"),
    ("lowpass", (U.int(), U.mT.int(), U.int()), "u must be"),
    ("lowpass", (U, U.mT.to("meta"), U), "a_m must be on the device of u"),
]


@pytest.mark.parametrize(("name", "arguments", "told"), BAD_STAGES, ids=text)
def test_bad_argument_of_a_stage(name, arguments, told):
    with pytest.raises(RuntimeError, match=f"{name}: .*{told}"):
        getattr(OPERATORS, name)(*arguments)


PLAN_OF_ALL = PLANS[0]
BANK_OF_ALL = bank_of(PLAN_OF_ALL, torch.float32)
IMAGE, GRAD = torch.rand(4, 5), torch.rand(PLAN_OF_ALL.channels, *PLAN_OF_ALL.output)
CALLS = {
    "scattering": (IMAGE, *BANK_OF_ALL, PLAN_OF_ALL.program),
    "scattering_backward": (GRAD, IMAGE, *BANK_OF_ALL, PLAN_OF_ALL.program, True, True, True),
    "filter_fold": (Z, PSI, 2),
    "filter_fold_backward": (torch.ones(2, 3, 2, 3) + 0j, Z, PSI, 2, True, True),
    "modulus_backward": (U, U + 0j),
    "lowpass": (U, U.mT, U),
}


@pytest.mark.parametrize("name", CALLS)
def test_meta_tensors_among_others_are_refused(name):
    """None of them reaches a fake kernel, which would give memory that was never written."""
    arguments = CALLS[name]
    tensors = [i for i, value in enumerate(arguments) if isinstance(value, Tensor)]
    for count in range(1, len(tensors)):
        for chosen in itertools.combinations(tensors, count):
            given = [a.to("meta") if i in chosen else a for i, a in enumerate(arguments)]
            with pytest.raises(RuntimeError, match=f"{name}: .* must be on the device of"):
                getattr(OPERATORS, name)(*given)
    everywhere = [a.to("meta") if i in tensors else a for i, a in enumerate(arguments)]
    found = getattr(OPERATORS, name)(*everywhere)
    assert all(t.is_meta for t in (found if isinstance(found, tuple) else (found,)))


ABSURD = [0, 1, -1, 2**31, 2**32, 2**62, -(2**62), 2**63 - 1, -(2**63), 2**63 - 20, -(2**63) + 20]


def random_integer(rng, size: int) -> int:
    """Near [0, size], anything, or a number whose sums overflow."""
    kind = rng.random()
    if kind < 0.5:
        return rng.randint(-2, size + 2)
    return rng.choice(ABSURD) if kind < 0.8 else rng.getrandbits(64) - 2**63


def box_fits(box: list[int], sides: tuple[int, int], numbers: int) -> bool:
    first, head, tail, left, right = box
    rows, columns = sides
    if not (0 <= head <= tail <= rows and 0 <= left <= right <= columns):
        return False
    kept = (rows - tail + head) * (columns - right + left)
    return 0 <= first <= numbers - LANES * kept


def test_any_psi_support_is_refused_or_right(rng):
    """Random boxes: refused where one leaves its table, else what the reference makes of them."""
    bank, numbers = bank_of(PLAN, torch.float32), GOOD["psi"].numel()
    x = torch.rand(2, PLAN.M, PLAN.N)
    psi = torch.randn(bank.psi.shape) / math.prod(PLAN.padded)  # neither amplify nor lose digits
    taken = 0
    for _ in range(400):
        boxes = []
        for res, *_ in PLAN.tables():
            sides = PLAN.sides(res)
            (head, tail), (left, right) = (
                sorted(rng.randint(0, side) for _ in range(2)) for side in sides
            )
            kept = LANES * (sides[0] - tail + head) * (sides[1] - right + left)
            boxes.append([rng.randint(0, max(0, numbers - kept)), head, tail, left, right])
        if rng.random() < 0.7:
            for _ in range(rng.randint(1, 3)):
                rng.choice(boxes)[rng.randrange(5)] = random_integer(rng, PLAN.padded[0])
        tables = zip(boxes, PLAN.tables(), strict=True)
        changed = bank._replace(psi=psi, psi_support=torch.tensor(boxes))
        if not all(box_fits(box, PLAN.sides(res), numbers) for box, (res, *_) in tables):
            with pytest.raises(RuntimeError, match="scattering: psi_support has a box that"):
                ops.scattering(x, *changed, PLAN.program)
            continue
        taken += 1
        wide = changed._replace(psi=psi.double(), phi=bank.phi.double())
        expected = reference.scattering(x.double(), *wide, PLAN.program)
        ours = ops.scattering(x, *changed, PLAN.program)
        assert relative_error(ours, expected) <= TOLERANCE[torch.float32], boxes
    assert 50 < taken < 350


def test_any_phi_support_is_refused_or_right(rng):
    """Random bands, many of them round an edge: refused where one leaves its row, else what the
    reference makes of them, forwards and backwards."""
    bank = bank_of(PLAN, torch.float64)
    x = torch.rand(2, PLAN.M, PLAN.N, dtype=torch.float64)
    sides = [
        side
        for res in range(PLAN.J)
        for count, side in zip(PLAN.output, PLAN.sides(res), strict=True)
        for _ in range(count)
    ]
    taken = 0
    for _ in range(300):
        near, share = rng.choice([0, 0.5, 0.9, None]), rng.choice([0.3, 1])  # alike, or not
        lows = [rng.randint(-s, s) if near is None else int(near * s) - 2 for s in sides]
        bands = [
            [low, low + rng.randint(0, int(share * side))]
            for low, side in zip(lows, sides, strict=True)
        ]
        if rng.random() < 0.7:
            rng.choice(bands)[rng.randrange(2)] = random_integer(rng, sides[0])
        changed = bank._replace(phi_support=torch.tensor(bands))
        fits = (
            -side <= low <= side and 0 <= high - low <= side
            for (low, high), side in zip(bands, sides, strict=True)
        )
        if not all(fits):
            with pytest.raises(RuntimeError, match="scattering: phi_support has a row that"):
                ops.scattering(x, *changed, PLAN.program)
            continue
        taken += 1
        # rows that are zero outside their bands, as they must be
        random = changed._replace(phi=torch.rand_like(bank.phi))
        inside = [matrix.flatten() for pair in unpack(random, PLAN)[1] for matrix in pair]
        given = (x, *changed._replace(phi=torch.cat(inside)), PLAN.program)
        ours, theirs = ops.scattering(*given), reference.scattering(*given)
        assert (ours - theirs).norm() <= TOLERANCE[torch.float64] * theirs.norm(), bands
        given = (torch.rand_like(ours), *given, True, True, True)
        gradients = OPERATORS.scattering_backward(*given)
        for ours, theirs in zip(gradients, reference.scattering_backward(*given), strict=True):
            error = (ours - theirs).norm()
            assert error <= 10 * TOLERANCE[torch.float64] * theirs.norm(), bands
    assert 50 < taken < 250
