"""Scattering2D on a GPU, where it differs from ../test_scattering2d.py, in either tier and one
image at a time."""

import pytest
import torch
from devices import ENGINES, SINGLE
from oracle import check_not_a_number_stays, relative_error

from scatcuda import Scattering2D, cuda_launch

pytestmark = [
    pytest.mark.usefixtures("made_there"),
    pytest.mark.parametrize("engine", ENGINES, indirect=True),
]


def test_an_image_does_not_depend_on_its_batch(engine):
    """But for what cuFFT rounds, which depends on the size of the batch."""
    module, x = Scattering2D(2, (20, 24), 5), torch.rand(7, 20, 24)
    alone = torch.stack([module(image) for image in x])
    assert relative_error(module(x), alone) <= SINGLE


@pytest.mark.parametrize("bad", [float("nan"), float("inf"), float("-inf")])
@pytest.mark.parametrize("shape", [(16, 20), (64, 64)])
def test_not_a_number_stays_in_its_image(engine, shape, bad, device):
    """Where no two images are in one batch of cuFFT, which wants numbers in all of it."""
    if device.type == "cuda":
        launch = cuda_launch(2, shape, 4, batch=4, device=device)
        if not launch.first_order_fused and launch.wave > 1:
            pytest.skip("cuFFT transforms the images together")
    check_not_a_number_stays(Scattering2D(2, shape, 4), bad)
