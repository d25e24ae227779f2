"""Scattering2D on a GPU: the tests of ../test_scattering2d.py, with tensors made there, in either
tier and one image at a time."""

import functools

import pytest
import test_scattering2d
import torch
from oracle import relative_error
from test_scattering2d import (  # noqa: F401
    test_any_length_of_a_line,
    test_any_number_of_angles,
    test_copies,
    test_dtype_of_the_module,
    test_empty_batch,
    test_filters_of_ones_own,
    test_forward_mode_derivatives_are_right_or_refused,
    test_gradcheck,
    test_gradient_at_zero_is_zero,
    test_prime_factors_of_the_padded_sides,
    test_random_configuration,
    test_second_derivatives,
    test_smallest_images_of_every_scale,
    test_training_through_the_transform,
)

from scatcuda import Scattering2D, cuda_launch

pytestmark = pytest.mark.usefixtures("made_there", "engine")


@pytest.fixture(autouse=True)
def tolerance(monkeypatch: pytest.MonkeyPatch) -> None:
    """Another FFT rounds differently: the bar is 2e-6 on every GPU. And gradients of gradients are
    the reference's, in which PyTorch adds up the reflected edges in any order."""
    monkeypatch.setattr(test_scattering2d, "SINGLE", 2e-6)
    check = functools.partial(torch.autograd.gradgradcheck, nondet_tol=1e-12)
    monkeypatch.setattr(torch.autograd, "gradgradcheck", check)


def test_an_image_does_not_depend_on_its_batch():
    """But for what cuFFT rounds, which depends on the size of the batch."""
    module, x = Scattering2D(2, (20, 24), 5), torch.rand(7, 20, 24)
    alone = torch.stack([module(image) for image in x])
    assert relative_error(module(x), alone) <= test_scattering2d.SINGLE


@pytest.mark.parametrize("bad", [float("nan"), float("inf"), float("-inf")])
@pytest.mark.parametrize("shape", [(16, 20), (64, 64)])
def test_not_a_number_stays_in_its_image(shape, bad, device):
    """Where no two images are in one batch of cuFFT, which wants numbers in all of it."""
    if device.type == "cuda":
        launch = cuda_launch(2, shape, 4, batch=4, device=device)
        if not launch.first_order_fused and launch.wave > 1:
            pytest.skip("cuFFT transforms the images together")
    test_scattering2d.test_not_a_number_stays_in_its_image(shape, bad, "native")
