"""The operators on a GPU: the tests of ../test_ops.py, with tensors made there."""

import functools

import pytest
import test_ops
import torch
from test_ops import (  # noqa: F401
    test_compile_makes_one_graph,
    test_filter_fold,
    test_forward_mode,
    test_gradient_of_modulus_at_zero_is_zero,
    test_gradient_of_the_low_pass_inside_its_bands,
    test_gradients_of_filter_fold,
    test_gradients_of_lowpass,
    test_gradients_of_modulus,
    test_gradients_of_nothing_are_zero,
    test_gradients_of_scattering,
    test_lazily_conjugated_and_negated_input,
    test_lowpass,
    test_modulus,
    test_modulus_of_special_numbers,
    test_nothing_in_nothing_out,
    test_only_the_gradients_that_are_wanted,
    test_opcheck,
    test_opcheck_of_some_gradients,
    test_scattering,
    test_scattering_backward,
)

pytestmark = pytest.mark.usefixtures("made_there")


@pytest.fixture(autouse=True)
def tolerance(monkeypatch: pytest.MonkeyPatch) -> None:
    """Another FFT rounds differently: the bar is 2e-6 on every GPU. And gradients of gradients are
    the reference's, in which PyTorch adds up the reflected edges in any order."""
    monkeypatch.setitem(test_ops.TOLERANCE, torch.float32, 2e-6)
    check = functools.partial(torch.autograd.gradgradcheck, nondet_tol=1e-12)
    monkeypatch.setattr(test_ops, "gradgradcheck", check)
