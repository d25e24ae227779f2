"""Scattering1D on a GPU, by both tiers: against the reference in float64, with gradients."""

import pytest
import torch
from devices import ENGINES, SINGLE
from oracle import relative_error

from scatcuda import Scattering1D

pytestmark = pytest.mark.parametrize("engine", ENGINES, indirect=True)

CASES = [
    dict(J=6, shape=4096, Q=8),
    dict(J=6, shape=1000, Q=1),
    dict(J=9, shape=40000, Q=4),  # its first planes are too long for a block
    dict(J=4, shape=777, Q=(4, 2), T=50),
    dict(J=5, shape=1024, Q=8, max_order=1, oversampling=1),
    dict(J=3, shape=128, Q=2, T="global"),
    dict(J=3, shape=256, Q=2, aliases="sum", stride=2, padding="zeros"),
]


@pytest.mark.parametrize("arguments", CASES, ids=str)
def test_coefficients_and_gradients(engine, arguments, device):
    module = Scattering1D(**arguments).to(device)
    exact = Scattering1D(**arguments, backend="reference").double()
    x = torch.randn(3, *module.shape, requires_grad=True)
    wide = x.detach().double().requires_grad_()
    S, expected = module(x.to(device)), exact(wide)
    assert S.device.type == device.type
    assert relative_error(S.cpu(), expected) <= SINGLE
    g = torch.randn_like(expected)
    (ours,) = torch.autograd.grad(S, x, g.to(device, torch.float32))
    (theirs,) = torch.autograd.grad(expected, wide, g)
    assert relative_error(ours, theirs) <= 20 * SINGLE


def test_without_an_average(engine, device):
    module = Scattering1D(3, 256, 4, T=0, out_type="dict").to(device)
    exact = Scattering1D(3, 256, 4, T=0, out_type="dict", backend="reference").double()
    x = torch.randn(2, 256)
    for path, S in module(x.to(device)).items():
        assert relative_error(S.cpu(), exact(x.double())[path]) <= 2 * SINGLE, path
