"""RotoTranslationScattering2D on a GPU: against the reference in float64, with gradients."""

import functools

import pytest
import torch
from devices import ENGINES, check_transform

from scatcuda import RotoTranslationScattering2D

pytestmark = pytest.mark.parametrize("engine", ENGINES, indirect=True)

CASES = [
    dict(J=3, shape=(64, 64), pool="mean"),
    dict(J=2, shape=(37, 29), L=6, average="space"),
    dict(J=3, shape=(32, 48), L=4, K=1, padding="periodic", smooth_first=True),
    dict(J=2, shape=(40, 33), L=5, normalisation="scatnet", max_order=1),
    dict(J=2, shape=(40, 32), average="space", oversampling=0),
    dict(J=3, shape=(32, 32), L=4, oversampling=1, paths=[(), (1, 2), (0, 2, 3, 1), (0, 1, 0, 2)]),
]


@pytest.mark.parametrize("arguments", CASES, ids=str)
def test_coefficients_and_gradients(engine, arguments, device):
    make = functools.partial(RotoTranslationScattering2D, **arguments)
    check_transform(make, torch.randn(3, *arguments["shape"]), device)


def test_gradients_of_nothing_are_finite(engine, device):
    module = RotoTranslationScattering2D(2, (16, 16), L=4).to(device)
    x = torch.zeros(2, 16, 16, device=device, requires_grad=True)
    module(x).sum().backward()
    assert x.grad.isfinite().all()
