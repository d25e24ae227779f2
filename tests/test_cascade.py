"""The wavelet cascade: Scattering2D with the modulus, the formula, mathematics, gradients."""

from __future__ import annotations

from itertools import pairwise, product

import pytest
import torch

import scatcuda
from scatcuda import Cascade, Scattering2D, banks
from scatcuda.learn import WaveletCascade

_SHAPE = (20, 27)


@pytest.mark.parametrize(
    "J, depth", [(1, 0), (1, 1), (2, 0), (2, 1), (2, 2), (3, 2), (3, 3), (4, 4)]
)
@pytest.mark.parametrize("dtype, tol", [(torch.float32, 1e-6), (torch.float64, 1e-12)])
@pytest.mark.parametrize("bank", ["morlet", "tight"])
def test_is_scattering(J, depth, dtype, tol, bank):
    scattering = Scattering2D(J, _SHAPE, 4, depth, filters=bank).to(dtype)
    cascade = Cascade(J, _SHAPE, 4, depth, filters=bank).to(dtype)
    x = torch.randn(2, 3, *_SHAPE, dtype=dtype)
    torch.testing.assert_close(cascade(x), scattering(x), rtol=tol, atol=tol)
    assert cascade.output_shape == scattering.output_shape
    for key, value in scattering.meta().items():
        assert (cascade.meta()[key] == value).all(), key


def test_the_name_that_it_had_in_learning():
    assert WaveletCascade is scatcuda.Cascade is scatcuda.transforms.cascade.Cascade


def test_third_order_is_the_formula():
    """A path of three wavelets, by circular convolutions on the grids of the cascade."""
    J, L, shape = 3, 2, (16, 16)
    cascade = Cascade(J, shape, L, depth=3).double()
    x = torch.randn(16, 16, dtype=torch.float64)
    [found] = [S for S, j in zip(cascade(x), cascade.meta()["j"], strict=True) if (j >= 0).all()][
        :1
    ]
    bank = banks.morlet_bank(banks.padded_shape(shape, J), J, L)
    u = torch.nn.functional.pad(x[None], (8, 8, 8, 8), "reflect")[0]
    for j in range(3):  # angles 0, 0, 0
        res = max(j - 1, 0)
        psi, k = banks.crop(bank.psi[j, 0], res), 2 ** (j - res)
        u = torch.fft.ifft2(torch.fft.fft2(u) * psi)[::k, ::k].abs()
    phi = banks.crop(bank.phi, 2)
    S = torch.fft.ifft2(torch.fft.fft2(u) * phi).real[::2, ::2][1:-1, 1:-1]
    torch.testing.assert_close(found, S, rtol=1e-10, atol=1e-12)


def test_paths():
    cascade = Cascade(J=4, shape=(16, 16), L=2, depth=3)
    meta = cascade.meta()
    n = [tuple(k for k in row if k >= 0) for row in meta["n"].tolist()]
    wanted = [p for q in range(4) for p in product(range(8), repeat=q)
              if all(a // 2 < b // 2 for a, b in pairwise(p))]  # fmt: skip
    assert n == wanted and len(n) == cascade.output_shape[0]
    assert [len(p) for p in n] == meta["order"].tolist()


def test_scales_choose_paths():
    x = torch.randn(2, 16, 16)
    whole = Cascade(J=3, shape=(16, 16), L=2)
    some = Cascade(J=3, shape=(16, 16), L=2, scales=[[1, 0], [2]])
    kept = [0, *range(1, 5), *(i for i, j in enumerate(whole.meta()["j"].tolist()) if j[1] == 2)]
    torch.testing.assert_close(some(x), whole(x)[:, kept])


def test_by_order_is_all_in_parts():
    cascade = Cascade(J=3, shape=(16, 16), L=2, depth=3)
    x = torch.randn(2, 16, 16)
    parts = cascade(x, by_order=True)
    assert [p.shape[1] for p in parts] == [1, 6, 12, 8]
    assert torch.equal(torch.cat(parts, 1), cascade(x))


def test_energy_falls_with_depth_and_none_is_gained():
    """With the tight bank ``|U_q|² = |A U_q|² + |W U_q|²``, but for subsampling."""
    cascade = Cascade(J=4, shape=(64, 64), L=4, depth=4, filters="tight").double()
    x = torch.randn(64, 64, dtype=torch.float64)
    x = torch.nn.functional.avg_pool2d(x[None], 5, 1, 2)[0]
    x = x - x.mean()
    energies = [
        sum(float(u.square().sum()) * 4 ** (p[-1] if p else 0) for p, u in layer.items())
        for layer in cascade.propagate(x)
    ]
    assert all(b < a for a, b in pairwise(energies)), energies


def test_does_not_expand():
    cascade = Cascade(J=3, shape=(32, 32), L=4, depth=3, filters="tight").double()
    x, y = torch.randn(2, 8, 32, 32, dtype=torch.float64)
    pad = torch.nn.functional.pad
    apart = (cascade(x) - cascade(y)).flatten(1).norm(dim=1) * 8
    limit = pad(x - y, (8, 8, 8, 8), "reflect").flatten(1).norm(dim=1)
    assert (apart < limit).all()


@pytest.mark.parametrize("rho", [None, lambda z: z.real.relu()])
def test_gradient(rho):
    options = {} if rho is None else {"rho": rho}
    cascade = Cascade(J=2, shape=(6, 5), L=2, depth=2, **options).double()
    x = torch.randn(6, 5, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(cascade, (x,), fast_mode=True)


def test_rho_may_be_learned():
    class Phase(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.angle = torch.nn.Parameter(torch.tensor(0.3))

        def forward(self, z):
            return (z * torch.exp(1j * self.angle)).real.relu()

    cascade = Cascade(J=2, shape=(8, 8), L=2, rho=Phase())
    cascade(torch.randn(2, 8, 8)).sum().backward()
    assert cascade.rho.angle.grad.abs() > 0
    assert list(cascade.state_dict()) == ["rho.angle"]


def test_double_and_back():
    x = torch.randn(16, 16)
    cascade = Cascade(J=2, shape=(16, 16), L=2)
    before = cascade(x)
    assert torch.equal(cascade.double().float()(x), before)
    assert torch.equal(cascade.half()(x), before)  # computes in float32, as Scattering2D does


def test_compile_and_export():
    cascade = Cascade(J=3, shape=(8, 8), L=2, depth=3)
    x = torch.randn(2, 8, 8)
    compiled = torch.compile(cascade, fullgraph=True, backend="eager")
    torch.testing.assert_close(compiled(x), cascade(x))
    exported = torch.export.export(cascade, (x,)).module()
    torch.testing.assert_close(exported(x), cascade(x))


def test_empty_batch():
    cascade = Cascade(J=2, shape=(8, 8), L=2)
    assert cascade(torch.zeros(0, 3, 8, 8)).shape == (0, 3, 9, 2, 2)


@pytest.mark.parametrize(
    "options, words",
    [
        ({"depth": 3}, "depth must be between 0 and 2"),
        ({"depth": -1}, "depth must be between"),
        ({"rho": 3}, "rho must be callable"),
        ({"filters": "haar"}, "filters must be one of"),
        ({"scales": [[0]]}, "depth = 2 layers; got 1"),
        ({"scales": [[1], [0, 1]]}, "increasing scale"),
        ({"scales": [[0], [2]]}, "a scale in scales must be between 0 and 1"),
        ({"shape": (3, 8)}, "at least 2"),
    ],
)
def test_bad_arguments(options, words):
    with pytest.raises((TypeError, ValueError), match=words):
        Cascade(**{"J": 2, "shape": (8, 8), "L": 2, **options})


@pytest.mark.parametrize(
    "x, words",
    [
        (torch.zeros(8, 9), r"shape \(..., 8, 8\)"),
        (torch.zeros(8, 8, dtype=torch.complex64), "x must be real; got torch.complex64"),
        (torch.zeros(8, 8, dtype=torch.float64), "x must be float32 as the module is"),
        ([[0.0]], "x must be a torch.Tensor; got list"),
    ],
)
def test_bad_input(x, words):
    with pytest.raises((TypeError, ValueError), match=words):
        Cascade(J=2, shape=(8, 8), L=2)(x)


def test_rho_must_be_real():
    with pytest.raises(ValueError, match="rho must give a real tensor"):
        Cascade(J=2, shape=(8, 8), L=2, rho=lambda z: z)(torch.rand(8, 8))
