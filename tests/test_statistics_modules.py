"""Statistics as PyTorch modules: what tools do to modules, and PyTorch's modes."""

import copy
import pickle

import numpy as np
import pytest
import torch
from torch import nn
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from scatcuda import ScatteringCovariance, WaveletPhaseHarmonics

MAKERS = {
    "covariance": lambda: ScatteringCovariance((32, 32), J=2, L=2),
    "masked": lambda: ScatteringCovariance((32, 32), J=2, L=2, mask=np.ones((32, 32))),
    "isotropic": lambda: ScatteringCovariance((16, 20), J=2, isotropic=True),
    "of signals": lambda: ScatteringCovariance((64,), J=3),
    "phase harmonics": lambda: WaveletPhaseHarmonics((16, 16), 2, 2, dn=1),
    "normalised": lambda: WaveletPhaseHarmonics((16, 16), 2, 2, dn=1, normalise="auto"),
}


@pytest.fixture(params=MAKERS)
def made(request):
    torch.manual_seed(0)
    module = MAKERS[request.param]()
    return module, torch.rand(3, *module.shape)


def test_copies_give_the_same_bits(made, tmp_path):
    module, x = made
    wanted = module(x)
    for again in (copy.deepcopy(module), pickle.loads(pickle.dumps(module))):
        assert torch.equal(again(x), wanted)
    torch.save(module, tmp_path / "m.pt")
    assert torch.equal(torch.load(tmp_path / "m.pt", weights_only=False)(x), wanted)
    assert not module.state_dict()
    module.load_state_dict({})


def test_tools_change_no_number(made):
    module, x = made
    wanted = module(x)
    average = AveragedModel(module, multi_avg_fn=get_ema_multi_avg_fn(0.9), use_buffers=True)
    for _ in range(5):
        average.update_parameters(module)
    assert torch.equal(average(x), wanted)
    torch.testing.assert_close(module.double().float()(x), wanted, rtol=0, atol=0)
    assert torch.equal(module.half()(x), wanted)  # computed in float32
    module.float()
    assert repr(module).startswith(type(module).__name__)
    assert nn.Sequential(module)(x).shape == wanted.shape == (3, *module.output_shape)


def test_float64_is_exact(made):
    module, x = made
    single, double = module(x), module.double()(x.double())
    assert (single - double).abs().max() <= 1e-5 * double.abs().max()


def test_functions_of_the_module(made):
    module, x = made
    module, x = module.double(), x.double()
    each = torch.stack([module(one) for one in x])
    torch.testing.assert_close(torch.func.vmap(module)(x), each)
    v = torch.rand_like(x)

    def energy(y):
        return module(y).abs().square().sum()

    x.requires_grad_()
    (gradient,) = torch.autograd.grad(energy(x), x)
    torch.testing.assert_close(torch.func.grad(energy)(x.detach()), gradient)
    if isinstance(module, ScatteringCovariance):  # the other's normalisation takes no derivative
        _, along = torch.func.jvp(energy, (x.detach(),), (v,))
        torch.testing.assert_close(along, (gradient * v).sum())


def test_autocast_and_inference_mode(made):
    module, x = made
    wanted = module(x)
    with torch.autocast("cpu", torch.bfloat16):
        torch.testing.assert_close(module(x), wanted)
    with torch.inference_mode():
        torch.testing.assert_close(module(x), wanted, rtol=0, atol=0)
    torch.testing.assert_close(module(x), wanted, rtol=0, atol=0)


@pytest.mark.parametrize("name", MAKERS)
def test_without_values(name):
    with FakeTensorMode():
        fake = MAKERS[name]()
        assert fake(torch.rand(3, *fake.shape)).shape == (3, *fake.output_shape)
    meta = MAKERS[name]().to("meta")
    assert meta(torch.rand(3, *meta.shape, device="meta")).shape == (3, *meta.output_shape)


def test_a_leaf_of_a_traced_model(made):
    module, x = made
    traced = torch.fx.symbolic_trace(nn.Sequential(module, nn.Identity()))
    assert torch.equal(traced(x), module(x))
