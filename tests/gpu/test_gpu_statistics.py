"""Statistics of fields on a GPU: against the reference in float64, with gradients."""

import functools

import pytest
import torch
from devices import ENGINES, check_transform

from scatcuda import Scattering2D, ScatteringCovariance, WaveletPhaseHarmonics
from scatcuda.synthesis import synthesise

pytestmark = pytest.mark.parametrize("engine", ENGINES, indirect=True)

CASES = [
    dict(shape=(64, 64), J=4),
    dict(shape=(36, 28), J=3, L=3, normalise=False),
    dict(shape=(128,), J=4),
    dict(shape=(32, 48), J=3, L=2, isotropic=True, filters="bump"),
]


@pytest.mark.parametrize("arguments", CASES, ids=str)
def test_covariances(engine, arguments, device):
    make = functools.partial(ScatteringCovariance, **arguments)
    check_transform(make, torch.rand(2, *arguments["shape"]), device)


@pytest.mark.parametrize("normalise", [None, "auto"])
def test_phase_harmonics(engine, normalise, device):
    shape = 48, 32
    x = torch.rand(2, *shape)
    make = functools.partial(WaveletPhaseHarmonics, shape, 3, 4, dn=1, normalise=normalise)
    exact = make(backend="reference").double()(x.double())
    found = make().to(device)(x.to(device)).cpu()
    assert (found - exact).norm() <= 3e-5 * exact.norm()
    y = x.to(device).requires_grad_()
    make().to(device)(y).abs().square().sum().backward()
    z = x.double().requires_grad_()
    make(backend="reference").double()(z).abs().square().sum().backward()
    assert (y.grad.cpu() - z.grad).norm() <= 1e-3 * z.grad.norm()


def test_what_excites_a_unit(engine, device):
    pytest.importorskip("sklearn")
    from scatcuda.learn.analysis.explain import maximise

    module = Scattering2D(J=1, shape=(8, 8), L=4).to(device)
    found = maximise(lambda x: module(x)[:, 1].mean((1, 2)), (8, 8), steps=10, device=device)
    assert found.x.device.type == device.type
    assert found.history[-1]["loss"] < found.history[0]["loss"]


def test_synthesis(engine, device):
    x = torch.rand(32, 32).cumsum(0).to(device)
    module = ScatteringCovariance((32, 32), J=3).to(device)
    found = synthesise(x, module, steps=10)
    assert found.x.device.type == x.device.type
    assert found.history[-1]["loss"] < 0.1 * found.history[0]["loss"]
