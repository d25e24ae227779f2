"""Filters of signals that are learned: the numbers of fixed ones at the start, right gradients, and
the life of their parameters."""

from __future__ import annotations

import copy
import pickle
import warnings

import pytest
import torch
from oracle import relative_error
from torch import Tensor
from torch._subclasses import FakeTensorMode

from scatcuda import Scattering1D
from scatcuda.banks.learned_signals import morlet
from scatcuda.banks.signals import dense, morlet_band
from scatcuda.learn import hybrid
from scatcuda.program.signals import morlets

pytestmark = pytest.mark.filterwarnings("ignore:Scattering1D. signals of .* are too short")
KINDS = ["wavelets", "filters"]
CASES = [
    dict(J=5, Q=4),
    dict(J=5, Q=4, aliases="sum", stride=8),
    dict(J=4, Q=(4, 2), T=20, padding="zeros"),
    dict(J=5, Q=3, T="global", aliases="sum"),
    dict(J=4, Q=2, T=0, out_type="dict"),
    dict(J=4, Q=(2, 1, 1), max_order=3, criterion="frequency"),
    dict(J=4, Q=2, max_order=1, oversampling=1),
    dict(J=4, Q=3, paths=[(0,), (3,), (0, 4)]),
]


def values(S) -> Tensor:
    parts = S.values() if isinstance(S, dict) else [S]
    return torch.cat([part.flatten() for part in parts])


@pytest.mark.parametrize("trainable", KINDS)
@pytest.mark.parametrize("options", CASES, ids=str)
def test_at_the_start_they_are_the_fixed_ones(options, trainable):
    x = torch.randn(2, 300, dtype=torch.float64)
    fixed = Scattering1D(shape=300, **options).double()
    learned = Scattering1D(shape=300, trainable=trainable, **options)
    assert learned.learned is not None and learned.trainable == trainable
    expected = values(fixed(x))
    bound = 1e-13 if trainable == "wavelets" else 1e-6  # whose values are float32
    assert relative_error(values(learned.double()(x)).detach(), expected) <= bound
    with torch.no_grad():
        assert relative_error(values(learned(x)), expected) <= bound
    assert relative_error(values(learned.float()(x.float())).detach().double(), expected) <= 1e-6
    learned.freeze()
    assert not any(p.requires_grad for p in learned.parameters())
    assert relative_error(values(learned(x.float())).double(), expected) <= 1e-6
    for own, filter in zip(learned.psi1_f, fixed.psi1_f, strict=True):
        torch.testing.assert_close(own["levels"][0], filter["levels"][0], atol=1e-6, rtol=0)
    assert learned.meta()["key"] == fixed.meta()["key"]


def test_wavelets_are_kymatios():
    for J, Q in ((4, 1), (6, 8), (3, 2)):
        bank = morlets(J, Q)
        xi, sigma = (torch.tensor([w[i] for w in bank], dtype=torch.float64) for i in (0, 1))
        expected = torch.stack([torch.from_numpy(dense(morlet_band(256, w), 256)) for w in bank])
        torch.testing.assert_close(morlet(256, xi, sigma, 5), expected, rtol=0, atol=1e-12)


@pytest.mark.parametrize("backend", ["native", "reference"])
@pytest.mark.parametrize("trainable", KINDS)
@pytest.mark.parametrize("options", [dict(T=6), dict(T="global"), dict(aliases="sum", stride=2)])
def test_gradients(options, trainable, backend):
    module = Scattering1D(3, 32, 2, trainable=trainable, backend=backend, **options).double()
    x = torch.randn(2, 32, dtype=torch.float64, requires_grad=True)
    names = [name for name, _ in module.named_parameters()]
    moved = [
        (p.detach() + 0.02 * torch.randn_like(p)).requires_grad_() for p in module.parameters()
    ]

    def f(x: Tensor, *parameters: Tensor) -> Tensor:
        given = dict(zip(names, parameters, strict=True))
        return torch.func.functional_call(module, given, x)

    assert torch.autograd.gradcheck(f, (x, *moved), fast_mode=True)


@pytest.mark.parametrize("trainable", KINDS)
def test_the_life_of_a_module(trainable):
    x = torch.randn(2, 128)
    module = Scattering1D(4, 128, 3, trainable=trainable)
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.add_(0.05 * torch.randn_like(parameter) * parameter.abs().clamp(min=0.1))
    S = module(x).detach()
    assert relative_error(S.double(), Scattering1D(4, 128, 3)(x).double()) > 1e-3
    for again in (copy.deepcopy(module), pickle.loads(pickle.dumps(module))):
        assert torch.equal(again(x), module(x))
    other = Scattering1D(4, 128, 3, trainable=trainable)
    other.load_state_dict(module.state_dict())
    assert torch.equal(other(x), module(x))
    with torch.no_grad():
        assert relative_error(module(x).double(), S.double()) <= 1e-6
        next(module.parameters()).add_(0.1)  # is seen
        assert relative_error(module(x).double(), S.double()) > 1e-4
    other.freeze()
    assert relative_error(other(x).double(), S.double()) <= 1e-6
    frozen = copy.deepcopy(other.state_dict())
    other.unfreeze()
    assert all(p.requires_grad for p in other.parameters())
    assert all(torch.equal(value, frozen[name]) for name, value in other.state_dict().items())
    assert f"trainable={trainable!r}" in repr(other)
    for name, value in (("max_order", 1), ("oversampling", 1), ("average", False)):
        with pytest.raises(AttributeError, match=f"{name} is fixed when filters are learned"):
            setattr(other, name, value)


def test_other_lengths_and_streams():
    module = Scattering1D(4, 512, 3, trainable="wavelets")
    with torch.no_grad():
        module.learned.d_q_1.fill_(0.2)
    longer = module.of_length(2000)
    assert torch.equal(longer.learned.d_q_1, module.learned.d_q_1)
    x = torch.randn(2000)
    with torch.no_grad():
        whole = longer(x)
        S = torch.cat([*module.stream().over(x.split(300))], -1)
    inner = slice(20, -20)
    assert relative_error(S[:, inner].double(), whole[:, inner].double()) <= 1e-5
    with pytest.raises(ValueError, match="value by value have one length"):
        Scattering1D(4, 512, 3, trainable="filters").of_length(600)


def test_a_plan_file_has_the_filters_as_they_are(tmp_path):
    module = Scattering1D(3, 128, 2, trainable="wavelets")
    with torch.no_grad():
        before = module.save_plan(tmp_path / "before")
        module.learned.d_xi_1.fill_(0.1)
        after = module.save_plan(tmp_path / "after")
    assert before and after
    assert (tmp_path / "before").read_bytes() != (tmp_path / "after").read_bytes()


def test_a_quality_factor_is_found_again():
    """What a bank of other quality factors makes of noise tells them."""
    torch.manual_seed(0)
    x = torch.randn(16, 256)
    target = Scattering1D(3, 256, 2, max_order=1, trainable="wavelets")
    with torch.no_grad():
        target.learned.d_q_1.copy_(0.3 * torch.linspace(-1, 1, len(target.learned.d_q_1)))
        wanted = target(x)
    module = Scattering1D(3, 256, 2, max_order=1, trainable="wavelets")
    optimizer = torch.optim.Adam(module.parameters(), 0.02)
    for _ in range(150):
        optimizer.zero_grad()
        (module(x) - wanted).square().mean().backward()
        optimizer.step()
    found, expected = module.learned.q[0].detach(), target.learned.q[0].detach()
    assert float((found / expected - 1).abs().max()) < 0.02


def test_one_graph():
    if not torch._dynamo.is_dynamo_supported():
        pytest.skip("torch.compile does not work on this Python")
    x = torch.randn(2, 128)
    for trainable in KINDS:
        module = Scattering1D(3, 128, 2, trainable=trainable)
        compiled = torch.compile(module, fullgraph=True, backend="aot_eager")
        found, expected = compiled(x), module(x)
        assert relative_error(found.detach().double(), expected.detach().double()) <= 1e-6
        grads = [torch.autograd.grad(S.square().sum(), [*module.parameters()]) for S in
                 (found, expected)]  # fmt: skip
        for a, b in zip(*grads, strict=True):
            assert relative_error(a.double(), b.double()) <= 1e-4


def test_in_a_network():
    model = hybrid(2, (1, 128), J=3, Q=2, head="mlp", trainable="wavelets", width=8)
    loss = model(torch.randn(4, 1, 128)).square().sum()
    loss.backward()
    learned = model.scattering.learned
    assert all(p.grad is not None and bool(p.grad.isfinite().all()) for p in learned.parameters())


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (dict(trainable="all"), "trainable must be one of 'filters', 'wavelets'; got 'all'"),
        (dict(trainable="wavelets", max_order=0), "max_order must be at least 1 for what is tr"),
    ],
    ids=str,
)
def test_what_is_refused(options, words):
    with warnings.catch_warnings(), pytest.raises(ValueError, match=words):
        Scattering1D(3, 64, **options)


@pytest.mark.parametrize("kind", KINDS)
def test_order_0_alone(kind):
    x = torch.randn(64)
    module, fixed = (Scattering1D(3, 64, trainable=t, paths=[()]) for t in (kind, None))
    assert (module(x) - fixed(x)).abs().max() < 1e-6
    module = Scattering1D(3, 64, trainable=kind, paths=[()], T=0, out_type="list")
    assert torch.equal(module(x)[0]["coef"], x)


@pytest.mark.parametrize("kind", KINDS)
def test_other_devices_and_modes(kind):
    x = torch.randn(64)
    module = Scattering1D(3, 64, trainable=kind)
    wanted = module(x)
    assert module.to("meta")(x.to("meta")).shape == wanted.shape
    module.to_empty(device="cpu").learned.reset_parameters()
    assert torch.equal(module(x), wanted)
    with torch.device("meta"):
        there = Scattering1D(3, 64, trainable=kind)
    assert there(x.to("meta")).is_meta
    with FakeTensorMode() as mode:
        assert Scattering1D(3, 64, trainable=kind)(torch.empty(64)).fake_mode is mode
    with torch.inference_mode():
        module = Scattering1D(3, 64, trainable=kind)
    module(x.requires_grad_()).sum().backward()
    assert all(p.grad is not None for p in module.parameters())
    assert torch.equal(torch.jit.trace(module, x)(x), module(x))
    assert not hasattr(module.learned, "bank")


@pytest.mark.parametrize("kind", KINDS)
def test_gradients_that_nobody_wanted_stay_off(kind):
    module = Scattering1D(3, 64, trainable=kind)
    first = next(module.parameters()).requires_grad_(False)
    module.freeze().freeze().unfreeze()
    assert [p.requires_grad for p in module.parameters()][:2] == [False, True]
    first.requires_grad_()
    module.unfreeze()
    assert first.requires_grad
