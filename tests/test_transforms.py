"""PyTorch's transforms of functions around the module: functorch, autocast, graph compilers; and
what a module must refuse."""

import pytest
import torch

from scatcuda import Scattering2D, ops
from scatcuda.ops import reference


@pytest.fixture
def module():
    return Scattering2D(2, (12, 8), L=3).double()


def images(*lead):
    return torch.rand(*lead, 12, 8, dtype=torch.float64)


def energy(module):
    return lambda x: module(x).square().sum()


def gradient(f, x):
    x = x.detach().requires_grad_()
    return torch.autograd.grad(f(x), x)[0]


def test_func_grad(module):
    x = images(2)
    expected = gradient(energy(module), x)
    torch.testing.assert_close(torch.func.grad(energy(module))(x), expected)


def test_func_vmap_of_gradients(module):
    x = images(3)
    expected = torch.stack([gradient(energy(module), one) for one in x])
    per_image = torch.func.vmap(torch.func.grad(energy(module)))(x)
    torch.testing.assert_close(per_image, expected)


def test_func_vmap(module):
    x = images(3, 2)
    torch.testing.assert_close(torch.func.vmap(module)(x), module(x))
    torch.testing.assert_close(torch.func.vmap(module, in_dims=2)(x.movedim(0, 2)), module(x))


def test_func_jvp(module):
    x, v = images(2, 1)
    _, along = torch.func.jvp(module, (x,), (v,))
    difference = (module(x + 1e-6 * v) - module(x - 1e-6 * v)) / 2e-6
    torch.testing.assert_close(along, difference, rtol=1e-6, atol=1e-8)


@pytest.mark.parametrize("backend", ["native", "reference"])
def test_autocast_changes_nothing(backend):
    module = Scattering2D(2, (12, 8), L=3, backend=backend)
    x = images(2).float()
    expected, expected_gradient = module(x), gradient(energy(module), x)
    x.requires_grad_()
    with torch.autocast("cpu", torch.bfloat16):
        S = module(x)
        if backend == "native":  # PyTorch's own operations make no promise for this
            inside = gradient(energy(module), x)
            torch.testing.assert_close(inside, expected_gradient, rtol=1e-6, atol=1e-7)
    assert S.dtype == torch.float32
    assert torch.equal(S, expected)
    found = torch.autograd.grad(S.square().sum(), x)[0]
    torch.testing.assert_close(found, expected_gradient, rtol=1e-6, atol=1e-7)


@pytest.mark.parametrize("out_type", ["array", "list"])
def test_compiles_without_a_graph_break(out_type):
    module = Scattering2D(1, (8, 8), L=2, out_type=out_type)
    compiled = torch.compile(module, fullgraph=True, backend="aot_eager")
    x = torch.rand(3, 8, 8)
    found, expected = compiled(x), module(x)
    if out_type == "list":
        assert [c["n"] for c in found] == [c["n"] for c in expected]
        found, expected = (torch.stack([c["coef"] for c in S]) for S in (found, expected))
    assert torch.equal(found, expected)


@pytest.mark.parametrize("name", ["J", "L", "shape", "pre_pad", "filters", "trainable"])
def test_what_determines_the_filters_cannot_change(module, name):
    with pytest.raises(AttributeError, match=name):
        setattr(module, name, getattr(module, name))


def test_type_casts_no_table():
    module = Scattering2D(2, (12, 8), L=3)
    x = images(2)
    expected = module.double()(x)
    module = Scattering2D(2, (12, 8), L=3).type(torch.float64)
    assert torch.equal(module(x), expected)
    assert module.type(torch.float32)(x.float()).dtype == torch.float32


def test_built_in_inference_mode_it_still_has_gradients():
    with torch.inference_mode():
        module = Scattering2D(2, (12, 8), L=3)
    assert gradient(energy(module), images(2).float()).abs().sum() > 0


def test_sparse_and_nested_images_are_refused(module):
    for x in (images(1).to_sparse(), torch.nested.nested_tensor([images(), images()])):
        with pytest.raises(TypeError, match="x must be a dense tensor"):
            module(x)


@pytest.mark.parametrize("dtype", [torch.complex64, torch.complex128])
def test_modulus_over_the_whole_range(dtype):
    parts = torch.tensor([0, 1, 3.5, 1e-30, 1e-20, 1e-5, 1e5, 1e18, 1e25, 3e37, float("inf")])
    z = torch.complex(*torch.meshgrid(parts, -parts, indexing="ij")).to(dtype)
    torch.testing.assert_close(ops.modulus(z), reference.modulus(z), rtol=3e-7, atol=0)
    nan, infinity = float("nan"), float("inf")
    z = torch.complex(
        torch.tensor([nan, 0, 1, nan, infinity]), torch.tensor([0, nan, nan, infinity, nan])
    )
    expected = torch.tensor([nan, nan, nan, infinity, infinity], dtype=dtype.to_real())
    torch.testing.assert_close(ops.modulus(z.to(dtype)), expected, equal_nan=True)


@pytest.mark.parametrize("scale", [1e-17, 1e-15, 1e15, 1e17])
def test_transform_is_homogeneous_far_from_one(scale):
    module, x = Scattering2D(2, (32, 32)), torch.rand(2, 32, 32)
    torch.testing.assert_close(module(scale * x) / scale, module(x), rtol=1e-5, atol=1e-6)
