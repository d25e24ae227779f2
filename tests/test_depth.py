"""Scattering2D beyond order 2: against its definition in float64, and its life as a module."""

from __future__ import annotations

import math
import pickle

import capi
import numpy as np
import oracle
import pytest
import torch
from oracle import error_by_order, relative_error
from torch import Tensor, nn

from scatcuda import Scattering2D, banks, cuda_launch, ops
from scatcuda.banks.packing import pack
from scatcuda.program.plan import Plan

DEEP = [
    dict(J=3, shape=(24, 33), L=4, max_order=3),
    dict(J=4, shape=(35, 32), L=2, max_order=4),
    dict(J=4, shape=(32, 32), L=3, max_order=3, pre_pad=True, filters="tight"),
    dict(J=5, shape=(32, 40), L=1, max_order=5),
]
SMALL = dict(J=3, shape=(8, 9), L=2, max_order=3)
TOLERANCE = {torch.float32: 2e-6, torch.float64: 1e-13}


@pytest.mark.parametrize("backend", ["native", "reference"])
@pytest.mark.parametrize("dtype", TOLERANCE)
@pytest.mark.parametrize("arguments", DEEP, ids=str)
def test_every_order_is_its_definition(arguments, dtype, backend):
    module = Scattering2D(**arguments, backend=backend).to(dtype)
    x = torch.rand(2, *module.input_shape, dtype=dtype)
    S = module(x)
    assert S.shape[1:] == module.output_shape
    expected = oracle.scattering2d(x, module.bank, module.max_order, module.pre_pad)
    assert error_by_order(module.meta()["order"], S, expected) <= TOLERANCE[dtype]


@pytest.mark.parametrize("dtype", TOLERANCE)
def test_lower_orders_are_the_same_bits(dtype):
    x = torch.rand(3, 24, 33, dtype=dtype)
    whole = Scattering2D(3, (24, 33), 4, max_order=3).to(dtype)(x)
    for max_order in range(3):
        S = Scattering2D(3, (24, 33), 4, max_order).to(dtype)(x)
        assert torch.equal(S, whole[:, : S.shape[1]])


def test_channels_are_counted_by_their_formula():
    for J in range(1, 6):
        for L in (1, 2, 5):
            for m in range(max(J, 2) + 1):
                plan = Plan(J, L, m, 1 << J, 1 << J)
                assert plan.channels == len(plan.paths) == plan.cascade.channels
                assert plan.channels == sum(math.comb(J, k) * L**k for k in range(m + 1))
    assert Scattering2D(4, (16, 16), max_order=3).output_shape == (2465, 1, 1)


def test_meta_and_list_have_a_place_for_every_wavelet():
    module = Scattering2D(**SMALL, out_type="list")
    x = torch.rand(8, 9)
    meta, channels = module.meta(), module(x)
    assert meta["n"].shape == (len(channels), 3)
    for n, order, channel in zip(meta["n"].tolist(), meta["order"], channels, strict=True):
        assert n == [*channel["n"], -1, -1, -1][:3] and order == len(channel["n"])
    module.out_type = "array"
    assert torch.equal(torch.stack([channel["coef"] for channel in channels]), module(x))
    assert Scattering2D(3, (8, 8), max_order=1).meta()["n"].shape[1] == 2


def test_the_order_can_be_assigned():
    module, x = Scattering2D(**SMALL), torch.rand(2, 8, 9)
    for order in (1, 3, 0, 2):
        module.max_order = order
        assert torch.equal(module(x), Scattering2D(**SMALL | {"max_order": order})(x))
    with pytest.raises(ValueError, match="max_order must be between 0 and 3; got 4"):
        module.max_order = 4
    assert module.max_order == 2


def test_two_orders_may_be_asked_of_one_scale():
    assert Scattering2D(1, (8, 8), max_order=2).output_shape[0] == 9
    with pytest.raises(ValueError, match="max_order must be between 0 and 2; got 3"):
        Scattering2D(1, (8, 8), max_order=3)


# --- gradients ----------------------------------------------------------------------------------


def test_gradcheck():
    module = Scattering2D(**SMALL | {"L": 1}).double()
    x = torch.randn(1, 8, 9, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(module, (x,))


def gradients(module: nn.Module, x: Tensor, weights: Tensor) -> list[Tensor]:
    x = x.clone().requires_grad_()
    return [*torch.autograd.grad(module(x), [x, *module.parameters()], weights.to(x.dtype))]


@pytest.mark.parametrize("trainable", [None, "filters", "wavelets"])
def test_gradients_are_the_references(trainable):
    module = Scattering2D(3, (17, 24), 4, max_order=3, trainable=trainable)
    weights = torch.rand(2, *module.output_shape)
    x = torch.rand(2, 17, 24)
    ours = gradients(module, x, weights)
    exact = Scattering2D(
        3, (17, 24), 4, max_order=3, trainable=trainable, backend="reference"
    ).double()  # fmt: skip
    exact.load_state_dict(module.state_dict())
    for found, expected in zip(ours, gradients(exact, x.double(), weights), strict=True):
        assert relative_error(found, expected) <= 1e-5
    found = gradients(module.double(), x.double(), weights)
    for ours, expected in zip(found, gradients(exact, x.double(), weights), strict=True):
        assert relative_error(ours, expected) <= 1e-12


# --- learned filters ----------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["filters", "wavelets"])
def test_learned_filters(kind):
    module = Scattering2D(**SMALL, trainable=kind).double()
    module.learned.reset_parameters()
    x = torch.rand(2, 8, 9, dtype=torch.float64)
    assert relative_error(module(x), Scattering2D(**SMALL).double()(x)) <= 1e-12
    with torch.no_grad():
        for value in module.parameters():
            value.add_(0.1 * value.abs().mean().clamp(min=0.1) * torch.randn_like(value))
    S = module(x)
    fixed = Scattering2D(**SMALL, filters=module.bank).double()
    assert relative_error(S, fixed(x)) <= 1e-12
    with torch.no_grad():
        assert relative_error(module(x), S) <= 1e-12
    assert relative_error(module.freeze()(x), S) <= 1e-12
    other = Scattering2D(**SMALL, trainable=kind).double()
    other.load_state_dict(module.state_dict())
    assert relative_error(other(x), S) <= 1e-12


@pytest.mark.parametrize("kind", ["filters", "wavelets"])
def test_gradcheck_of_learned_filters(kind):
    module = Scattering2D(**SMALL | {"L": 1}, trainable=kind).double()
    x = torch.randn(1, 8, 9, dtype=torch.float64)
    names = dict(module.named_parameters())

    def scattering(*values: Tensor) -> Tensor:
        return torch.func.functional_call(module, dict(zip(names, values, strict=True)), x)

    values = [value.detach().clone().requires_grad_() for value in names.values()]
    assert torch.autograd.gradcheck(scattering, values, fast_mode=True)


# --- its life as a module -----------------------------------------------------------------------


@pytest.mark.parametrize("trainable", [None, "wavelets"])
def test_compiled_in_one_graph_and_exported(trainable):
    module, x = Scattering2D(**SMALL, trainable=trainable), torch.rand(2, 8, 9)
    expected = module(x)
    if torch._dynamo.is_dynamo_supported():
        compiled = torch.compile(module, fullgraph=True, backend="aot_eager")
        torch.testing.assert_close(compiled(x), expected)
    exported = torch.export.export(module, (x,)).module()
    torch.testing.assert_close(exported(x), expected)


def test_pickled():
    module, x = Scattering2D(**SMALL), torch.rand(2, 8, 9)
    assert not module.state_dict() and "max_order=3" in repr(module)
    assert torch.equal(pickle.loads(pickle.dumps(module))(x), module(x))


def test_plan_files(tmp_path):
    capi.library()
    module, x = Scattering2D(**SMALL), torch.rand(2, 8, 9)
    module.save_plan(tmp_path / "plan.scat")
    plan = capi.Plan(tmp_path / "plan.scat")
    assert plan.program == module._program
    assert np.array_equal(plan.forward(x.numpy()), module(x).numpy())


def test_operator():
    plan, x = Plan(3, 4, 3, 16, 17), torch.rand(2, 16, 17)
    bank = pack(banks.morlet_bank(plan.padded, 3, 4), plan, torch.float32)
    S = ops.scattering2d(x, *bank, J=3, L=4, max_order=3)
    assert torch.equal(S, Scattering2D(3, (16, 17), 4, max_order=3)(x))
    with pytest.raises(ValueError, match=r"scattering2d: there is no transform .*max_order=4"):
        ops.scattering2d(x, *bank, J=3, L=4, max_order=4)


def test_the_general_tier_would_run_it():
    try:
        launch = cuda_launch(3, (64, 64), max_order=3, device="H100")
    except RuntimeError:
        pytest.skip("no CUDA engine in this build")
    assert launch.tier == "general"


@pytest.mark.parametrize(
    ("J", "L", "told"),
    [(24, 4, "the number of paths must be at most 1048576"), (14, 1, "the number of steps along")],
)
def test_no_transform_is_too_deep_for_memory(J, L, told):
    with pytest.raises(ValueError, match=told):
        Scattering2D(J, (1 << J, 1 << J), L, max_order=J)
