"""TimeFrequencyScattering on a GPU: against the reference in float64, with gradients."""

import functools

import pytest
import torch
from devices import ENGINES, check_transform

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
    make = functools.partial(TimeFrequencyScattering, **arguments)
    check_transform(make, torch.randn(3, arguments["shape"]), device)
