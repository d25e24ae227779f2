"""HarmonicScattering3D on a GPU: against the reference in float64, with gradients."""

import functools

import pytest
import torch
from devices import ENGINES, check_transform

from scatcuda import HarmonicScattering3D

pytestmark = pytest.mark.parametrize("engine", ENGINES, indirect=True)

CASES = [
    dict(J=2, shape=(32, 32, 32), L=3),
    dict(J=1, shape=(12, 10, 7), L=2, max_order=1, order_0=True),
    dict(J=2, shape=(16, 8, 24), L=1, fold=True, sigma_0=1.5),
    dict(J=1, shape=(8, 8, 8), L=4, rotation_covariant=False),
]


@pytest.mark.parametrize("arguments", CASES, ids=str)
def test_coefficients_and_gradients(engine, arguments, device):
    make = functools.partial(HarmonicScattering3D, **arguments, integral_powers=(0.5, 1, 2, 3))
    check_transform(make, torch.rand(2, *arguments["shape"]), device)


def test_gradients_of_nothing_are_finite(engine, device):
    module = HarmonicScattering3D(1, (8, 8, 8), L=2, order_0=True).to(device)
    x = torch.zeros(2, 8, 8, 8, device=device, requires_grad=True)
    module(x).sum().backward()
    assert x.grad.isfinite().all()
