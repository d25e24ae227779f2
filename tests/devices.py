"""Where tests run.

SCATCUDA_TEST_DEVICE=cuda   on a GPU, and it has to be there (`make gpu`): those of tests/gpu and,
                            of all others, those marked `everywhere`
SCATCUDA_TEST_DEVICE=cpu    the same on the CPU, but for those marked `cuda`: a trial
SCATCUDA_TEST_SHARE=2/8     every eighth test, from the second on: a process's share of them all
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any

import pytest
import torch
from oracle import relative_error

from scatcuda import _C

WANTED = os.environ.get("SCATCUDA_TEST_DEVICE", "")
SHARE = os.environ.get("SCATCUDA_TEST_SHARE", "1/1")

ON_A_GPU = WANTED == "cuda"
# Relative errors allowed against float64. Another FFT rounds differently: 2e-6 on every GPU.
SINGLE = 2e-6 if ON_A_GPU else 1e-6
# Gradients of gradients are the reference's, in which PyTorch adds up the reflected edges in any
# order there.
NONDETERMINISM = 1e-12 if ON_A_GPU else 0.0

ENGINES = [
    pytest.param({}, id="auto"),
    pytest.param({"SCATCUDA_TIER": "general"}, id="general", marks=pytest.mark.slow),
    pytest.param({"SCATCUDA_WORKSPACE": "1"}, id="one image", marks=pytest.mark.slow),
]


def missing() -> str | None:
    """What there is not, as a sentence."""
    if not torch.cuda.is_available():
        return "PyTorch finds no NVIDIA GPU here"
    if "CUDA none" in _C.build_info():
        return "there is a GPU, but scatcuda was built without its CUDA engine"
    return None


def share(items: Sequence[Any], which: str = SHARE) -> Sequence[Any]:
    """A process's share of the tests, as SCATCUDA_TEST_SHARE says it."""
    number, _, count = which.partition("/")
    return items[int(number) - 1 :: int(count)]


def check_transform(make: Any, x: torch.Tensor, device: torch.device) -> None:
    """Coefficients and the signal's gradient of ``make(backend=…)`` on a device, against the
    reference in float64."""
    module, exact = make(backend="native").to(device), make(backend="reference").double()
    x = x.requires_grad_()
    wide = x.detach().double().requires_grad_()
    # there too: of long signals in time and frequency a CPU's one thread takes a minute
    S, expected = module(x.to(device)), exact.to(device)(wide.to(device)).cpu()
    assert S.device.type == device.type
    assert relative_error(S.cpu(), expected) <= 2 * SINGLE
    g = torch.rand_like(expected)
    (ours,) = torch.autograd.grad(S, x, g.to(device, torch.float32))
    (theirs,) = torch.autograd.grad(expected, wide, g)
    assert relative_error(ours, theirs) <= 20 * SINGLE
