"""What scattering is for, as far as it can be proved: covariance, stability, conserved energy.

Images here are periodic, given padded beforehand, so that a shift is ``roll`` and no edge spoils an
identity. Of the ``n = Mp / 2^J`` samples of a row, the output holds 1 … n − 2.
"""

from __future__ import annotations

import copy

import numpy as np
import pytest
import torch
from oracle import error_by_order, relative_error
from torch import Tensor

from scatcuda import Scattering2D, banks, ops

BANKS = ["morlet", "tight"]


def periodic(J: int, shape: tuple[int, int], **arguments) -> Scattering2D:
    return Scattering2D(J, shape, pre_pad=True, **arguments)


def noise(module: Scattering2D, batch: int = 2) -> Tensor:
    return torch.rand(batch, module._M_padded, module._N_padded).to(module._phi.dtype)


def natural(module: Scattering2D, batch: int = 2) -> Tensor:
    """Noise with the spectrum of photographs, one over the frequency."""
    x = noise(module, batch)
    rows, columns = (torch.fft.fftfreq(side) for side in x.shape[-2:])
    radius = (rows[:, None] ** 2 + columns**2).sqrt() + 1 / x.shape[-1]
    return torch.fft.ifft2(torch.fft.fft2(x) / radius).real


# --- translations -------------------------------------------------------------------------------


@pytest.mark.parametrize("bank", BANKS)
@pytest.mark.parametrize(("J", "L"), [(1, 5), (2, 8), (3, 3)])
def test_shift_by_the_subsampling_is_a_shift_of_coefficients(J, L, bank):
    module = periodic(J, (40, 56), L=L, filters=bank).double()
    x = noise(module)
    S = module(x)
    for down, right in ((1, 0), (0, 1), (2, 1), (1, 3)):
        moved = module(x.roll((down << J, right << J), (-2, -1)))
        # the first rows and columns have come in over the edge, the last ones have left
        moved, expected = moved[..., down:, right:], S[..., : -down or None, : -right or None]
        assert expected.numel() > 0 and relative_error(moved, expected) <= 1e-13
    assert relative_error(module(x.roll(1, -1)), S) > 1e-3


@pytest.mark.parametrize("bank", BANKS)
@pytest.mark.parametrize(("J", "size"), [(2, 32), (3, 64), (4, 64)])
def test_small_shift_changes_little(J, size, bank):
    """By c pixels: at most 0.58 c / 2^J of order 1 and of order 2. Of the pixels of noise, 0.7."""
    module = periodic(J, (size, size), filters=bank)
    orders = [torch.from_numpy(module.meta()["order"] == order) for order in (1, 2)]
    for x in (noise(module), natural(module)):
        S = module(x)
        for shift in (1, 2, 2 ** (J - 1)):
            for axis in (-2, -1):
                moved = module(x.roll(shift, axis))
                for order in orders:
                    change = relative_error(moved[:, order], S[:, order])
                    assert 0.01 < change * 2**J / shift < 0.58
    x = noise(module)
    assert relative_error(x.roll(1, -1), x) > 0.6


# --- rotations ------------------------------------------------------------------------------------


def quarter_turn(x: Tensor) -> Tensor:
    """``y(p, q) = x(q, -p)`` on the torus."""
    return x.flip(-1).roll(1, -1).mT


def turned_angles(module: Scattering2D) -> list[int]:
    """The channel that each channel becomes: ``theta -> theta + L / 2`` of both wavelets."""
    meta, L = module.meta(), module.L
    paths = list(zip(map(tuple, meta["j"]), map(tuple, meta["theta"]), strict=True))
    turn = [tuple(-1 if t < 0 else (t + L // 2) % L for t in theta) for _, theta in paths]
    return [paths.index((j, theta)) for (j, _), theta in zip(paths, turn, strict=True)]


@pytest.mark.parametrize("bank", BANKS)
@pytest.mark.parametrize(("J", "size", "L"), [(1, 16, 8), (2, 32, 8), (2, 12, 4), (2, 20, 6)])
def test_quarter_turn_moves_angles(J, size, L, bank):
    """Exactly: ``S x'(p, q; theta) = S x(q, -p; theta + L / 2)``."""
    module = periodic(J, (size, size), L=L, filters=bank).double()
    check_quarter_turn(module, noise(module), 1e-13)


@pytest.mark.parametrize("bank", BANKS)
@pytest.mark.parametrize(("J", "size"), [(3, 64), (4, 64)])
def test_quarter_turn_with_three_scales(J, size, bank):
    """A filter at lower resolution keeps the frequency -m/2 and has no m/2. From three scales on,
    order 2 feels it: the wavelets are small there, not negligible. Without that frequency the
    identity is exact."""
    module = periodic(J, (size, size), filters=bank).double()
    x, y = noise(module), natural(module)
    check_quarter_turn(module, x, 2e-4)
    check_quarter_turn(module, y, 2e-4)
    check_quarter_turn(periodic(J, (size, size), max_order=1).double(), x, 1e-13)
    turned = module(quarter_turn(y))[..., 1:, :]
    S = module(y)[:, turned_angles(module)].flip(-1).mT[..., :-1, :]
    assert relative_error(turned, S) <= 1.4e-6  # all orders together, of an image

    psi, phi = module.bank.psi.clone(), module.bank.phi
    for res in range(1, J):
        highest = module._M_padded >> (res + 1)
        psi[res + 1 :, :, [highest, -highest]] = psi[res + 1 :, ..., [highest, -highest]] = 0
    module = periodic(J, (size, size), filters=banks.FilterBank(psi, phi)).double()
    check_quarter_turn(module, x, 1e-13)


def check_quarter_turn(module: Scattering2D, x: Tensor, limit: float) -> None:
    order, channels = module.meta()["order"], turned_angles(module)
    single = copy.deepcopy(module).float()
    for run, image, most in ((module, x, limit), (single, x.float(), max(limit, 1.4e-6))):
        # sample p of the output is p + 1 of n, its mirror image n - 1 - p: the first has none
        turned, S = run(quarter_turn(image))[..., 1:, :], run(image).flip(-1).mT[..., :-1, :]
        assert error_by_order(order, turned, S[:, channels]) <= most
        assert error_by_order(order, turned, S) > 0.1


# --- energy and stability ----------------------------------------------------------------------


def cascade(bank: banks.FilterBank, x: Tensor) -> tuple[Tensor, Tensor]:
    """By the operators, undecimated: ``(S, U1)``, ``[B, C, Mp, Np]``; ``S = [A x, A U1, A U2]``."""

    def wavelet_modulus(u: Tensor, j: int) -> Tensor:
        product = ops.filter_fold(torch.fft.fft2(u), bank.psi[j], 1)
        return ops.modulus(torch.fft.ifft2(product)).flatten(1, 2)

    x = x.unsqueeze(1)
    U1 = [wavelet_modulus(x, j) for j in range(bank.J)]
    U2 = [wavelet_modulus(u, j2) for j1, u in enumerate(U1) for j2 in range(j1 + 1, bank.J)]
    u_hat = torch.fft.fft2(torch.cat([x, *U1, *U2], 1))
    return torch.fft.ifft2(u_hat * bank.phi).real, torch.cat(U1, 1)


@pytest.mark.parametrize(
    ("J", "L", "shape"), [(1, 4, (12, 10)), (2, 8, (40, 36)), (3, 5, (56, 40))]
)
def test_tight_bank_conserves_energy(J, L, shape):
    """``|x|^2 = |A x|^2 + sum |U1|^2``, whatever the image."""

    def kept(bank: banks.FilterBank, x: Tensor) -> float:
        S, U1 = cascade(bank, x)
        return float((S[:, 0].square().sum() + U1.square().sum()) / x.square().sum())

    bank = banks.tight_bank(shape, J, L)
    images = torch.rand(3, *shape), torch.randn(3, *shape), torch.ones(1, *shape)
    for x in images:
        assert abs(kept(bank, x.double()) - 1) <= 1e-13
    assert kept(banks.morlet_bank(shape, J, L), images[1].double()) < 0.9


@pytest.mark.parametrize(("J", "shape"), [(2, (32, 28)), (3, (40, 40))])
def test_tight_bank_does_not_expand(J, shape):
    """``|S x - S y| <= |x - y|``, undecimated; equal where x - y is constant and S keeps it all."""
    bank = banks.tight_bank(shape, J, 6)
    x = torch.rand(1, *shape).double()
    others = [x + 0.3, -x, x.roll(1, -1), x.flip(1), 2 * x, 0 * x, torch.rand_like(x)]
    others += [x + size * torch.randn_like(x) for size in (1e-3, 1, 100)]
    S = cascade(bank, x)[0]
    for y in others:
        ratio = (cascade(bank, y)[0] - S).norm() / (x - y).norm()
        assert ratio <= 1 + 1e-12
    constant = cascade(bank, x + 0.3)[0]
    assert float((constant - S).norm() / (0.3 * x.numel() ** 0.5)) == pytest.approx(1, abs=1e-9)


@pytest.mark.parametrize("J", [1, 2, 3])
def test_module_with_the_tight_bank_does_not_expand(J):
    """A sample of the output stands for 4^J pixels."""
    module = periodic(J, (48, 40), L=6, filters="tight")
    x = natural(module, 4)
    S = module(x)
    others = [x + 0.3, -x, x.roll(1, -1), x.flip(0), 2 * x, 0 * x, noise(module, 4)]
    others += [x + size * torch.randn_like(x) for size in (1e-2, 1, 100)]
    for y in others:
        assert 2**J * (module(y) - S).norm() <= (x - y).norm()


def test_module_agrees_with_the_undecimated_cascade():
    """With J = 1 nothing is folded before the modulus: S is A U read at every other sample."""
    module = periodic(1, (20, 24), L=4, filters="tight").double()
    x = noise(module)
    S, _ = cascade(module.bank, x)
    assert relative_error(module(x), S[..., 2:-2:2, 2:-2:2]) <= 1e-13


# --- scale and contrast -------------------------------------------------------------------------


@pytest.mark.parametrize("backend", ["native", "reference"])
@pytest.mark.parametrize("factor", [-1.0, 3.0, -1e-4, 1e4, 1e-9, 1e9])
def test_contrast(factor, backend):
    """``S(c x) = |c| S x`` at orders 1 and 2, order 0 is linear."""
    module = Scattering2D(2, (21, 24), 5, backend=backend)
    x, y = torch.rand(2, 3, 21, 24)
    S, scaled = module(x), module(factor * x)
    assert relative_error(scaled[:, 1:], abs(factor) * S[:, 1:]) <= 1e-6
    mixed = module(factor * x + 2 * y)[:, :1]
    assert relative_error(mixed, factor * S[:, :1] + 2 * module(y)[:, :1]) <= 1e-6


@pytest.mark.parametrize("bank", BANKS)
def test_constant_image(bank):
    """Wavelets have mean zero; the tight low-pass keeps the mean, Kymatio's to its constant."""
    for dtype, limit in ((torch.float32, 1e-6), (torch.float64, 1e-14)):
        module = Scattering2D(3, (24, 40), filters=bank).to(dtype)
        S = module(torch.full((1, 24, 40), 0.7, dtype=dtype))
        assert float(S[:, 1:].abs().max()) <= limit
        mean = 0.7 * (1 if bank == "tight" else np.pi / 3.1415)
        assert float((S[:, 0] - mean).abs().max()) <= limit


def test_a_constant_added_changes_order_0_alone():
    module = Scattering2D(2, (24, 20), filters="tight").double()
    x = torch.rand(2, 24, 20).double()
    S, brighter = module(x), module(x + 5)
    assert relative_error(brighter[:, :1], S[:, :1] + 5) <= 1e-14
    assert relative_error(brighter[:, 1:], S[:, 1:]) <= 1e-12
