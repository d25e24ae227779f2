"""No operator keeps memory, forwards or backwards, done or refused. (Those of CUDA are counted in
test_cuda_boundary.py, and on a GPU in gpu/test_gpu_runtime.py.)"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from leaks import growth
from torch import Tensor

from scatcuda import Scattering2D, banks, ops
from scatcuda.banks.packing import pack
from scatcuda.program.plan import Plan

pytestmark = pytest.mark.proof

PLAN = Plan(J=1, L=2, max_order=1, M=4, N=4)
BANK = pack(banks.morlet_bank(PLAN.padded, PLAN.J, PLAN.L), PLAN, torch.float32)
X, Z, PSI = torch.rand(4, 4), torch.randn(8, 8) + 1j, torch.rand(2, 8, 8)
MATRICES = torch.rand(3, 8), torch.rand(2, 8)
GRAD = torch.rand(PLAN.channels, *PLAN.output)
FOLDED = torch.randn(2, 4, 4) + 1j


def raw(name: str) -> Callable[..., Any]:
    return getattr(torch.ops.scatcuda, name).default


OPERATORS: dict[str, tuple[Any, ...]] = {
    "scattering": (X, *BANK, PLAN.program, "auto", 0),
    "scattering_backward": (GRAD, X, *BANK, PLAN.program, True, True, True, "general", 0),
    "filter_fold": (Z, PSI, 2),
    "filter_fold_backward": (FOLDED, Z, PSI, 2, True, True),
    "modulus": (Z,),
    "modulus_backward": (Z.real.contiguous(), Z),
    "lowpass": (Z.real.contiguous(), *MATRICES),
    "lay_out": (BANK.psi, BANK.psi_support, PLAN.program),
}


def test_every_operator_is_counted():
    names = {schema.name for schema in torch._C._jit_get_all_schemas()}
    assert {f"scatcuda::{name}" for name in OPERATORS} == {
        name for name in names if name.startswith("scatcuda::")
    }


@pytest.mark.parametrize("name", OPERATORS)
def test_an_operator(name):
    assert growth(lambda: raw(name)(*OPERATORS[name])) == 0


@pytest.mark.parametrize("name", OPERATORS)
def test_an_operator_that_refuses(name):
    """Its last tensor is of a type that none takes."""
    arguments = list(OPERATORS[name])
    last = max(i for i, value in enumerate(arguments) if isinstance(value, Tensor))
    arguments[last] = torch.zeros(arguments[last].shape, dtype=torch.int16)

    def call() -> None:
        with pytest.raises(RuntimeError):
            raw(name)(*arguments)

    assert growth(call, 1000) == 0


@pytest.mark.parametrize(
    ("function", "tensors", "constants"),
    [
        (ops.scattering, (X, *BANK), (PLAN.program,)),
        (ops.filter_fold, (Z, PSI), (2,)),
        (ops.modulus, (Z,), ()),
        (ops.lowpass, (Z.real.contiguous(), *MATRICES), ()),
    ],
)
def test_forward_and_backward(function, tensors, constants):
    floating = [t.dtype != torch.int64 for t in tensors]
    tensors = [t.clone().requires_grad_(f) for t, f in zip(tensors, floating, strict=True)]
    wanted = [t for t in tensors if t.requires_grad]

    def call() -> None:
        out = function(*tensors, *constants)
        torch.autograd.grad(out, wanted, torch.ones_like(out))

    assert growth(call) == 0


@pytest.mark.parametrize("trainable", [None, "filters", "wavelets"])
def test_the_module(trainable):
    module = Scattering2D(1, (4, 4), L=2, max_order=1, trainable=trainable)
    parameters = list(module.parameters())
    x = X.clone().requires_grad_()

    def call() -> None:
        torch.autograd.grad(module(x).sum(), [x, *parameters])

    assert growth(call, 1000) == 0
