"""TimeFrequencyScattering on a GPU: against the reference in float64, with gradients."""

import pytest
import torch
from devices import ENGINES, SINGLE
from oracle import relative_error

from scatcuda import TimeFrequencyScattering

pytestmark = pytest.mark.parametrize("engine", ENGINES, indirect=True)

CASES = [
    dict(J=6, J_fr=3, Q=8, shape=4096),
    dict(J=5, J_fr=2, Q=4, shape=1000, T="global", format="joint"),
    dict(J=4, J_fr=2, Q=3, shape=300, T=8, F=2, format="joint"),
    dict(J=5, J_fr=2, Q=4, shape=1000, paths=[(4, 2), (0,)]),
]


@pytest.mark.parametrize("arguments", CASES, ids=str)
def test_coefficients_and_gradients(engine, arguments, device):
    module = TimeFrequencyScattering(**arguments).to(device)
    exact = TimeFrequencyScattering(**arguments, backend="reference").double()
    x = torch.randn(3, *module.shape, requires_grad=True)
    wide = x.detach().double().requires_grad_()
    S, expected = module(x.to(device)), exact(wide)
    assert S.device.type == device.type
    assert relative_error(S.cpu(), expected) <= 2 * SINGLE
    g = torch.rand_like(expected)
    (ours,) = torch.autograd.grad(S, x, g.to(device, torch.float32))
    (theirs,) = torch.autograd.grad(expected, wide, g)
    assert relative_error(ours, theirs) <= 20 * SINGLE
