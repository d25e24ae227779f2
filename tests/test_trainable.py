"""Scattering2D with filters that are learned: ``trainable="filters"`` and ``"wavelets"``."""

from __future__ import annotations

import copy
import io
import pickle
import random

import numpy as np
import pytest
import torch
from oracle import error_by_order, relative_error
from torch import Tensor, nn
from torch.func import functional_call
from torch.nn.utils import prune

from scatcuda import Scattering1D, Scattering2D, banks
from scatcuda.banks import morlet
from scatcuda.banks.learned import LearnedFilters, MorletWavelets

KINDS = ["filters", "wavelets"]
GOOD = dict(J=2, shape=(16, 20), L=4)
SINGLE, DOUBLE = 1e-6, 1e-12  # relative errors


def moved(module: Scattering2D, by: float = 0.1) -> Scattering2D:
    """The module with filters that are no longer those it started with."""
    with torch.no_grad():
        for value in module.parameters():
            value.add_(by * value.abs().mean().clamp(min=by) * torch.randn_like(value))
    return module


def learning(kind: str, dtype: torch.dtype = torch.float32, **changed) -> Scattering2D:
    return moved(Scattering2D(**(GOOD | changed), trainable=kind).to(dtype))


def fixed_copy(module: Scattering2D) -> Scattering2D:
    """A module that knows nothing of learning, with the filters as they are now."""
    names = "J shape L max_order pre_pad backend".split()
    arguments = {name: getattr(module, name) for name in names}
    fixed = Scattering2D(**arguments, filters=module.bank)
    return fixed.double() if next(module.parameters()).dtype == torch.float64 else fixed


def image(module: Scattering2D, *lead: int) -> Tensor:
    dtype = next(module.parameters()).dtype
    return torch.rand(*lead, *module.input_shape, dtype=torch.float64).to(dtype)


# --- the filters ------------------------------------------------------------------------------

STARTS = [
    dict(J=2, shape=(32, 32)),
    dict(J=3, shape=(20, 17), L=5, max_order=1),
    dict(J=3, shape=(28, 37), L=4, filters="tight"),
    dict(J=1, shape=(3, 6), L=2, pre_pad=True),
    dict(J=2, shape=(9, 8), L=3, max_order=0),
    dict(J=3, shape=(8, 8), L=16),  # so wide that the five periods cut them
    dict(J=5, shape=(33, 32), L=2),
]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("arguments", STARTS, ids=str)
def test_starts_as_the_fixed_module(arguments, kind):
    fixed, module = Scattering2D(**arguments), Scattering2D(**arguments, trainable=kind)
    x = torch.rand(2, *fixed.input_shape)
    S = module(x)
    assert S.dtype == torch.float32
    # the wavelets have no part in order 0
    assert S.requires_grad == (module.max_order > 0 or kind == "filters")
    order = module.meta()["order"]
    assert error_by_order(order, S, fixed(x)) <= SINGLE
    with torch.no_grad():
        assert error_by_order(order, module(x), fixed(x)) <= SINGLE
    module, fixed, x = module.double(), fixed.double(), x.double()
    module.learned.reset_parameters()  # what float32 rounded
    assert relative_error(module(x), fixed(x)) <= DOUBLE
    torch.testing.assert_close(module.bank.psi, fixed.bank.psi, rtol=0, atol=1e-14)
    torch.testing.assert_close(module.bank.phi, fixed.bank.phi, rtol=0, atol=1e-14)


def test_starts_with_a_bank_of_ones_own():
    padded = banks.padded_shape(GOOD["shape"], GOOD["J"])
    bank = banks.FilterBank(torch.randn(2, 4, *padded), 3 * banks.morlet_bank(padded, 2, 4).phi)
    module = Scattering2D(**GOOD, filters=bank, trainable="filters")
    fixed, x = Scattering2D(**GOOD, filters=bank), torch.rand(2, 16, 20)
    assert relative_error(module(x), fixed(x)) <= SINGLE
    assert "filters='custom'" in repr(module)


@pytest.mark.parametrize(("shape", "J", "L"), [((32, 17), 3, 8), ((8, 9), 3, 16), ((5, 6), 1, 1)])
def test_the_numbers_mean_what_they_say(shape, J, L):
    """Against the Morlet wavelets of :mod:`scatcuda.banks`, anywhere near the start."""
    learned = learning("wavelets", torch.float64, J=J, shape=shape, L=L).learned
    numbers = torch.stack([learned.sigma, learned.theta, learned.xi, learned.slant], -1)
    for wavelets, rows in zip(learned.psi_now(), numbers, strict=True):
        for psi, arguments in zip(wavelets, rows.tolist(), strict=True):
            expected = morlet._morlet(banks.padded_shape(shape, J), *arguments)
            np.testing.assert_allclose(psi.detach().numpy(), expected, rtol=0, atol=1e-13)
            assert psi[0, 0] == 0


@pytest.mark.parametrize("backend", ["native", "reference"])
@pytest.mark.parametrize("bank", ["morlet", "tight"])
@pytest.mark.parametrize("kind", KINDS)
def test_computes_with_the_filters_it_shows(kind, bank, backend):
    """Whether it learns, evaluates or is frozen."""
    for arguments in (dict(J=3), dict(max_order=1), dict(max_order=0), dict(pre_pad=True)):
        module = learning(kind, torch.float64, filters=bank, backend=backend, **arguments)
        x = image(module, 2)
        fixed = fixed_copy(module)
        S = module(x)
        assert relative_error(S, fixed(x)) <= DOUBLE
        start = Scattering2D(**(GOOD | arguments), filters=bank).double()
        assert relative_error(S, start(x)) > 1e-4 or not S.requires_grad
        with torch.no_grad():
            assert relative_error(module(x), S) <= DOUBLE
        assert relative_error(module.freeze()(x), S) <= DOUBLE
        for mine, theirs in zip([module.phi, *module.psi], [fixed.phi, *fixed.psi], strict=True):
            assert (mine["j"], mine.get("theta")) == (theirs["j"], theirs.get("theta"))
            for level, expected in zip(mine["levels"], theirs["levels"], strict=True):
                np.testing.assert_array_equal(level, expected)


def test_low_pass_stays_separable_and_even():
    phi = learning("filters", torch.float64).bank.phi
    banks.separable_factors(phi, tol=1e-14)
    torch.testing.assert_close(phi, phi.flip(0, 1).roll((1, 1), (0, 1)), rtol=0, atol=0)


def test_tight_wavelets_stay_tight():
    module = learning("wavelets", torch.float64, filters="tight", L=8)
    assert relative_error(module.bank.psi, Scattering2D(**GOOD | dict(L=8)).bank.psi) > 0.01
    energy = banks.littlewood_paley(module.bank)
    torch.testing.assert_close(energy, torch.ones_like(energy), rtol=0, atol=1e-12)
    with torch.no_grad():
        module.learned.d_xi.fill_(-9)  # hardly anything is left of any wavelet
    plain = Scattering2D(**GOOD | dict(L=8), trainable="wavelets").double()
    plain.load_state_dict(module.state_dict())
    assert (module.bank.psi.abs() <= 8.01 * plain.bank.psi.abs() + 1e-12).all()
    module(image(module, 1)).sum().backward()
    assert all(value.grad.isfinite().all() for value in module.parameters())


# --- gradients --------------------------------------------------------------------------------


def random_arguments(rng: random.Random) -> dict:
    J = rng.choice([1, 2])
    return dict(
        J=J,
        shape=(rng.randint(8, 12) // (3 - J), rng.randint(8, 12) // (3 - J)),
        L=rng.randint(2, 4) if J == 1 else rng.randint(1, 2),
        max_order=rng.choice([0, 1, 2, 2, 2]),
        pre_pad=rng.random() < 0.2,
    )


@pytest.mark.parametrize("number", range(20))
def test_gradcheck(number, rng):
    kind, arguments = KINDS[number % 2], random_arguments(rng)
    if arguments["L"] > 1:
        arguments["filters"] = rng.choice(["morlet", "tight"])
    module = learning(kind, torch.float64, **arguments)
    x = image(module, 1).requires_grad_()
    # the wavelets have no part in order 0
    used = {n: v for n, v in module.named_parameters() if module.max_order > 0 or "phi" in n}

    def scattering(x: Tensor, *values: Tensor) -> Tensor:
        return functional_call(module, dict(zip(used, values, strict=True)), x)

    values = [value.detach().clone().requires_grad_() for value in used.values()]
    # every number of the wavelets, random directions of the many free values
    assert torch.autograd.gradcheck(scattering, (x, *values), fast_mode=kind == "filters")


def test_second_derivatives():
    module = learning("wavelets", torch.float64, J=1, shape=(4, 3), L=2)
    x = image(module).requires_grad_()

    def scattering(x: Tensor, *values: Tensor) -> Tensor:
        names = dict(module.named_parameters())
        return functional_call(module, dict(zip(names, values, strict=True)), x)

    values = [value.detach().clone().requires_grad_() for value in module.parameters()]
    assert torch.autograd.gradgradcheck(scattering, (x, *values), fast_mode=True)


@pytest.mark.parametrize("name", ["d_xi", "d_theta", "d_sigma", "d_slant"])
def test_gradient_of_each_number_of_a_wavelet(name):
    """Against differences of fixed modules with NumPy's wavelets: nothing is shared."""
    module = learning("wavelets", torch.float64, L=3)
    x, plan = image(module, 2), module._plan
    weights = torch.randn(module(x).shape, dtype=torch.float64)
    module(x).backward(weights)
    learned, phi = module.learned, module.bank.phi

    def value(j: int, theta: int, step: float) -> float:
        with torch.no_grad():
            parameter = getattr(learned, name)
            before = parameter.clone()
            parameter[j, theta] += step
            numbers = torch.stack([learned.sigma, learned.theta, learned.xi, learned.slant], -1)
            parameter.copy_(before)
        psi = [[morlet._morlet(plan.padded, *row) for row in scale] for scale in numbers.tolist()]
        fixed = Scattering2D(**GOOD | dict(L=3), filters=banks.FilterBank(np.array(psi), phi))
        return float((fixed.double()(x) * weights).sum())

    for j, theta in ((0, 1), (1, 0), (1, 2)):
        difference = (value(j, theta, 1e-5) - value(j, theta, -1e-5)) / 2e-5
        assert getattr(learned, name).grad[j, theta].item() == pytest.approx(difference, rel=1e-6)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("arguments", [dict(J=2, shape=(32, 32)), dict(J=3, shape=(224, 224))])
def test_gradient_in_float32(arguments, kind):
    module = moved(Scattering2D(**arguments, max_order=2, trainable=kind), 0.05)
    x = torch.rand(1, *module.shape)
    S = module(x)
    weights = torch.rand(S.shape)  # with both signs what a whole image adds up would cancel
    gradients = torch.autograd.grad(S, module.parameters(), weights)
    module.double()
    expected = torch.autograd.grad(module(x.double()), module.parameters(), weights.double())
    for ours, exact in zip(gradients, expected, strict=True):
        assert relative_error(ours, exact) <= 2e-6


@pytest.mark.parametrize("kind", KINDS)
def test_functional_transforms(kind):
    module = learning(kind, torch.float64, J=1, shape=(5, 6), L=2)
    x = image(module, 3)
    values = {name: value.detach() for name, value in module.named_parameters()}

    def loss(values: dict[str, Tensor], x: Tensor) -> Tensor:
        return functional_call(module, values, x).square().sum()

    each = torch.func.vmap(torch.func.grad(loss), (None, 0))(values, x)
    module(x).square().sum().backward()
    for name, value in module.named_parameters():
        assert relative_error(each[name].sum(0), value.grad) <= DOUBLE
    step = {name: 1e-6 * torch.randn_like(value) for name, value in values.items()}
    _, derivative = torch.func.jvp(lambda values: loss(values, x), (values,), (step,))
    expected = sum((step[name] * value.grad).sum() for name, value in module.named_parameters())
    assert relative_error(derivative, expected) <= 1e-9


# --- learning ---------------------------------------------------------------------------------


def test_frequency_and_orientation_are_found_again():
    """Coefficients of wavelets that were turned and sped up tell by how much."""
    arguments = dict(J=1, shape=(12, 12), L=2, max_order=1, trainable="wavelets")
    wanted, module = Scattering2D(**arguments), Scattering2D(**arguments)
    with torch.no_grad():
        wanted.learned.d_theta += torch.tensor([0.2, -0.15])
        wanted.learned.d_xi += torch.tensor([-0.15, 0.1])
        x = torch.randn(16, 12, 12)
        target = wanted(x)
    optimiser = torch.optim.Adam(
        [
            {"params": [module.learned.d_theta, module.learned.d_xi], "lr": 0.05},
            {"params": [module.learned.d_sigma, module.learned.d_slant], "lr": 0.01},
        ]
    )
    for _ in range(100):
        optimiser.zero_grad()
        (module(x) - target).square().mean().backward()
        optimiser.step()
    for name in ("d_theta", "d_xi"):
        found, sought = getattr(module.learned, name), getattr(wanted.learned, name)
        torch.testing.assert_close(found, sought, rtol=0, atol=0.03)


@pytest.mark.parametrize("kind", KINDS)
def test_training_in_a_model(kind):
    stripes = torch.arange(16) // 2 % 2
    x = stripes.expand(40, 16, 16).float()
    x = torch.cat([x, x.mT]) + 0.5 * torch.randn(80, 16, 16)
    y = torch.arange(80) // 40
    scattering = Scattering2D(2, (16, 16), 4, max_order=1, trainable=kind)
    model = nn.Sequential(scattering, nn.Flatten(), nn.Linear(9 * 16, 2))
    nn.init.zeros_(model[2].weight)
    optimiser = torch.optim.Adam(model.parameters(), 0.01)
    before = scattering.bank
    losses = []
    for _ in range(15):
        optimiser.zero_grad()
        loss = nn.functional.cross_entropy(model(x), y)
        loss.backward()
        assert all(value.grad.isfinite().all() for value in model.parameters())
        optimiser.step()
        losses.append(loss.item())
    assert losses[-1] < 0.3 * losses[0]
    assert relative_error(scattering.bank.psi, before.psi) > 1e-3


@pytest.mark.parametrize("kind", KINDS)
def test_compiled_training_is_one_graph(kind):
    if not torch._dynamo.is_dynamo_supported():
        pytest.skip("torch.compile does not work on this Python")
    module = learning(kind, J=3, filters="tight")
    model = nn.Sequential(module, nn.Flatten(), nn.Linear(int(np.prod(module.output_shape)), 2))
    compiled = torch.compile(model, fullgraph=True, backend="aot_eager")
    x = image(module, 3)

    def step(model: nn.Module) -> list[Tensor]:
        S = model(x)
        return [S, *torch.autograd.grad(S.square().sum(), list(model.parameters()))]

    for _ in range(2):
        for ours, expected in zip(step(compiled), step(model), strict=True):
            assert relative_error(ours, expected) <= SINGLE
        moved(module)  # what was compiled does not remember the filters
    module.freeze()
    with torch.no_grad():
        assert torch.equal(compiled(x), model(x))


# --- frozen, evaluated ------------------------------------------------------------------------


@pytest.mark.parametrize("kind", KINDS)
def test_freeze(kind):
    module = learning(kind, J=3)
    x = image(module, 2).requires_grad_()
    learned, S = module.learned, module(x)
    entries = len(learned.packed().psi)
    assert module.freeze() is module
    assert not any(value.requires_grad for value in module.parameters())
    assert list(module.state_dict()) == [f"learned.{name}" for name in learned._names]
    assert kind == "filters" or len(learned.packed().psi) < entries  # what is negligible is gone
    assert relative_error(module(x), S) <= SINGLE
    (gradient,) = torch.autograd.grad(module(x).sum(), x)
    assert relative_error(gradient, torch.autograd.grad(S.sum(), x)[0]) <= SINGLE
    frozen = module(x)
    state = copy.deepcopy(module.state_dict())
    moved(module)
    assert torch.equal(module(x), frozen)
    assert relative_error(module.freeze()(x), frozen) > 1e-4
    module.load_state_dict(state)
    assert torch.equal(module(x), frozen)
    for other in (copy.deepcopy(module), pickle.loads(pickle.dumps(module))):
        assert torch.equal(other(x), frozen)
    expected = fixed_copy(module).double()(x.double())
    assert relative_error(module.double()(x.double()), expected) <= DOUBLE
    assert torch.equal(module.float()(x), frozen)
    module.unfreeze()
    assert all(value.requires_grad for value in module.parameters())
    assert len(learned.packed().psi) == entries and module(x).requires_grad


def test_nothing_to_freeze():
    module = Scattering2D(**GOOD)
    assert module.freeze() is module and module.unfreeze() is module and module.learned is None


@pytest.mark.parametrize("kind", KINDS)
def test_evaluation_packs_once_and_never_too_late(kind):
    module = learning(kind)
    x = image(module, 2)
    with torch.no_grad():
        packed = module.learned.packed()
        assert module.learned.packed() is packed
        for change in (
            lambda value: value.mul_(1.1),
            lambda value: value.data.mul_(1.1),  # which PyTorch does not count
            lambda value: setattr(value, "data", value.data * 1.1),
        ):
            before = module(x)
            with torch.no_grad():
                change(next(module.parameters()))
            assert module.learned.packed() is not packed
            packed = module.learned.packed()
            assert not torch.equal(module(x), before)
            assert relative_error(module(x), fixed_copy(module)(x)) <= SINGLE
    with torch.inference_mode():
        module.learned._recent = None
        S = module(x)
    module.requires_grad_(False)
    x.requires_grad_()
    assert torch.equal(module(x), S)
    module(x).sum().backward()  # of what was packed in inference mode
    assert x.grad.norm() > 0


def test_filters_that_became_not_a_number():
    module = learning("wavelets")
    with torch.no_grad():
        module.learned.d_sigma[1, 2] = float("nan")
    assert module(image(module)).isnan().any()
    for use in (lambda: module(image(module)), module.freeze):
        with torch.no_grad(), pytest.raises(ValueError, match=r"Scattering2D: filters .* NaN"):
            use()
    assert not module.learned._frozen and module.learned.d_xi.requires_grad


# --- the life of a module ---------------------------------------------------------------------


def by_save(module: nn.Module) -> nn.Module:
    file = io.BytesIO()
    torch.save(module, file)
    return torch.load(io.BytesIO(file.getvalue()), weights_only=False)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("duplicate", [copy.deepcopy, by_save], ids=["deepcopy", "save"])
def test_copies_learn_by_themselves(duplicate, kind):
    module = learning(kind)
    x = image(module, 2)
    with torch.no_grad():
        S = module(x)
        other = duplicate(module)
        assert torch.equal(other(x), S) and repr(other) == repr(module)
        moved(other)
        assert torch.equal(module(x), S) and not torch.equal(other(x), S)
    other(x).sum().backward()
    assert all(value.grad is None for value in module.parameters())


@pytest.mark.parametrize("kind", KINDS)
def test_checkpoints(kind):
    module = learning(kind)
    state = module.state_dict()
    assert set(state) == {f"learned.{name}" for name in module.learned._names}
    file = io.BytesIO()
    torch.save(state, file)
    state = torch.load(io.BytesIO(file.getvalue()), weights_only=True)
    x = image(module, 2)
    other = Scattering2D(**GOOD, trainable=kind)
    with torch.no_grad():
        other(x)  # a bank is kept
        assert str(other.load_state_dict(state)) == "<All keys matched successfully>"
        assert torch.equal(other(x), module(x))
        double = Scattering2D(**GOOD, trainable=kind).double()
        double.load_state_dict(state)
        assert relative_error(double(x.double()), module(x)) <= SINGLE
    single = Scattering2D(**GOOD, trainable=kind)
    single.load_state_dict(double.state_dict(), assign=True)
    assert torch.equal(single(x.double()), double(x.double()))
    with pytest.raises(RuntimeError, match="Unexpected key"):
        Scattering2D(**GOOD).load_state_dict(state)
    with pytest.raises(RuntimeError, match="Missing key"):
        other.load_state_dict(Scattering2D(**GOOD).state_dict())
    kymatio = {"tensor0": torch.zeros(3)}
    other.load_state_dict(state | kymatio)


def test_wavelets_go_to_images_of_another_size():
    small, large = learning("wavelets"), Scattering2D(2, (40, 33), 4, trainable="wavelets")
    large.load_state_dict(small.state_dict())
    for name in ("xi", "theta", "sigma", "slant"):
        assert torch.equal(getattr(large.learned, name), getattr(small.learned, name))
    x = image(large)
    assert relative_error(large(x), fixed_copy(large)(x)) <= SINGLE


@pytest.mark.parametrize("kind", KINDS)
def test_dtype_of_the_module(kind):
    module = learning(kind)
    x = image(module, 2)
    S = module(x).detach()
    for dtype, error in ((torch.float16, 1e-2), (torch.bfloat16, 1e-1)):
        rounded = copy.deepcopy(module).to(dtype)
        assert {value.dtype for value in rounded.parameters()} == {dtype}
        for grad in (True, False):  # computed in float32, from the rounded parameters
            with torch.set_grad_enabled(grad):
                assert rounded(x).dtype == torch.float32 and relative_error(rounded(x), S) <= error
        rounded(x).sum().backward()
        assert all(value.grad.dtype == dtype for value in rounded.parameters())
        assert relative_error(rounded.float()(x), S) <= error
    with pytest.raises(TypeError, match=r"call \.double"):
        module(x.double())
    double = copy.deepcopy(module).double()
    assert double(x).dtype == torch.float64
    assert relative_error(S, double(x)) <= SINGLE
    assert torch.equal(double.float()(x), S)  # nothing was lost
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(module(x), S)


@pytest.mark.parametrize("kind", KINDS)
def test_device_without_data_and_back(kind):
    expected = Scattering2D(**GOOD, trainable=kind)
    x = image(expected, 2)
    with torch.device("meta"):
        module = Scattering2D(**GOOD, trainable=kind)
    assert module(x.to("meta")).shape == expected(x).shape
    module.to_empty(device="cpu")
    module.learned.reset_parameters()
    assert torch.equal(module(x), expected(x))
    frozen = Scattering2D(**GOOD, trainable=kind).freeze().to("meta")
    assert frozen(x.to("meta")).shape == expected(x).shape
    frozen.to_empty(device="cpu").load_state_dict(expected.state_dict())
    with torch.no_grad():
        assert torch.equal(frozen(x), expected(x))


@pytest.mark.parametrize("kind", KINDS)
def test_as_a_module(kind):
    module = learning(kind, out_type="list", max_order=1)
    assert module.trainable == kind and f"trainable={kind!r}" in repr(module)
    assert isinstance(module.learned, LearnedFilters)
    assert isinstance(module.learned, MorletWavelets) == (kind == "wavelets")
    assert len(list(module.parameters())) == len(module.learned._names)
    x = image(module, 2)
    S = torch.stack([path["coef"] for path in module(x)], -3)
    module.out_type = "array"
    assert torch.equal(S, module(x))
    psi = module.bank.psi
    moved(module)
    assert not torch.equal(module.bank.psi, psi)


BAD = [
    (
        dict(trainable="all"),
        ValueError,
        "trainable must be one of 'filters', 'wavelets'; got 'all'",
    ),
    (dict(trainable=True), ValueError, "trainable must be one of .*got True"),
    (dict(trainable="wavelets", filters="own"), ValueError, "filters must be 'morlet' or 'tight'"),
    (
        dict(trainable="filters", filters="odd"),
        ValueError,
        "filters cannot be used: .*phi_1d .*even",
    ),
]


@pytest.mark.parametrize(("changed", "error", "message"), BAD, ids=str)
def test_bad_argument(changed, error, message):
    bank = banks.morlet_bank(banks.padded_shape(GOOD["shape"], 2), 2, 4)
    odd = banks.FilterBank(bank.psi, bank.phi.roll(1, 0))
    own = {"own": bank, "odd": odd}
    if "filters" in changed:
        changed = changed | {"filters": own[changed["filters"]]}
    with pytest.raises(error, match=f"Scattering2D: {message}"):
        Scattering2D(**GOOD, **changed)


@pytest.mark.parametrize("kind", KINDS)
def test_what_is_learned_cannot_be_changed_later(kind):
    with pytest.raises(AttributeError):
        Scattering2D(**GOOD).trainable = kind


@pytest.mark.parametrize("of", [lambda **how: Scattering2D(2, (16, 16), 4, **how),
                                lambda **how: Scattering1D(3, 64, **how)])  # fmt: skip
def test_parameters_that_hooks_make(of):
    """Pruning and the older weight_norm make a parameter anew before each call of its module."""
    module = of(trainable="filters")
    name = next(n for n, _ in module.learned.named_parameters() if n.startswith("psi"))
    x = torch.randn(*module.input_shape)
    prune.random_unstructured(module.learned, name, 0.5)
    for _ in range(2):
        module(x).sum().backward()
    original = getattr(module.learned, f"{name}_orig")
    assert original.grad is not None
    with torch.no_grad():
        before = module(x)
        original.mul_(2)
        assert not torch.equal(module(x), before)
    prune.remove(module.learned, name)
    module(x).sum().backward()
