"""RotoTranslationScattering2D on a GPU: against the reference in float64, with gradients."""

import pytest
import torch
from devices import ENGINES, SINGLE
from oracle import relative_error

from scatcuda import RotoTranslationScattering2D

pytestmark = pytest.mark.parametrize("engine", ENGINES, indirect=True)

CASES = [
    dict(J=3, shape=(64, 64), pool="mean"),
    dict(J=2, shape=(37, 29), L=6, average="space"),
    dict(J=3, shape=(32, 48), L=4, K=1, padding="periodic", smooth_first=True),
    dict(J=2, shape=(40, 33), L=5, normalisation="scatnet", max_order=1),
]


@pytest.mark.parametrize("arguments", CASES, ids=str)
def test_coefficients_and_gradients(engine, arguments, device):
    module = RotoTranslationScattering2D(**arguments).to(device)
    exact = RotoTranslationScattering2D(**arguments, backend="reference").double()
    x = torch.randn(3, *module.shape, requires_grad=True)
    wide = x.detach().double().requires_grad_()
    S, expected = module(x.to(device)), exact(wide)
    assert S.device.type == device.type
    assert relative_error(S.cpu(), expected) <= 2 * SINGLE
    g = torch.rand_like(expected)
    (ours,) = torch.autograd.grad(S, x, g.to(device, torch.float32))
    (theirs,) = torch.autograd.grad(expected, wide, g)
    assert relative_error(ours, theirs) <= 20 * SINGLE


def test_gradients_of_nothing_are_finite(engine, device):
    module = RotoTranslationScattering2D(2, (16, 16), L=4).to(device)
    x = torch.zeros(2, 16, 16, device=device, requires_grad=True)
    module(x).sum().backward()
    assert x.grad.isfinite().all()
